//! Images that reach for a file of the host, before a guest that runs.

use std::{
    os::unix::{fs::symlink, net::UnixListener},
    path::Path,
};

use e2e::{Canary, Guest, Site, make_pipe};
use image_corpus::{Content, Qcow2, at, extension, hostile};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use serde_json::json;

use crate::{ALICE, place, refused::assert_refused};

/// The name and the format an image is handed over by, and the rule it breaks.
struct Attack {
    name: String,
    format: &'static str,
    rule: &'static str,
}

impl Attack {
    fn new(name: &str, format: &'static str, rule: &'static str) -> Self {
        Self { name: name.to_owned(), format, rule }
    }
}

/// Entries of a directory that are no image.
fn entries(directory: &Path, target: &Path) -> Vec<Attack> {
    let path = |name: &str| directory.join(name);
    symlink(target, path("link")).expect("make a link");
    symlink("base", path("link_to_a_neighbour")).expect("make a link");
    symlink(target.parent().expect("a file is in a directory"), path("elsewhere")).expect("make a link");
    make_pipe(&path("pipe"));
    drop(UnixListener::bind(path("socket")).expect("make a socket"));
    let (mode, null) = (Mode::from_raw_mode(0o666), makedev(1, 3));
    mknodat(CWD, path("device"), FileType::CharacterDevice, mode, null).expect("make a device");
    std::fs::create_dir(path("directory")).expect("make a directory");
    [
        ("link", "leads_away"),
        ("link_to_a_neighbour", "leads_away"),
        ("elsewhere", "leads_away"),
        ("pipe", "not_regular_file"),
        ("socket", "not_regular_file"),
        ("device", "not_regular_file"),
        ("directory", "not_regular_file"),
    ]
    .into_iter()
    .flat_map(|(name, rule)| [Attack::new(name, "raw", rule), Attack::new(name, "qcow2", rule)])
    .collect()
}

/// Headers that lead to `target`, or to what `entries` made.
fn headers(directory: &Path, target: &str) -> Vec<Attack> {
    let on = |name: &str, format| Qcow2::v3().on(name, format);
    let json = json!({"driver": "file", "filename": target}).to_string();
    let headers = [
        ("on_the_file", "backing_name", on(target, "raw")),
        ("on_the_file_as_qcow2", "backing_name", on(target, "qcow2")),
        ("on_json", "backing_name", on(&format!("json:{json}"), "raw")),
        ("on_a_protocol", "backing_name", on(&format!("file:{target}"), "raw")),
        ("on_a_socket", "backing_name", on("nbd:unix:/run/libvirt/libvirt-sock", "raw")),
        ("on_a_url", "backing_name", on("http://192.0.2.1/disk", "raw")),
        ("on_the_directory_above", "backing_name", on("../canary", "raw")),
        ("on_an_unknown_format", "backing_format", Qcow2::v3().on_unknown_format("base")),
        ("on_vmdk", "backing_format", on("base", "vmdk")),
        ("on_a_link", "leads_away", on("link", "raw")),
        ("on_a_link_of_a_directory", "leads_away", on("elsewhere/canary", "raw")),
        ("on_a_pipe", "not_regular_file", on("pipe", "raw")),
        ("on_a_pipe_as_qcow2", "not_regular_file", on("pipe", "qcow2")),
        ("on_itself", "chain_loop", on("on_itself", "qcow2")),
        ("on_one_on_the_file", "backing_name", on("on_the_file", "qcow2")),
        ("on_one_with_a_data_file", "external_data_file", on("data_file", "qcow2")),
        (
            "data_file",
            "external_data_file",
            Qcow2::v3().feature(2).extension(extension::DATA_FILE, target.as_bytes()),
        ),
        ("data_file_feature", "external_data_file", Qcow2::v3().feature(2)),
        (
            "data_file_name",
            "external_data_file",
            Qcow2::v3().extension(extension::DATA_FILE, format!("json:{json}").as_bytes()),
        ),
        ("raw_data_file_mark", "external_data_file", Qcow2::v3().bit(at::AUTOCLEAR_FEATURES, 1)),
    ];
    let attack = |(name, rule, content): (&str, _, Qcow2)| image(directory, name, rule, content);
    headers.into_iter().map(attack).collect()
}

/// Files of other formats, two of which lead to a file of the host.
fn foreign(directory: &Path) -> Vec<Attack> {
    let names =
        ["vmdk_of_a_file_of_the_host", "vmdk_of_one_file", "qed", "luks", "vhdx_on_a_parent", "iso9660"];
    let corpus = hostile::all();
    let content = |name: &str| {
        let specimen = corpus.iter().find(|specimen| specimen.name == name).expect("it is in the corpus");
        specimen.files[0].1.clone()
    };
    names.into_iter().map(|name| image(directory, name, "not_qcow2", content(name))).collect()
}

fn image(directory: &Path, name: &str, rule: &'static str, content: impl Into<Content>) -> Attack {
    place(directory, name, content);
    Attack::new(name, "qcow2", rule)
}

#[test]
fn image_referencing_host_file_is_rejected() {
    let canary = Canary::of_the_lab();
    let site = Site::new(&[]);
    let directory = site.volume().directory();
    site.volume().image("base", "raw", &[0; 1 << 20]);
    let mut guest = Guest::boot(site.scratch());
    let before = guest.xml(&[]);

    let target = canary.path().to_str().expect("a path of the lab is text");
    let attacks = entries(directory, canary.path()).into_iter();
    let attacks = attacks.chain(headers(directory, target)).chain(foreign(directory));
    for Attack { name, format, rule } in attacks {
        let mut info = site.info(&name);
        info["data"]["format"] = json!(format);
        for reply in [site.connect(ALICE, &info), site.attach(&guest, &info, &[])] {
            assert_refused(&name, &reply, rule);
            site.assert_nothing_is_left();
        }
        assert_eq!(guest.xml(&[]), before, "{name}");
    }
    assert_eq!(guest.disks(), [""; 0]);
    assert!(canary.is_untouched());
}
