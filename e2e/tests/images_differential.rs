//! The corpus of images before three inspectors: this project, QEMU's own tool, and OpenStack's format inspector.
//!
//! docs/IMAGES.md holds the table that this test writes, with the reason for every difference.

use std::{
    collections::BTreeSet,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use e2e::{Program, Scratch};
use image_corpus::{Verdict, hostile, legitimate};
use serde_json::Value;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/IMAGES.md");
/// The line in front of the table.
const START: &str = "<!-- Written by e2e/tests/images_differential.rs. -->\n";

/// An image as a file, and what must come of it: images_verdicts.rs shows that it does.
struct Image {
    name: &'static str,
    format: &'static str,
    path: PathBuf,
    verdict: Verdict,
}

fn images(scratch: &Scratch) -> Vec<Image> {
    let mut images = Vec::new();
    for specimen in hostile::all().into_iter().chain(legitimate::of_bytes()) {
        images.push(Image {
            name: specimen.name,
            format: specimen.format,
            path: specimen.place(&scratch.directory(specimen.name)).expect("write an image"),
            verdict: specimen.verdict,
        });
    }
    for recipe in legitimate::of_commands() {
        images.push(Image {
            name: recipe.name,
            format: recipe.format,
            path: recipe.place(&scratch.directory(recipe.name)).expect("make an image"),
            verdict: Verdict::Accepted { layers: recipe.layers },
        });
    }
    images
}

/// What `qemu-img` says of the file alone, as it is declared.
fn qemu_verdict(image: &Image) -> &'static str {
    let info = Program::as_nova("qemu-img")
        .args(["info", "--output=json", "-f", image.format])
        .arg(&image.path)
        .run();
    if !info.status.success() {
        return "refuses";
    }
    let info: Value = serde_json::from_str(&info.stdout).expect("qemu-img answers with JSON");
    let data = &info["format-specific"]["data"];
    if info["encrypted"] == true {
        "opens, encrypted"
    } else if !data["data-file"].is_null() {
        "opens, names a data file"
    } else if data["corrupt"] == true {
        "opens, corrupt"
    } else if !info["backing-filename"].is_null() {
        "opens, names a backing file"
    } else {
        "opens"
    }
}

/// What oslo.utils says of each file, as Nova and Glance ask it.
fn oslo_verdicts(images: &[Image]) -> Vec<String> {
    let checkout = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let arguments = images.iter().flat_map(|image| [image.format.as_ref(), image.path.as_os_str()]);
    let answers = Program::as_root(checkout.join("target/lab/venv-oslo/bin/python"))
        .arg(checkout.join("tests/images/oslo_verdicts.py"))
        .args(arguments)
        // Nothing in target/ shall become root's.
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .succeed();
    let answers: Vec<_> =
        answers.lines().map(|line| serde_json::from_str(line).expect("a JSON string a line")).collect();
    assert_eq!(answers.len(), images.len());
    answers
}

/// One line of the table: an image, who says what of it, and why they differ.
struct Row {
    name: &'static str,
    ours: String,
    qemu: &'static str,
    oslo: String,
    differences: Vec<&'static str>,
}

impl Row {
    fn new(image: &Image, oslo: String) -> Self {
        let qemu = qemu_verdict(image);
        let differences =
            qemu_difference(image, qemu).into_iter().chain(oslo_difference(image, &oslo)).collect();
        let ours = match image.verdict {
            Verdict::Accepted { .. } => "accepted".to_owned(),
            Verdict::Refused(rule) => format!("`{rule}`"),
            Verdict::Missing => "missing".to_owned(),
        };
        Self { name: image.name, ours, qemu, oslo, differences }
    }
}

/// Why we do not say what QEMU says. A difference nobody has thought of panics.
fn qemu_difference(image: &Image, qemu: &str) -> Option<&'static str> {
    match (image.verdict, qemu) {
        (Verdict::Accepted { layers: 1 }, "opens") => None,
        (Verdict::Accepted { layers: 2.. }, "opens, names a backing file") => None,
        (Verdict::Accepted { .. }, _) => panic!("{}: accepted, and QEMU {qemu}", image.name),
        (_, "refuses") => None,
        (_, "opens") => Some("lenient"),
        _ => Some("reported"),
    }
}

/// Why we do not say what oslo.utils says. A difference nobody has thought of panics.
fn oslo_difference(image: &Image, oslo: &str) -> Option<&'static str> {
    let is_accepted = matches!(image.verdict, Verdict::Accepted { .. });
    match (is_accepted, oslo) {
        (true, "accepts") => None,
        (false, "accepts") => Some("unseen"),
        (false, _) => None,
        (true, "refuses: backing_file") => Some("snapshots"),
        (true, "refuses: backing_file, data_file") if image.name.starts_with("version_2") => {
            Some("version 2")
        }
        (true, "refuses: unknown_features") if image.name.contains("extended_l2") => Some("extended L2"),
        (true, "refuses: several formats") if image.name.contains("guest_data") => Some("guest data"),
        (true, _) => panic!("{}: accepted, and oslo.utils {oslo}", image.name),
    }
}

fn table(rows: &[Row]) -> String {
    let mut table = String::from(
        "| image | nova-quobyte | qemu-img info | oslo.utils | difference |\n|---|---|---|---|---|\n",
    );
    for Row { name, ours, qemu, oslo, differences } in rows {
        let differences = differences.join(", ");
        writeln!(table, "| {name} | {ours} | {qemu} | {oslo} | {differences} |").expect("a string takes it");
    }
    table
}

#[test]
fn images_doc_matches_verdicts() {
    let scratch = Scratch::new();
    let images = images(&scratch);
    let oslo = oslo_verdicts(&images);
    let rows: Vec<_> = images.iter().zip(oslo).map(|(image, oslo)| Row::new(image, oslo)).collect();

    let document = fs::read_to_string(DOCUMENT).expect("read the document");
    let (explanations, _) = document.split_once(START).expect("the document has a table");
    let expected = format!("{explanations}{START}\n{}", table(&rows));
    if document != expected {
        let expected = scratch.file("expected", expected);
        let patch = Program::as_root("diff").arg("--unified").arg(DOCUMENT).arg(expected).run();
        panic!("{DOCUMENT} should have another table; `patch` takes this:\n{}", patch.stdout);
    }
    let rules = images.iter().filter_map(|image| match image.verdict {
        Verdict::Refused(rule) => Some(rule),
        _ => None,
    });
    let named: BTreeSet<_> =
        rules.chain(rows.iter().flat_map(|row| row.differences.iter().copied())).collect();
    for name in named {
        let is_explained = explanations.contains(&format!("\n| `{name}` | "));
        assert!(is_explained, "{DOCUMENT} does not explain {name}");
    }
}
