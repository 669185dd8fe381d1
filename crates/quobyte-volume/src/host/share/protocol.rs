//! What is said between a caller and its helper: a JSON value a line, one answer to each request.
//!
//! ```text
//! caller: [7,{"look":["disk","raw"]}]
//! helper: {"answer":[7,{"look":[ROOT,LAYERS]}]}
//! ```
//!
//! An answer carries the number of its request, so that none is taken for the answer to another. A service may outlive
//! an upgrade of the package it is of, and starts the new helper then. So the caller says the version of its protocol
//! as it starts a helper, and a helper of another version answers everything with its own.

use std::fmt;
use std::io::{self, BufRead, Read, Write};

use serde::{Deserialize, Serialize};

use super::client_calls::{ChainFailure, RefusedRequests, RootFacts};
use crate::pure::connection::{ImageFormat, ImageName};
use crate::pure::image::{Layer, MAX_LAYERS, RelativePath};
use crate::pure::io_policy::Probe;

/// What caller and helper have to have in common. Raised with every change of what is said or of what it means.
pub const VERSION: u32 = 3;

/// Longest line accepted, in bytes: the longest chain there may be, with the longest names, takes half of it.
pub const MAX_LINE_LEN: usize = 1 << 20;

/// A question about the share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HelperRequest {
    /// What are the root's attributes, and what are the layers of the image of that name, declared as that format?
    #[serde(rename = "look")]
    Query(Option<(ImageName, ImageFormat)>),
    /// How does the mount do direct I/O, as reading this layer shows?
    Probe(Layer),
}

/// What the share says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HelperAnswer {
    /// No layers where no image was asked for, or where the root makes asking for one vain.
    #[serde(rename = "look")]
    Query(RootFacts, Result<Vec<Layer>, ChainFailure>),
    /// What a probe has seen.
    Probe(Probe),
    /// A system call failed with this error number: about the root, or for a probe.
    Failed(i32),
    /// The same, and the kernel has ended the connection to the client.
    Dead(i32),
    /// The same, with an error that a client which is gone leaves; these requests were refused so.
    Unserved(i32, RefusedRequests),
}

/// A line of a helper's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HelperLine {
    /// The answer to the request of that number.
    Answer(u64, HelperAnswer),
    /// The helper speaks this version, and the caller another. No version may change how this is written.
    OtherVersion(String),
}

/// Why a line of a helper's is no answer to a request.
#[derive(Debug, thiserror::Error)]
pub enum ReplyError {
    /// It cannot be understood.
    #[error("its answer cannot be understood")]
    Malformed(#[from] serde_json::Error),
    /// The helper speaks another version of the protocol.
    #[error(
        "it speaks version {} of the protocol and its caller version {VERSION}, from before an upgrade: restart the \
         service",
        crate::error::excerpt(.0)
    )]
    OtherVersion(String),
    /// It answers another request.
    #[error("it answered another question: {0}")]
    OtherQuestion(&'static str),
}

/// The line that asks `request` under that number.
///
/// # Errors
/// None of its own.
pub fn write_request(number: u64, request: &HelperRequest) -> serde_json::Result<Vec<u8>> {
    line_of(&(number, request))
}

/// The line that answers.
///
/// # Errors
/// None of its own.
pub fn write_reply(line: &HelperLine) -> serde_json::Result<Vec<u8>> {
    line_of(line)
}

fn line_of(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}

/// The answer to `request`, which was asked under that number, that a line of a helper's is.
///
/// # Errors
/// [`ReplyError`] for a line that is anything else, such as a chain without the image that was asked for.
pub fn read_reply(line: &[u8], number: u64, request: &HelperRequest) -> Result<HelperAnswer, ReplyError> {
    match serde_json::from_slice(line)? {
        HelperLine::OtherVersion(version) => Err(ReplyError::OtherVersion(version)),
        HelperLine::Answer(answered, _) if answered != number => {
            Err(ReplyError::OtherQuestion("the number is not the request's"))
        }
        HelperLine::Answer(_, answer) => {
            check_answer(request, &answer).map_err(ReplyError::OtherQuestion)?;
            Ok(answer)
        }
    }
}

