//! docs/SEMANTICS.md names the tests that show each promise. They have to be there.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

const DOCUMENT: &str = include_str!("../../docs/SEMANTICS.md");

/// The files and tests named in a paragraph `Shown by`: each test belongs to the file named before it.
fn tests_named(paragraph: &str) -> Vec<(&str, &str)> {
    let names = paragraph.split('`').skip(1).step_by(2);
    let mut files = Vec::new();
    let mut tests = Vec::new();
    for name in names {
        if name.contains('/') {
            files.push(name);
        } else {
            tests.push((*files.last().expect("a file is named first"), name));
        }
    }
    for file in files {
        assert!(tests.iter().any(|(of, _)| *of == file), "no test of {file} is named");
    }
    tests
}

#[test]
fn semantics_doc_names_existing_tests() {
    let directory = env::var_os("CARGO_MANIFEST_DIR").expect("cargo tells where the tests are");
    let root: PathBuf = Path::new(&directory).join("..");
    let mut sources = BTreeMap::new();
    let mut promise = None;
    let mut shown = 0;
    for paragraph in DOCUMENT.split("\n\n") {
        if paragraph.starts_with("**") {
            assert_eq!(promise, None, "no test shows it");
            promise = Some(paragraph);
        }
        if !paragraph.starts_with("Shown by ") {
            continue;
        }
        let promise = promise.take().expect("tests are named after the promise that they show");
        let tests = tests_named(paragraph);
        assert!(!tests.is_empty(), "{promise}");
        for (file, test) in tests {
            let source = sources.entry(file).or_insert_with(|| {
                fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
            });
            // Those in the container with systemd are functions of the shell, those in Nova Python's.
            let spellings =
                [format!("fn {test}("), format!("\n{test}() {{\n"), format!("\ndef test_{test}(")];
            let is_there = spellings.iter().any(|spelling| source.contains(spelling));
            assert!(is_there, "{file} has no test {test}");
        }
        shown += 1;
    }
    assert_eq!(promise, None, "no test shows it");
    assert_eq!(shown, DOCUMENT.lines().filter(|line| line.starts_with("**")).count());
}
