//! Attacks by images and by who may rename files on a share: no other file than the image is ever touched, described or
//! given to a guest.
#![expect(clippy::disallowed_methods, reason = "whoever attacks makes and removes files as they like")]

mod canary;
mod corpus;
mod described;
mod reaching;
mod refused;
mod stress;
mod swapper;

use std::path::Path;

use image_corpus::{Content, Specimen, Verdict};

/// A guest that need not exist.
const ALICE: &str = "a11ce000-0000-4000-8000-000000000001";
/// A guest that keeps a share mounted.
const BOB: &str = "b0b00000-0000-4000-8000-000000000002";

/// Writes a file of that name and content.
fn place(directory: &Path, name: &str, content: impl Into<Content>) {
    let files = vec![(name.to_owned(), content.into())];
    let specimen = Specimen { name: "file", format: "raw", files, verdict: Verdict::Accepted { layers: 1 } };
    specimen.place(directory).expect("write a file");
}
