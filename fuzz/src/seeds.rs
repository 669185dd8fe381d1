//! Inputs to start from: the corpus of images in short, and what peers really say.

use image_corpus::{Specimen, hostile, legitimate};

use crate::encoding::{encode, encode_files};

/// An input, by the names of its target and of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed {
    /// What it is for.
    pub target: &'static str,
    /// Its file's name.
    pub name: &'static str,
    /// The bytes.
    pub input: Vec<u8>,
}

/// Every image of bytes in the corpus: one file as a header, more as a chain. The deepest chains are left out for their
/// size.
#[must_use]
pub fn from_images() -> Vec<Seed> {
    let specimens = [hostile::all(), legitimate::of_bytes()].concat();
    specimens
        .iter()
        .filter(|specimen| specimen.format == "qcow2" && specimen.files.len() < 10)
        .map(seed)
        .collect()
}

fn seed(specimen: &Specimen) -> Seed {
    let name = specimen.name;
    match &specimen.files[..] {
        [(_, content)] => Seed { target: "header", name, input: encode(content) },
        _ => Seed { target: "chain", name, input: encode_files(specimen) },
    }
}