fn check_answer(request: &HelperRequest, answer: &HelperAnswer) -> Result<(), &'static str> {
    match (request, answer) {
        (HelperRequest::Query(image), HelperAnswer::Query(root, chain)) => {
            let image = image.as_ref().filter(|_| root.is_connected());
            match (image, chain) {
                (None, Ok(layers)) if layers.is_empty() => Ok(()),
                (None, _) => Err("no image was asked for"),
                (Some(_), Err(_)) => Ok(()),
                (Some(image), Ok(layers)) => check_chain(image, layers),
            }
        }
        (
            HelperRequest::Query(_),
            HelperAnswer::Failed(_) | HelperAnswer::Dead(_) | HelperAnswer::Unserved(..),
        )
        | (HelperRequest::Probe(_), HelperAnswer::Probe(_) | HelperAnswer::Failed(_)) => Ok(()),
        _ => Err("the answer is of another kind"),
    }
}

fn check_chain((name, format): &(ImageName, ImageFormat), layers: &[Layer]) -> Result<(), &'static str> {
    let Some(top) = layers.first() else { return Err("the chain has no layer") };
    if top.path != RelativePath::from(name) || top.format != *format {
        return Err("the chain is another image's");
    }
    if layers.len() > MAX_LAYERS { Err("the chain has too many layers") } else { Ok(()) }
}

