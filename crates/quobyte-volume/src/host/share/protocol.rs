//! What is said between a caller and its helper: a JSON value a line, one answer to each request.
//!
//! A service may outlive an upgrade of the package it is of, and starts the new helper then. So the caller says its
//! version as it starts a helper, and one of another version answers everything with its own.

use std::ffi::OsStr;
use std::io::{self, BufRead, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::client_calls::{self, ChainFailure, Refusal, RefusedRequests, RootFacts};
use super::probe_direct_io;
use crate::pure::connection::{ImageFormat, ImageName};
use crate::pure::image::{DeclaredImage, Layer};
use crate::pure::io_policy::Probe;

/// What caller and helper have to have in common.
pub(super) const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "+2");

/// A question about the share.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum HelperRequest {
    /// What are the root's attributes, and what are the layers of the image of that name, declared as that format?
    #[serde(rename = "look")]
    Query(Option<(ImageName, ImageFormat)>),
    /// How does the mount do direct I/O, as reading this layer shows?
    Probe(Layer),
}

/// What the share says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum HelperAnswer {
    /// No layers where no image was asked for, or where the root makes asking for one vain.
    #[serde(rename = "look")]
    Query(RootFacts, Result<Vec<Layer>, ChainFailure>),
    Probe(Probe),
    /// A system call failed with this error number: about the root, or for a probe.
    Failed(i32),
    /// The same, and the kernel has ended the connection to the client.
    Dead(i32),
    /// The same, with an error that a client which is gone leaves; these requests were refused so.
    Unserved(i32, RefusedRequests),
    /// The helper is of this version, and the caller of another. No version may change how this is written.
    OtherVersion(String),
}

/// Answers requests of a caller of version `caller` about the share at `mount_point` until there are no more.
pub(super) fn serve(
    mount_point: &Path,
    caller: &OsStr,
    requests: impl BufRead,
    mut answers: impl Write,
) -> io::Result<()> {
    for line in requests.lines() {
        let line = line?;
        let answer = if caller == VERSION {
            answer(mount_point, serde_json::from_str(&line)?)
        } else {
            HelperAnswer::OtherVersion(VERSION.to_owned())
        };
        serde_json::to_writer(&mut answers, &answer)?;
        answers.write_all(b"\n")?;
        answers.flush()?;
    }
    Ok(())
}

fn answer(mount_point: &Path, request: HelperRequest) -> HelperAnswer {
    match request {
        HelperRequest::Query(image) => {
            match client_calls::query_share(
                mount_point,
                image.as_ref().map(|(name, format)| DeclaredImage { name, format: *format }),
            ) {
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
        HelperRequest::Probe(image) => match probe_direct_io::probe_direct_io(mount_point, &image) {
            Ok(probe) => HelperAnswer::Probe(probe),
            Err(error) => HelperAnswer::Failed(error.raw_os_error().unwrap_or(libc::EIO)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_answered_in_order() {
        let requests = "{\"look\":null}\n{\"look\":[\"none\",\"raw\"]}\n{\"look\":null}\n";
        let mut answers = Vec::new();
        // Its root has the size that a connected client shows.
        serve(Path::new("/proc"), VERSION.as_ref(), requests.as_bytes(), &mut answers).unwrap();
        let answers: Vec<HelperAnswer> =
            answers.split(|&b| b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
        let [
            HelperAnswer::Query(_, Ok(none)),
            HelperAnswer::Query(_, Err(missing)),
            HelperAnswer::Query(_, Ok(_)),
        ] = &answers[..]
        else {
            panic!("{answers:?}")
        };
        assert!(none.is_empty());
        assert!(matches!(missing, ChainFailure::Failed(_, libc::ENOENT)));
    }

    #[test]
    fn invalid_request_ends_the_helper() {
        assert!(serve(Path::new("/"), VERSION.as_ref(), "x\n".as_bytes(), Vec::new()).is_err());
    }

    #[test]
    fn version_mismatch_is_reported_to_caller() {
        for caller in ["", "0.0.1"] {
            let mut answer = Vec::new();
            serve(Path::new("/"), caller.as_ref(), "\"of later days\"\n".as_bytes(), &mut answer).unwrap();
            assert_eq!(answer, format!("{{\"other_version\":\"{VERSION}\"}}\n").as_bytes(), "{caller:?}");
        }
    }
}
