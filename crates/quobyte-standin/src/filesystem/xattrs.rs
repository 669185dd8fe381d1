//! Quobyte's extended attributes, which it makes up. Nothing is stored.

use fuser::INodeNo;
use rustix::io::Errno;

use crate::volume::Result;

/// First port of the client's status pages.
const STATUS_PAGE_PORT: &str = "55000";

/// The value of `name` on an inode. ENOSYS, where attributes are off, makes the kernel stop asking for good.
pub(super) fn value(enabled: bool, inode: INodeNo, name: &[u8]) -> Result<String> {
    match name {
        _ if !enabled => Err(Errno::NOSYS),
        b"quobyte.info" => Ok(info(inode)),
        b"quobyte.statuspage_port" => Ok(STATUS_PAGE_PORT.to_owned()),
        _ => Err(Errno::NOTSUP),
    }
}

/// Layout of a file in the text form of protocol buffers, with the sizes of a volume's default policy.
fn info(inode: INodeNo) -> String {
    format!(
        "file_id: {}\nblock_size_bytes: 4096\nobject_size_bytes: 8388608\nsegment_size_bytes: 10737418240\n",
        inode.0
    )
}
