//! What only QEMU itself can tell of itself.

use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use roxmltree::Document;

use crate::host::deadline::Deadline;
use crate::host::process;

/// How long QEMU may take to start and end again.
const QEMU_TIMEOUT: Duration = Duration::from_secs(10);

/// The program that libvirt runs domains with, out of its description of what domains can have.
///
/// # Errors
/// When the description is no XML.
pub fn emulator_path(capabilities: &str) -> Result<Option<PathBuf>, roxmltree::Error> {
    let document = Document::parse(capabilities)?;
    let path = document.root_element().children().find(|node| node.has_tag_name("path"));
    Ok(path.and_then(|path| path.text()).map(PathBuf::from))
}

/// Whether the QEMU at `emulator` opens files by io_uring on this host. It is started without a guest and told to open
/// its own program so: a version does not prove what it was built with, nor what the kernel lets it do.
///
/// # Errors
/// When it cannot be started or does not end.
pub fn has_io_uring(emulator: &Path) -> io::Result<bool> {
    let mut quit = tempfile::tempfile()?;
    quit.write_all(br#"{"execute": "qmp_capabilities"} {"execute": "quit"}"#)?;
    quit.rewind()?;
    let arguments = [
        "-no-user-config",
        "-nodefaults",
        "-display",
        "none",
        "-machine",
        "none,accel=tcg",
        "-blockdev",
        "driver=file,node-name=itself,filename=/proc/self/exe,read-only=on,aio=io_uring",
        "-qmp",
        "stdio",
    ];
    let ended =
        process::run(emulator.as_os_str(), arguments, None, quit.into(), Deadline::after(QEMU_TIMEOUT))
            .map_err(io::Error::other)?;
    tracing::debug!(emulator = %emulator.display(), status = %ended.status, said = ended.output, "asked for io_uring");
    Ok(ended.status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emulator_is_read_from_domain_capabilities() {
        let xml = "<domainCapabilities><path>/usr/bin/qemu</path><domain>qemu</domain>\
                   <os><loader><path>/other</path></loader></os></domainCapabilities>";
        assert_eq!(emulator_path(xml).unwrap(), Some("/usr/bin/qemu".into()));
        assert_eq!(emulator_path("<domainCapabilities/>").unwrap(), None);
        assert!(emulator_path("no XML").is_err());
    }

    #[test]
    fn io_uring_support_follows_qemu_exit_status() {
        assert!(has_io_uring(Path::new("/bin/true")).unwrap());
        assert!(!has_io_uring(Path::new("/bin/false")).unwrap());
        assert!(has_io_uring(Path::new("/nonexistent/qemu")).is_err());
    }
}