/// Answers the requests of a caller that speaks version `caller`, each by `answer`, until there are no more.
///
/// # Errors
/// Where a request cannot be read, understood or answered: the caller is told by the end of the answers.
pub fn serve(
    caller: &dyn fmt::Display,
    mut requests: impl BufRead,
    mut answers: impl Write,
    mut answer: impl FnMut(HelperRequest) -> HelperAnswer,
) -> io::Result<()> {
    let is_same_version = caller.to_string() == VERSION.to_string();
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = requests.by_ref().take(MAX_LINE_LEN as u64).read_until(b'\n', &mut line)?;
        if length == 0 {
            return Ok(());
        }
        if !line.ends_with(b"\n") {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let reply = if is_same_version {
            let (number, request) = serde_json::from_slice(&line)?;
            HelperLine::Answer(number, answer(request))
        } else {
            HelperLine::OtherVersion(VERSION.to_string())
        };
        answers.write_all(&write_reply(&reply)?)?;
        answers.flush()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::image::Identity;
    use crate::pure::kernel_mount::Device;

    fn layer(name: &str) -> Layer {
        let identity = Identity { device: Device { major: 0, minor: 42 }, inode: 7, btime: None };
        let path = RelativePath::parse(name).unwrap();
        Layer { path, format: ImageFormat::Raw, identity, virtual_size: 4096 }
    }

    /// A root of that size: none where its client is connected.
    fn root(size: u64) -> RootFacts {
        RootFacts { size, device: Device { major: 0, minor: 42 } }
    }

    fn query(name: &str) -> HelperRequest {
        HelperRequest::Query(Some((ImageName::parse(name).unwrap(), ImageFormat::Raw)))
    }

    /// What a caller that has asked `request` as its seventh takes `line` for.
    fn read(request: &HelperRequest, line: &HelperLine) -> Result<HelperAnswer, ReplyError> {
        read_reply(&write_reply(line).unwrap(), 7, request)
    }

    /// Serves requests in which each is answered with the place it has among them, and returns what was answered.
    fn served(caller: &str, requests: &str) -> (io::Result<()>, String) {
        let (mut answers, mut count) = (Vec::new(), 0);
        let ended = serve(&caller, requests.as_bytes(), &mut answers, |_| {
            count += 1;
            HelperAnswer::Failed(count)
        });
        (ended, String::from_utf8(answers).unwrap())
    }

    #[test]
    fn requests_are_answered_in_order_and_by_number() {
        let (ended, answers) = served("3", "[5,{\"look\":null}]\n[9,{\"look\":[\"none\",\"raw\"]}]\n");
        ended.unwrap();
        assert_eq!(answers, "{\"answer\":[5,{\"failed\":1}]}\n{\"answer\":[9,{\"failed\":2}]}\n");
    }

    #[test]
    fn invalid_request_ends_the_helper() {
        let valid = "[1,{\"look\":null}]";
        for request in [
            "x\n",
            "\n",
            "{\"look\":null}\n",
            "[1,{\"look\":[\"../x\",\"raw\"]}]\n",
            "[-1,{\"look\":null}]\n",
            &format!("{valid} {valid}\n"),
            valid,
            &" ".repeat(MAX_LINE_LEN),
            &format!("{}{valid}\n", " ".repeat(MAX_LINE_LEN)),
        ] {
            let (ended, answers) = served("3", &format!("{valid}\n{request}"));
            assert!(ended.is_err(), "{request:.40}");
            assert_eq!(answers.lines().count(), 1, "{request:.40}");
        }
    }

    #[test]
    fn version_mismatch_is_reported_to_caller() {
        for caller in ["", "0.0.1", "0.1.0+2", "2", "03", "3.0", "4"] {
            let (ended, answer) = served(caller, "\"of later days\"\n");
            ended.unwrap();
            assert_eq!(answer, "{\"other_version\":\"3\"}\n", "{caller:?}");
        }
        let other = HelperLine::OtherVersion("0.1.0+2".to_owned());
        let error = read(&query("disk"), &other).unwrap_err().to_string();
        assert!(error.contains("0.1.0+2") && error.ends_with("restart the service"), "{error}");
    }

    #[test]
    fn answer_to_another_request_is_refused() {
        let answer = HelperAnswer::Failed(libc::EIO);
        for request in [query("disk"), HelperRequest::Probe(layer("disk"))] {
            assert_eq!(read(&request, &HelperLine::Answer(7, answer.clone())).unwrap(), answer);
            for number in [0, 6, 8, u64::MAX] {
                let error = read(&request, &HelperLine::Answer(number, answer.clone())).unwrap_err();
                assert!(matches!(error, ReplyError::OtherQuestion(_)), "{number}: {error}");
            }
        }
    }

    #[test]
    fn only_the_chain_asked_for_is_an_answer() {
        let nothing = HelperRequest::Query(None);
        let probe = HelperRequest::Probe(layer("disk"));
        let disk = query("disk");
        let answer = |root, chain| HelperAnswer::Query(root, chain);
        let layers = |count: usize| {
            let below = (1..count).map(|_| layer("below"));
            Ok([layer("disk")].into_iter().chain(below).collect())
        };
        let failed = Err(ChainFailure::Failed(layer("disk").path, libc::ENOENT));
        let qcow2 = Ok(vec![Layer { format: ImageFormat::Qcow2, ..layer("disk") }]);
        for (name, request, answer, is_accepted) in [
            ("one layer", &disk, answer(root(0), layers(1)), true),
            ("as many as may be", &disk, answer(root(0), layers(MAX_LAYERS)), true),
            ("too many", &disk, answer(root(0), layers(MAX_LAYERS + 1)), false),
            ("no layer", &disk, answer(root(0), Ok(Vec::new())), false),
            ("another image's", &disk, answer(root(0), Ok(vec![layer("other")])), false),
            ("another format", &disk, answer(root(0), qcow2), false),
            ("a failure", &disk, answer(root(0), failed.clone()), true),
            ("not connected", &disk, answer(root(1), Ok(Vec::new())), true),
            ("not connected, but layers", &disk, answer(root(1), layers(1)), false),
            ("not connected, but a failure", &disk, answer(root(1), failed.clone()), false),
            ("no image", &nothing, answer(root(0), Ok(Vec::new())), true),
            ("layers of no image", &nothing, answer(root(0), layers(1)), false),
            ("a failure of no image", &nothing, answer(root(0), failed), false),
            ("layers for a probe", &probe, answer(root(0), layers(1)), false),
            ("a dead client for a probe", &probe, HelperAnswer::Dead(libc::ENOTCONN), false),
        ] {
            let read = read(request, &HelperLine::Answer(7, answer));
            assert_eq!(read.is_ok(), is_accepted, "{name}: {read:?}");
        }
    }
}
