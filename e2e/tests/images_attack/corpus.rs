//! The whole corpus through the command, on a share that another guest keeps mounted.

use std::{fs, path::Path};

use e2e::{Canary, Site};
use image_corpus::{Verdict, hostile, legitimate};
use serde_json::json;

use crate::{ALICE, BOB, refused::assert_refused};

/// A site whose share stays mounted. No image of the corpus is called `bobs`.
fn site() -> Site {
    let site = Site::new(&[]);
    site.volume().image("bobs", "raw", &[0; 4096]);
    site.connect(BOB, &site.info("bobs")).answer();
    site
}

fn record(site: &Site) -> Vec<u8> {
    let [record] = &site.records()[..] else { panic!("one volume is connected") };
    fs::read(site.state().join("shares").join(record)).expect("read a record")
}

/// Connects the image that has been made on the volume, and disconnects it.
fn assert_verdict(site: &Site, name: &str, top: &Path, format: &str, verdict: Verdict) {
    let top = top.strip_prefix(site.volume().directory()).expect("it is on the volume");
    let mut info = site.info(&top.to_string_lossy());
    info["data"]["format"] = json!(format);
    let before = record(site);
    let reply = site.connect(ALICE, &info);
    match verdict {
        Verdict::Refused(rule) => assert_refused(name, &reply, rule),
        Verdict::Missing => assert_eq!(reply.failure(), (6, "image_missing"), "{name}"),
        Verdict::Accepted { layers } => {
            let answer = reply.answer();
            assert_eq!(answer["chain"].as_array().map(Vec::len), Some(layers), "{name}: {answer}");
            site.disconnect(ALICE, &info).answer();
        }
    }
    assert!(record(site) == before, "{name} is left on record");
    clear_volume(site.volume().directory());
}

/// Makes room for the next image.
fn clear_volume(volume: &Path) {
    for entry in fs::read_dir(volume).expect("list a volume") {
        let path = entry.expect("list a volume").path();
        if path.is_dir() {
            fs::remove_dir_all(path).expect("remove a directory");
        } else if !path.ends_with("bobs") {
            fs::remove_file(path).expect("remove a file");
        }
    }
}

#[test]
fn connect_verdicts_match_image_corpus() {
    let canary = Canary::of_the_lab();
    let site = site();
    for specimen in hostile::all().iter().chain(&legitimate::of_bytes()) {
        let top = specimen.place(site.volume().directory()).expect("write an image");
        assert_verdict(&site, specimen.name, &top, specimen.format, specimen.verdict);
    }
    site.disconnect(BOB, &site.info("bobs")).answer();
    site.assert_nothing_is_left();
    assert!(canary.is_untouched());
}

#[test]
fn connect_accepts_cinder_and_qemu_images() {
    let site = site();
    for recipe in &legitimate::of_commands() {
        let top = recipe.place(site.volume().directory()).expect("make an image");
        assert_verdict(&site, recipe.name, &top, recipe.format, Verdict::Accepted { layers: recipe.layers });
    }
}
