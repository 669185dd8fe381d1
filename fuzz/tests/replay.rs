//! The committed inputs, without a fuzzer.
#![expect(clippy::disallowed_methods, reason = "keeping the corpus up to date writes files")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use fuzz::{TARGETS, seeds};

fn corpus_dir(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

/// The inputs of a target by their files' names.
fn inputs(target: &str) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(corpus_dir(target)).expect("every target has a corpus");
    files
        .map(|file| file.expect("list a corpus"))
        .map(|file| {
            let input = fs::read(file.path()).expect("read an input");
            (file.file_name().to_string_lossy().into_owned(), input)
        })
        .collect()
}

#[test]
fn corpus_inputs_pass_fuzz_targets() {
    for (target, check) in TARGETS {
        for (name, input) in inputs(target) {
            // What panics below says why; this says where.
            println!("{target}/{name}");
            check(&input);
        }
    }
}

/// `UPDATE_SEEDS=1` writes what differs.
#[test]
fn image_corpus_seeds_are_committed() {
    for seed in seeds::from_images() {
        let path = corpus_dir(seed.target).join(seed.name);
        if std::env::var_os("UPDATE_SEEDS").is_some() {
            fs::create_dir_all(corpus_dir(seed.target)).unwrap();
            fs::write(&path, &seed.input).unwrap();
        }
        assert!(fs::read(&path).is_ok_and(|input| input == seed.input), "run with UPDATE_SEEDS=1: {path:?}");
    }
}

/// What is promised of accepted input would mean nothing if none were.
#[test]
fn every_fuzz_target_accepts_some_input() {
    use quobyte_volume::host::share::protocol::{HelperAnswer, HelperRequest, VERSION, read_reply, serve};
    use quobyte_volume::pure::{
        connection::{ConnectionInfo, Export, ImageFormat, ImageName},
        domain::described_files,
        kernel_mount::MountInfo,
        oslo_config::OsloConfig,
        record::ShareRecord,
    };
    let assert_any_accepted = |target, accepts: fn(&[u8]) -> bool| {
        assert!(inputs(target).values().any(|input| accepts(input)), "no input of {target} is accepted");
    };
    assert_any_accepted("connection_info", |input| ConnectionInfo::parse(input).is_ok());
    assert_any_accepted("export", |input| {
        std::str::from_utf8(input).is_ok_and(|text| Export::parse(text).is_ok())
    });
    assert_any_accepted("domain", |input| {
        let files = std::str::from_utf8(input).ok().and_then(|xml| described_files(xml).ok());
        files.is_some_and(|files| files.disks.len() > 1 && !files.others.is_empty())
    });
    assert_any_accepted("helper_replies", |input| {
        let disk = HelperRequest::Query(Some((ImageName::parse("disk").unwrap(), ImageFormat::Qcow2)));
        matches!(read_reply(input, 7, &disk), Ok(HelperAnswer::Query(_, Ok(layers))) if layers.len() > 1)
    });
    assert_any_accepted("helper_requests", |input| {
        let mut count = 0;
        let answered = serve(&VERSION, input, Vec::new(), |_| {
            count += 1;
            HelperAnswer::Failed(5)
        });
        answered.is_ok() && count > 1
    });
    assert_any_accepted("mount_table", |input| MountInfo::parse(input).is_ok_and(|table| table.len() > 1));
    assert_any_accepted("oslo_config", |input| {
        let config = OsloConfig::parse(input);
        config.is_ok_and(|config| {
            config.text("libvirt", "quobyte_mount_point_base").is_ok_and(|base| base.is_some())
        })
    });
    assert_any_accepted("record", |input| serde_json::from_slice::<ShareRecord>(input).is_ok());
}
