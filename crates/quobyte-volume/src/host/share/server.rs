//! The helper program: makes the calls that reach a share's client, and tells what they have answered.

use std::ffi::OsStr;
use std::io::{self, BufReader};
use std::path::Path;
use std::process::ExitCode;

use rustix::fs::{FlockOperation, flock};

use super::client_calls::{self, Refusal};
use super::probe_direct_io::probe_direct_io;
use super::protocol::{self, HelperAnswer, HelperRequest};
use crate::host::set_up_program;
use crate::pure::image::DeclaredImage;

/// The whole of the helper program: answers on standard output what a caller that speaks version `caller` of the
/// protocol asks on standard input about the share at `mount_point`, until that ends. Standard error is the share's probe
/// lock.
#[must_use]
pub fn serve(mount_point: &Path, caller: &OsStr) -> ExitCode {
    let answer_and_unlock = |request| {
        let answer = answer(mount_point, request);
        // A caller that is killed does not unlock, and a fork of it may keep the lock's open file for long.
        let _ = flock(io::stderr(), FlockOperation::Unlock);
        answer
    };
    set_up_program();
    match protocol::serve(&caller.display(), BufReader::new(io::stdin()), io::stdout(), answer_and_unlock) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn answer(mount_point: &Path, request: HelperRequest) -> HelperAnswer {
    match request {
        HelperRequest::Query(image) => {
            let image = image.as_ref().map(|(name, format)| DeclaredImage { name, format: *format });
            match client_calls::query_share(mount_point, image) {
                Ok((root, chain)) => HelperAnswer::Query(root, chain),
                Err(errno) => {
                    let number = errno.raw_os_error();
                    match client_calls::refusal(mount_point, errno) {
                        Refusal::Dead => HelperAnswer::Dead(number),
                        Refusal::Unserved(refused) => HelperAnswer::Unserved(number, refused),
                        Refusal::Failed => HelperAnswer::Failed(number),
                    }
                }
            }
        }
        HelperRequest::Probe(image) => match probe_direct_io(mount_point, &image) {
            Ok(probe) => HelperAnswer::Probe(probe),
            Err(error) => HelperAnswer::Failed(error.raw_os_error().unwrap_or(libc::EIO)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::share::client_calls::ChainFailure;
    use crate::pure::connection::{ImageFormat, ImageName};

    #[test]
    fn helper_answers_for_root_and_image() {
        // Its root has the size that a connected client shows.
        let at = Path::new("/proc");
        assert!(
            matches!(answer(at, HelperRequest::Query(None)), HelperAnswer::Query(_, Ok(none)) if none.is_empty())
        );
        let missing = (ImageName::parse("none").unwrap(), ImageFormat::Raw);
        let HelperAnswer::Query(_, Err(ChainFailure::Failed(path, errno))) =
            answer(at, HelperRequest::Query(Some(missing)))
        else {
            panic!("an image that is not there")
        };
        assert_eq!((path.to_string().as_str(), errno), ("none", libc::ENOENT));
        let gone = answer(Path::new("/proc/none"), HelperRequest::Query(None));
        assert_eq!(gone, HelperAnswer::Failed(libc::ENOENT));
    }
}
