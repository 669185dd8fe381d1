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
mod tests;
