//! The corpus of images as real files, checked by the library.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use e2e::{Program, Scratch};
use image_corpus::{Verdict, hostile, legitimate};
use quobyte_volume::pure::{
    connection::ImageFormat,
    image::{ChainError, Identity, Layer, Opened, RelativePath, walk},
    kernel_mount::Device,
};
use rustix::fs::{major, minor};
use serde_json::Value;

/// Follows the chain of the file at `top`, taking the directory for a share.
fn layers(directory: &Path, top: &str, format: &str) -> Result<Vec<Layer>, ChainError<io::Error>> {
    let start = RelativePath::parse(top).expect("the corpus has plain names");
    let format: ImageFormat = format.parse().expect("the corpus declares raw or qcow2");
    walk(start, format, &mut |path| {
        let file = File::open(directory.join(path.as_path()))?;
        let metadata = file.metadata()?;
        let device = Device { major: major(metadata.dev()), minor: minor(metadata.dev()) };
        let identity = Identity { device, inode: metadata.ino(), btime: None };
        Ok(Opened { identity, size: metadata.len(), content: Box::new(file) })
    })
}

fn verdict(directory: &Path, top: &str, format: &str) -> Result<Verdict, ChainError<io::Error>> {
    match layers(directory, top, format) {
        Ok(layers) => Ok(Verdict::Accepted { layers: layers.len() }),
        Err(ChainError::Refused { violation, .. }) => Ok(Verdict::Refused(violation.rule.as_str())),
        Err(ChainError::Open(error)) if error.kind() == io::ErrorKind::NotFound => Ok(Verdict::Missing),
        Err(other) => Err(other),
    }
}

#[test]
fn verdicts_match_image_corpus() {
    let scratch = Scratch::new();
    for specimen in hostile::all().iter().chain(&legitimate::of_bytes()) {
        let directory = scratch.directory(specimen.name);
        specimen.place(&directory).expect("write an image");
        let verdict = verdict(&directory, specimen.top(), specimen.format).expect(specimen.name);
        assert_eq!(verdict, specimen.verdict, "{}", specimen.name);
    }
}

/// Path, format and virtual size of every file that QEMU opens for an image.
fn qemu_layers(directory: &Path, top: &str, format: &str) -> Vec<(PathBuf, String, u64)> {
    let info = Program::as_nova("qemu-img")
        .args(["info", "--backing-chain", "--output=json", "-f", format])
        .arg(directory.join(top))
        .succeed();
    let info: Value = serde_json::from_str(&info).expect("qemu-img answers with JSON");
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    info.as_array()
        .expect("a list of files")
        .iter()
        .map(|file| {
            let virtual_size = file["virtual-size"].as_u64().expect("a number");
            (text(&file["filename"]).into(), text(&file["format"]), virtual_size)
        })
        .collect()
}

fn our_layers(directory: &Path, layers: &[Layer]) -> Vec<(PathBuf, String, u64)> {
    let described = |layer: &Layer| {
        let path = directory.join(layer.path.as_path());
        (path, layer.format.as_str().to_owned(), layer.virtual_size)
    };
    layers.iter().map(described).collect()
}

/// Checks an image that is there, and has QEMU open the same.
fn assert_layers_match_qemu(directory: &Path, top: &str, format: &str) -> Vec<Layer> {
    let ours =
        layers(directory, top, format).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    assert_eq!(our_layers(directory, &ours), qemu_layers(directory, top, format));
    ours
}

#[test]
fn accepted_chain_matches_qemu() {
    let scratch = Scratch::new();
    for specimen in legitimate::of_bytes() {
        let directory = scratch.directory(specimen.name);
        specimen.place(&directory).expect("write an image");
        assert_layers_match_qemu(&directory, specimen.top(), specimen.format);
    }
}

#[test]
fn chains_made_by_cinder_and_qemu_match_qemu() {
    let scratch = Scratch::new();
    for recipe in legitimate::of_commands() {
        let directory = scratch.directory(recipe.name);
        recipe.place(&directory).expect("make an image");
        let layers = assert_layers_match_qemu(&directory, recipe.top, recipe.format);
        assert_eq!(layers.len(), recipe.layers, "{}: {layers:?}", recipe.name);
        assert_eq!(layers[0].virtual_size, recipe.virtual_size, "{}: {layers:?}", recipe.name);
    }
}

#[test]
fn hard_linked_backing_file_is_a_chain_loop() {
    let scratch = Scratch::new();
    let specimen = hostile::all()
        .into_iter()
        .find(|specimen| specimen.name == "base_that_is_not_there")
        .expect("it is in the corpus");
    let overlay = specimen.place(scratch.path()).expect("write an image");
    fs::hard_link(overlay, scratch.path().join("base")).expect("link a file");
    let verdict = verdict(scratch.path(), specimen.top(), specimen.format).expect("a verdict");
    assert_eq!(verdict, Verdict::Refused("chain_loop"));
}

#[test]
fn corpus_has_unique_names_and_minimum_size() {
    let hostile: Vec<_> = hostile::all().iter().map(|specimen| specimen.name).collect();
    let of_bytes = legitimate::of_bytes();
    let of_commands = legitimate::of_commands();
    let legitimate: Vec<_> = of_bytes
        .iter()
        .map(|specimen| specimen.name)
        .chain(of_commands.iter().map(|recipe| recipe.name))
        .collect();
    assert!(hostile.len() >= 80, "{} hostile images", hostile.len());
    assert!(legitimate.len() >= 30, "{} legitimate images", legitimate.len());
    let mut names = [hostile, legitimate].concat();
    names.sort_unstable();
    assert!(names.is_sorted_by(|one, next| one != next), "{names:?}");
}
