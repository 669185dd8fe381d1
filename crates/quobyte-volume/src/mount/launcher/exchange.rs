//! What caller and unit tell each other, through files of the caller's state directory:
//!
//! ```text
//! <state_dir>/launch/<key>.request   what to mount; written by the caller, who holds the share's lock
//! <state_dir>/launch/<key>.outcome   what came of it; written by the unit, taken by the caller
//! <state_dir>/launch/<key>.running   the request, while the unit's client runs; the unit's own
//! ```
//!
//! Each appears whole: it is written as `<key>.tmp-request` or `<key>.tmp-outcome`, then renamed.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::connection::Export;
use crate::crash;
use crate::mount::ClientError;
use crate::mount_path::MountPath;

/// What a unit is to mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::mount) struct Request {
    pub(in crate::mount) export: Export,
    pub(in crate::mount) mount_path: MountPath,
    pub(in crate::mount) client_cfg: Option<PathBuf>,
    /// How long the client may take.
    pub(in crate::mount) budget: Duration,
}

/// What the client did, in a form that outlives the process that saw it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Outcome {
    Mounted,
    NotFound { errno: Option<i32> },
    Timeout { output: String },
    Refused { status: i32, output: String },
    Host { reason: String },
}

impl Outcome {
    pub(super) fn of(result: &Result<(), ClientError>) -> Self {
        match result {
            Ok(()) => Self::Mounted,
            Err(ClientError::NotFound { source }) => Self::NotFound { errno: source.raw_os_error() },
            Err(ClientError::Timeout { output, .. }) => Self::Timeout { output: output.clone() },
            Err(ClientError::Refused { status, output, .. }) => {
                Self::Refused { status: status.into_raw(), output: output.clone() }
            }
            Err(ClientError::Host { source }) => Self::Host { reason: source.to_string() },
            Err(error @ ClientError::NotLaunched { .. }) => Self::Host { reason: error.to_string() },
        }
    }

    /// The same, for who asked for `export`.
    pub(super) fn into_result(self, export: &Export) -> Result<(), ClientError> {
        let export = export.clone();
        Err(match self {
            Self::Mounted => return Ok(()),
            Self::NotFound { errno } => {
                let source = errno.map_or(io::ErrorKind::NotFound.into(), io::Error::from_raw_os_error);
                ClientError::NotFound { source }
            }
            Self::Timeout { output } => ClientError::Timeout { export, output },
            Self::Refused { status, output } => {
                ClientError::Refused { export, status: ExitStatus::from_raw(status), output }
            }
            Self::Host { reason } => ClientError::Host { source: io::Error::other(reason) },
        })
    }
}

/// The files of one mount path.
#[derive(Debug)]
pub(super) struct Exchange<'a> {
    directory: &'a Path,
    key: &'a str,
}

impl<'a> Exchange<'a> {
    pub(super) fn new(directory: &'a Path, key: &'a str) -> Self {
        Self { directory, key }
    }

    /// Leaves a request, and nothing of an earlier one that nobody has taken.
    pub(super) fn ask(&self, request: &Request) -> io::Result<()> {
        remove(&self.file("outcome"))?;
        self.write("request", request)?;
        crash::point("a unit's request is in place");
        Ok(())
    }

    /// Takes what came of the request; `None` if no unit has answered.
    pub(super) fn take_outcome(&self) -> io::Result<Option<Outcome>> {
        let outcome = read(&self.file("outcome"))?;
        crash::point("a unit's outcome has been read");
        remove(&self.file("outcome"))?;
        Ok(outcome)
    }

    /// Takes back a request that no unit is to find any more, and whatever was left half written or not taken.
    pub(super) fn take_back(&self) -> io::Result<()> {
        ["request", "tmp-request", "outcome", "tmp-outcome"]
            .iter()
            .try_for_each(|ending| remove(&self.file(ending)))
    }

    /// The request, to the unit.
    pub(super) fn request(&self) -> io::Result<Request> {
        read(&self.file("request"))?.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Tells the caller what came of the request. One that has succeeded stays for [`Exchange::take_running`].
    #[expect(clippy::disallowed_methods, reason = "a request changes hands here alone")]
    pub(super) fn answer(&self, outcome: &Outcome) -> io::Result<()> {
        match outcome {
            Outcome::Mounted => std::fs::rename(self.file("request"), self.file("running"))?,
            _ => remove(&self.file("request"))?,
        }
        crash::point("a unit has taken its request");
        self.write("outcome", outcome)
    }

    /// Takes the request that the unit's client was started with, if one is running.
    pub(super) fn take_running(&self) -> io::Result<Option<Request>> {
        let request = read(&self.file("running"))?;
        remove(&self.file("running"))?;
        Ok(request)
    }

    fn file(&self, ending: &str) -> PathBuf {
        self.directory.join(format!("{}.{ending}", self.key))
    }

    /// Readable by this user alone. A caller whose deadline has passed does not wait for the writer, hence the rename.
    #[expect(clippy::disallowed_methods, reason = "requests and outcomes are put in place here alone")]
    fn write(&self, ending: &str, content: &impl Serialize) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let unfinished = self.file(&format!("tmp-{ending}"));
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        serde_json::to_writer(file, content)?;
        crash::point("a file for the other side is written");
        std::fs::rename(unfinished, self.file(ending))
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match File::open(path) {
        Ok(file) => Ok(Some(serde_json::from_reader(BufReader::new(file))?)),
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
