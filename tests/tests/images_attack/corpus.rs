//! The whole corpus through the command, each image on a volume of its own.

use image_corpus::{Specimen, Verdict, hostile, legitimate};
use lab::{Canary, Site, Volume};
use serde_json::{Value, json};

use crate::{ALICE, refused::assert_refused};

struct Case {
    volume: Volume,
    name: &'static str,
    top: String,
    format: &'static str,
    verdict: Verdict,
}

impl Case {
    fn of_bytes(site: &Site, specimen: &Specimen) -> Self {
        let volume = site.volume().beside(site.scratch(), specimen.name);
        specimen.place(volume.directory()).expect("write an image");
        let top = specimen.top().to_owned();
        Self { volume, name: specimen.name, top, format: specimen.format, verdict: specimen.verdict }
    }

    fn of_commands(site: &Site, recipe: &legitimate::Recipe) -> Self {
        let volume = site.volume().beside(site.scratch(), recipe.name);
        recipe.place(volume.directory()).expect("make an image");
        let verdict = Verdict::Accepted { layers: recipe.layers };
        Self { volume, name: recipe.name, top: recipe.top.to_owned(), format: recipe.format, verdict }
    }

    fn info(&self, site: &Site) -> Value {
        let mut info = site.info(&self.top);
        info["data"]["export"] = json!(self.volume.export());
        info["data"]["format"] = json!(self.format);
        info
    }

    fn judge(&self, site: &Site) {
        let (name, info) = (self.name, self.info(site));
        let reply = site.connect(ALICE, &info);
        match self.verdict {
            Verdict::Refused(rule) => assert_refused(name, &reply, rule),
            Verdict::Missing => assert_eq!(reply.failure(), (6, "image_missing"), "{name}"),
            Verdict::Accepted { layers } => {
                let answer = reply.answer();
                assert_eq!(answer["chain"].as_array().map(Vec::len), Some(layers), "{name}: {answer}");
                site.disconnect(ALICE, &info).answer();
            }
        }
        site.assert_nothing_is_left();
    }
}

#[test]
fn connect_gives_every_image_of_bytes_its_verdict_and_leaves_nothing_behind() {
    let canary = Canary::of_the_lab();
    let site = Site::new(&[]);
    for specimen in hostile::all().iter().chain(&legitimate::of_bytes()) {
        Case::of_bytes(&site, specimen).judge(&site);
    }
    assert!(canary.is_untouched());
}

#[test]
fn connect_accepts_whatever_cinder_and_qemu_make() {
    let site = Site::new(&[]);
    for recipe in &legitimate::of_commands() {
        Case::of_commands(&site, recipe).judge(&site);
    }
}
