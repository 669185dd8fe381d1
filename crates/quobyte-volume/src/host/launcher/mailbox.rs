//! What caller and unit tell each other, through files of the caller's state directory:
//!
//! ```text
//! <state_dir>/launch/<client>.request   what to mount; written by the caller, who holds the share's lock
//! <state_dir>/launch/<client>.outcome   what came of it; written by the unit, taken by the caller
//! ```
//!
//! Each appears whole: it is written as `<client>.tmp-request` or `<client>.tmp-outcome`, then renamed.

use std::fs::OpenOptions;
use std::io::{self, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::host::client::{ClientError, MountRequest};
use crate::host::{crash, own_file};
use crate::pure::connection::Export;
use crate::pure::mount_path::MountPath;

/// Names the directory of requests in a unit's environment, beside the variable that names the client.
pub(super) const LAUNCH_DIRECTORY_VARIABLE: &str = "NOVA_QUOBYTE_LAUNCH";

/// Far more than a request or an outcome has, in bytes.
const MAX_SIZE: u64 = 1 << 20;

/// What the client did, in a form that outlives the process that saw it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum MountOutcome {
    Mounted,
    NotFound {
        errno: Option<i32>,
    },
    Timeout {
        output: String,
    },
    Refused {
        status: i32,
        output: String,
    },
    Host {
        /// Of a system call that failed. A unit from before an upgrade does not say it.
        #[serde(default)]
        errno: Option<i32>,
        reason: String,
    },
}

impl MountOutcome {
    pub(super) fn from_result(result: &Result<(), ClientError>) -> Self {
        match result {
            Ok(()) => Self::Mounted,
            Err(ClientError::NotFound { source, .. }) => Self::NotFound { errno: source.raw_os_error() },
            Err(ClientError::Timeout { output, .. }) => Self::Timeout { output: output.clone() },
            Err(ClientError::Refused { status, output, .. }) => {
                Self::Refused { status: status.into_raw(), output: output.clone() }
            }
            Err(ClientError::Host { source }) => {
                Self::Host { errno: source.raw_os_error(), reason: source.to_string() }
            }
            Err(
                error @ (ClientError::NotLaunched { .. }
                | ClientError::NoConfiguration { .. }
                | ClientError::EndsWithCaller { .. }),
            ) => Self::Host { errno: None, reason: error.to_string() },
        }
    }

    /// The result for the caller that asked for `export`. `looked_in` is where the client was looked for.
    pub(super) fn into_result(self, export: &Export, looked_in: String) -> Result<(), ClientError> {
        let export = export.clone();
        Err(match self {
            Self::Mounted => return Ok(()),
            Self::NotFound { errno } => {
                let source = errno.map_or(io::ErrorKind::NotFound.into(), io::Error::from_raw_os_error);
                ClientError::NotFound { looked_in, source }
            }
            Self::Timeout { output } => ClientError::Timeout { export, output },
            Self::Refused { status, output } => {
                ClientError::Refused { export, status: ExitStatus::from_raw(status), output }
            }
            Self::Host { errno, reason } => {
                let source = errno.map_or_else(|| io::Error::other(reason), io::Error::from_raw_os_error);
                ClientError::Host { source }
            }
        })
    }
}

/// The files of one client.
#[derive(Debug)]
pub(super) struct Mailbox<'a> {
    directory: &'a Path,
    client: &'a str,
}

impl<'a> Mailbox<'a> {
    pub(super) fn new(directory: &'a Path, client: &'a str) -> Self {
        Self { directory, client }
    }

    /// Leaves a request.
    pub(super) fn post_request(&self, request: &MountRequest) -> io::Result<()> {
        self.write("request", request)?;
        crash::point("a unit's request is in place");
        Ok(())
    }

    /// Reads and removes the outcome of the request; `None` if no unit has posted one.
    pub(super) fn take_outcome(&self) -> io::Result<Option<MountOutcome>> {
        let outcome = read(&self.file("outcome"))?;
        crash::point("a unit's outcome has been read");
        remove(&self.file("outcome"))?;
        Ok(outcome)
    }

    /// Reads the request, for the unit.
    pub(super) fn read_request(&self) -> io::Result<MountRequest> {
        read(&self.file("request"))?.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Removes the request, and leaves its outcome for the caller.
    pub(super) fn post_outcome(&self, outcome: &MountOutcome) -> io::Result<()> {
        remove(&self.file("request"))?;
        crash::point("a unit has taken its request");
        self.write("outcome", outcome)
    }

    fn file(&self, extension: &str) -> PathBuf {
        self.directory.join(format!("{}.{extension}", self.client))
    }

    /// Readable by this user alone. A caller whose deadline has passed does not wait for the writer, hence the rename.
    #[expect(clippy::disallowed_methods, reason = "requests and outcomes are put in place here alone")]
    fn write(&self, extension: &str, content: &impl Serialize) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let temporary = self.file(&format!("tmp-{extension}"));
        let file = own_file::make(&temporary, options.write(true).create(true).truncate(false))?;
        file.set_len(0)?;
        serde_json::to_writer(file, content)?;
        crash::point("a file for the other side is written");
        std::fs::rename(temporary, self.file(extension))
    }
}

/// Removes all files of clients for `at`: requests, which no unit is to find any more, outcomes that were not taken,
/// and files that were not completed. The caller holds the share's lock.
pub(super) fn clear(directory: &Path, at: &MountPath) -> io::Result<()> {
    let entries = match directory.read_dir() {
        // No request has been posted yet.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    let key = at.key();
    for entry in entries {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(key.as_bytes()) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match own_file::open(path, OpenOptions::new().read(true)) {
        Ok(file) => Ok(Some(serde_json::from_reader(BufReader::new(file.take(MAX_SIZE)))?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[expect(clippy::disallowed_methods, reason = "requests and outcomes are removed here alone")]
fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
