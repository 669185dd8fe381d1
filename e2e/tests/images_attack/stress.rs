//! Connects while somebody keeps swapping a file of the chain: whatever is accepted is what was meant, as a whole.

use std::{
    fs,
    os::unix::fs::{MetadataExt, symlink},
};

use e2e::{Canary, Reply, Site, make_pipe};
use image_corpus::{Content, Qcow2, extension};
use serde_json::{Value, json};

use crate::{ALICE, BOB, place, swapper::Swapper};

const ROUNDS: usize = 60;

/// A site whose share stays mounted, with a link to the canary, a pipe and a directory on it.
fn site(canary: &Canary) -> Site {
    let site = unmounted_site(canary);
    site.volume().image("bobs", "raw", &[0; 4096]);
    site.connect(BOB, &site.info("bobs")).answer();
    site
}

/// The same, but each connect mounts the share anew, and so probes it.
fn unmounted_site(canary: &Canary) -> Site {
    let site = Site::new(&[]);
    let directory = site.volume().directory();
    symlink(canary.path(), directory.join("link")).expect("make a link");
    make_pipe(&directory.join("pipe"));
    fs::create_dir(directory.join("directory")).expect("make a directory");
    site
}

/// The record of the one share in use.
fn record(site: &Site) -> Value {
    let [record] = &site.records()[..] else { panic!("one volume is connected") };
    let record = fs::read(site.state().join("shares").join(record)).expect("read a record");
    serde_json::from_slice(&record).expect("a record is JSON")
}

/// The file at a layer of the volume on record: its inode.
fn recorded_inode(site: &Site, layer: usize) -> u64 {
    let record = record(site);
    let attachments = record["attachments"].as_array().expect("a record lists attachments");
    let ours = attachments.iter().find(|attachment| attachment["instance"] == ALICE).expect("connected");
    ours["chain"][layer]["identity"]["inode"].as_u64().expect("an inode is a number")
}

struct SwapAttack<'a> {
    /// The image that is connected, and its declared format.
    image: (&'a str, &'a str),
    /// The file of its chain that is swapped, and its place there.
    swapped: (&'a str, usize),
    /// With what.
    replacements: &'a [&'a str],
    /// Those of all these that may be accepted: each with the size of its disk.
    legitimate: &'a [(&'a str, u64)],
    /// The rules that the rest breaks.
    rules: &'a [&'a str],
}

impl SwapAttack<'_> {
    /// Returns how many of the connects that were accepted had their mount probed.
    fn run(&self, site: &Site) -> usize {
        let path = |name: &&str| site.volume().directory().join(name);
        let inode = |name| fs::metadata(path(&name)).expect("it is there").ino();
        let legitimate: Vec<_> = self.legitimate.iter().map(|(name, size)| (inode(name), *size)).collect();
        let (image, format) = self.image;
        let mut info = site.info(image);
        info["data"]["format"] = json!(format);

        let records = site.records();
        let swapper = Swapper::start(path(&self.swapped.0), self.replacements.iter().map(path).collect());
        let (mut accepted, mut refused, mut probed) = (0, 0, 0);
        for _ in 0..ROUNDS {
            let reply = site.connect(ALICE, &info);
            if reply.is_success() {
                let layer = self.swapped.1;
                let size = reply.answer()["chain"][layer]["virtual_size"].as_u64().expect("a size");
                let found = (recorded_inode(site, layer), size);
                assert!(legitimate.contains(&found), "{image}: {found:?} is none of {legitimate:?}");
                probed += usize::from(!record(site)["probe"].is_null());
                site.disconnect(ALICE, &info).answer();
                accepted += 1;
            } else {
                self.assert_refused(&reply);
                refused += 1;
            }
            assert_eq!(site.records(), records);
        }
        swapper.stop();
        assert!(accepted > 0 && refused > 0, "{image}: accepted {accepted}, refused {refused}");
        probed
    }

    fn assert_refused(&self, reply: &Reply) {
        let (status, _) = reply.failure();
        let names = |rule: &&str| reply.message().contains(&format!("(rule {rule}: "));
        assert!(status == 6 && self.rules.iter().any(names), "{}: {}", self.image.0, reply.message());
    }
}

/// Makes a raw image on the site's volume, and another that is put in its place.
fn raw_image_attack(site: &Site) -> SwapAttack<'static> {
    let directory = site.volume().directory();
    place(directory, "disk", Content::zeroes(1 << 20));
    place(directory, "other", Content::zeroes(2 << 20));
    SwapAttack {
        image: ("disk", "raw"),
        swapped: ("disk", 0),
        replacements: &["link", "other", "pipe", "directory"],
        legitimate: &[("disk", 1 << 20), ("other", 2 << 20)],
        rules: &["leads_away", "not_regular_file"],
    }
}

#[test]
fn raw_image_swap_race_is_harmless() {
    let canary = Canary::of_the_lab();
    let site = site(&canary);
    raw_image_attack(&site).run(&site);
    assert!(canary.is_untouched());
}

#[test]
fn qcow2_image_swap_race_is_harmless() {
    let canary = Canary::of_the_lab();
    let site = site(&canary);
    let directory = site.volume().directory();
    let target = canary.path().to_str().expect("a path of the lab is text");
    place(directory, "disk", Qcow2::v3());
    place(directory, "hostile", Qcow2::v3().feature(2).extension(extension::DATA_FILE, target.as_bytes()));
    place(directory, "raw", Content::zeroes(1 << 20));
    SwapAttack {
        image: ("disk", "qcow2"),
        swapped: ("disk", 0),
        replacements: &["link", "hostile", "pipe", "raw", "directory"],
        legitimate: &[("disk", 1 << 20)],
        rules: &["leads_away", "not_regular_file", "external_data_file", "not_qcow2"],
    }
    .run(&site);
    assert!(canary.is_untouched());
}

#[test]
fn backing_file_swap_race_is_harmless() {
    let canary = Canary::of_the_lab();
    let site = site(&canary);
    let directory = site.volume().directory();
    place(directory, "disk", Qcow2::v3().on("base", "qcow2"));
    place(directory, "base", Qcow2::v3());
    place(directory, "hostile", Qcow2::v3().on(canary.path().as_os_str().as_encoded_bytes(), "raw"));
    SwapAttack {
        image: ("disk", "qcow2"),
        swapped: ("base", 1),
        replacements: &["link", "hostile", "pipe", "directory"],
        legitimate: &[("base", 1 << 20)],
        rules: &["leads_away", "not_regular_file", "backing_name"],
    }
    .run(&site);
    assert!(canary.is_untouched());
}

#[test]
fn probed_image_swap_race_is_harmless() {
    let canary = Canary::of_the_lab();
    let site = unmounted_site(&canary);
    let probed = raw_image_attack(&site).run(&site);
    assert!(probed > 0, "no probe found the file that was looked at");
    site.assert_nothing_is_left();
    assert!(canary.is_untouched());
}
