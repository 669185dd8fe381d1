//! Mutated images: QEMU opens, under strace, what the library accepts. It opens no file outside the share, and takes
//! no more memory and time than docs/IMAGES.md says.
//!
//! NOVA_QUOBYTE_IMAGES is how many images are to be accepted, NOVA_QUOBYTE_SEED repeats a run.
#![expect(clippy::disallowed_methods, reason = "the test makes images and removes them")]

mod mutation;
mod qemu;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
};

use e2e::{Rng, Scratch, env_number};
use image_corpus::{Specimen, hostile, legitimate};
use quobyte_volume::pure::{
    connection::ImageFormat,
    image::{ChainError, Identity, Opened, RelativePath, walk},
    kernel_mount::Device,
};
use rustix::fs::{major, minor};

use crate::mutation::mutate;
use crate::qemu::Qemu;

/// What the library says of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Accepted,
    Refused(&'static str),
    Missing,
}

/// Judges the image `top` in a directory, which is taken for a share.
fn verdict(share: &Path, top: &str) -> Verdict {
    let Ok(start) = RelativePath::parse(top) else { return Verdict::Refused("name") };
    let walked = walk(start, ImageFormat::Qcow2, &mut |path| {
        let file = File::open(share.join(path.as_path()))?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        }
        let device = Device { major: major(metadata.dev()), minor: minor(metadata.dev()) };
        let identity = Identity { device, inode: metadata.ino(), btime: None };
        Ok(Opened { identity, size: metadata.len(), content: Box::new(file) })
    });
    match walked {
        Ok(_) => Verdict::Accepted,
        Err(ChainError::Refused { violation, .. }) => Verdict::Refused(violation.rule.as_str()),
        Err(ChainError::Open(error)) if error.kind() == io::ErrorKind::NotFound => Verdict::Missing,
        Err(error) => panic!("{error:?}"),
    }
}

/// The images that mutations start from: those of the corpus that are declared as qcow2, but for the deepest chains.
fn parents() -> Vec<Specimen> {
    let all = [legitimate::of_bytes(), hostile::all()].concat();
    all.into_iter().filter(|image| image.format == "qcow2" && image.files.len() < 10).collect()
}

#[test]
fn mutated_images_stay_in_bounds() {
    let mut rng = Rng::from_env();
    let wanted = env_number("NOVA_QUOBYTE_IMAGES", 100_u32);
    let scratch = Scratch::new();
    let share = scratch.directory("share");
    let parents = parents();
    let qemu = Qemu::new(&scratch);
    let mut verdicts = BTreeMap::<Verdict, u32>::new();
    let (mut accepted, mut opened) = (0, 0);
    while accepted < wanted {
        let image = mutate(&mut rng, &parents);
        image.place(&share).expect("write an image");
        let verdict = verdict(&share, image.top());
        *verdicts.entry(verdict).or_default() += 1;
        if verdict == Verdict::Accepted {
            accepted += 1;
            let when = format!("image {}, a mutated {}", verdicts.values().sum::<u32>(), image.name);
            opened += u32::from(qemu.open(&share, image.top(), &when));
        }
        fs::remove_dir_all(&share).and_then(|()| fs::create_dir(&share)).expect("clear the share");
    }
    println!("{accepted} images accepted, of which QEMU opened {opened}; {}", qemu.report());
    println!("{verdicts:?}");
    assert!(opened > accepted / 2, "most of what is accepted is an image to QEMU, too");
}

/// The corpus's image that is dirty and as large as one may be, with all that a repair can find wrong.
fn worst_dirty_image() -> Specimen {
    const L1_TABLE: u64 = 3 << 16;
    let mut images = legitimate::of_bytes().into_iter();
    let mut image = images.find(|image| image.name == "dirty_disk_of_510_gib").expect("it is in the corpus");
    let (_, content) = &mut image.files[0];
    // Each entry leads to this table itself, as an L2 table and then as data.
    let entry = (1 << 63 | L1_TABLE).to_be_bytes();
    *content = content.clone().with(L1_TABLE, entry.repeat(8192));
    image
}

#[test]
fn costliest_accepted_images_stay_in_bounds() {
    let scratch = Scratch::new();
    let qemu = Qemu::new(&scratch);
    for image in [legitimate::of_bytes(), vec![worst_dirty_image()]].concat() {
        let share = scratch.directory(image.name);
        image.place(&share).expect("write an image");
        if image.format == "qcow2" {
            assert_eq!(verdict(&share, image.top()), Verdict::Accepted, "{}", image.name);
            qemu.open(&share, image.top(), image.name);
        }
        fs::remove_dir_all(&share).expect("remove an image");
    }
    println!("{}", qemu.report());
}
