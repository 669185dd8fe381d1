//! What is said between a caller and its helper: a JSON value a line, one answer to each request.

use std::io::{self, BufRead, Write};
use std::path::Path;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::facts::{self, NoChain, RootFacts};
use crate::connection::{ImageFormat, ImageName};
use crate::image::Layer;

/// A question about the share.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Request {
    /// What is the root like?
    Root,
    /// What are the layers of the image of that name, declared as that format?
    Chain(ImageName, ImageFormat),
}

/// What the share says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    Root(RootFacts),
    Chain(Vec<Layer>),
    NoChain(NoChain),
    /// The system call about the root failed with this error number.
    Failed(i32),
}

/// Answers requests about the share at `mount_point` until there are no more.
pub(super) fn serve(mount_point: &Path, requests: impl BufRead, mut answers: impl Write) -> io::Result<()> {
    for line in requests.lines() {
        let answer = match serde_json::from_str(&line?)? {
            Request::Root => facts::root(mount_point)
                .map_or_else(|errno: Errno| Answer::Failed(errno.raw_os_error()), Answer::Root),
            Request::Chain(name, format) => {
                facts::chain(mount_point, &name, format).map_or_else(Answer::NoChain, Answer::Chain)
            }
        };
        serde_json::to_writer(&mut answers, &answer)?;
        answers.write_all(b"\n")?;
        answers.flush()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_gets_its_answer_in_order() {
        let requests = "\"root\"\n{\"chain\":[\"none\",\"raw\"]}\n\"root\"\n";
        let mut answers = Vec::new();
        let directory = tempfile::tempdir().unwrap();
        serve(directory.path(), requests.as_bytes(), &mut answers).unwrap();
        let answers: Vec<Answer> =
            answers.split(|&b| b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
        assert!(matches!(
            answers[..],
            [Answer::Root(_), Answer::NoChain(NoChain::Failed(_, libc::ENOENT)), Answer::Root(_)]
        ));
    }

    #[test]
    fn what_is_no_request_ends_the_service() {
        assert!(serve(Path::new("/"), "x\n".as_bytes(), Vec::new()).is_err());
    }
}
