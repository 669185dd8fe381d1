use std::fs::{File, Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use uuid::Uuid;

use super::*;
use crate::error::Code;
use crate::host::Deadline;
use crate::pure::connection::{Export, ImageFormat, ImageName, InstanceId, VolumeId};
use crate::pure::mount_path::MountPath;
use crate::pure::record::{Attachment, ShareRecord};

pub(super) fn at(export: &str) -> MountPath {
    MountPath::new(Path::new("/mnt"), &Export::parse(export).unwrap())
}

pub(super) fn record() -> ShareRecord {
    let mut record = ShareRecord::new(Export::parse("reg/vol").unwrap(), at("reg/vol")).unwrap();
    let attached = attachment(1, "disk");
    record.attach(attached.clone(), Some(attached.volume));
    record
}

fn attachment(instance: u128, name: &str) -> Attachment {
    let (instance, volume) =
        (InstanceId::from(Uuid::from_u128(instance)), VolumeId::from(Uuid::from_u128(7)));
    Attachment::new(instance, volume, ImageName::parse(name).unwrap(), ImageFormat::Raw)
}

pub(super) fn soon() -> Deadline {
    Deadline::after(Duration::from_millis(30))
}

pub(super) struct StateFixture {
    pub(super) directory: tempfile::TempDir,
    pub(super) state: StateDir,
}

pub(super) fn state_fixture() -> StateFixture {
    let directory = tempfile::tempdir().unwrap();
    let state = StateDir::open(&directory.path().join("state")).unwrap();
    StateFixture { directory, state }
}

#[test]
fn stored_record_is_loaded_unchanged() {
    let StateFixture { state, directory } = state_fixture();
    let share = state.lock(&at("reg/vol"), soon()).unwrap();
    assert_eq!(share.load().unwrap(), None);
    share.store(&record()).unwrap();
    assert_eq!(share.load().unwrap(), Some(record()));
    let reopened = StateDir::open(&directory.path().join("state")).unwrap();
    assert_eq!(reopened.records().unwrap().into_iter().map(Result::unwrap).collect::<Vec<_>>(), [record()]);
    share.remove().unwrap();
    share.remove().unwrap();
    assert_eq!(share.load().unwrap(), None);
}

#[test]
fn generation_increases_after_record_removal() {
    let mut generations = Vec::new();
    for _ in 0..3 {
        let mut record = record();
        record.advance_generation();
        generations.push(record.generation);
        record.advance_generation();
        generations.push(record.generation);
    }
    assert!(generations.is_sorted_by(|earlier, later| earlier < later), "{generations:?}");
}

#[test]
fn record_from_earlier_boot_is_ignored() {
    let StateFixture { state, directory } = state_fixture();
    let share = state.lock(&at("reg/vol"), soon()).unwrap();
    share.store(&record()).unwrap();
    edit(directory.path(), |record| {
        record["boot_id"] = "another boot".into();
    });
    assert_eq!(share.load().unwrap(), None);
    assert!(state.records().unwrap().is_empty());
    drop(share);
    assert_eq!((state.sweep(false).unwrap(), state.sweep(false).unwrap()), (1, 0));
}

#[test]
fn record_of_newer_version_is_refused_and_kept() {
    let StateFixture { state, directory } = state_fixture();
    let share = state.lock(&at("reg/vol"), soon()).unwrap();
    share.store(&record()).unwrap();
    edit(directory.path(), |record| record["version"] = 3.into());
    for _ in 0..2 {
        assert_eq!(share.load().unwrap_err().code(), Code::RecordUnsupported);
    }
    assert!(state.records().unwrap().pop().unwrap().is_err());
}

/// A record as version 1 wrote it, but for the boot.
const VERSION_1: &str = r#"{
    "version": 1,
    "boot_id": "",
    "export": "reg/vol",
    "mount_path": "MOUNT_PATH",
    "mount": {
        "unique_id": 7, "device": {"major": 0, "minor": 50}, "fs_type": "fuse.quobyte",
        "source": "quobyte@reg/vol", "options": "user_id=1000,allow_other"
    },
    "probe": {"direct_io": "asynchronous", "reads": 3, "not_waited": 0, "errno": null},
    "told": ["synchronous"],
    "generation": 5,
    "attachments": [{
        "instance": "00000000-0000-0000-0000-000000000001",
        "volume": "00000000-0000-0000-0000-000000000007",
        "name": "disk", "format": "raw", "chain": [], "generation": 5
    }]
}"#;

#[test]
fn record_of_version_1_is_brought_to_version_2() {
    let StateFixture { state, directory } = state_fixture();
    let share = state.lock(&at("reg/vol"), soon()).unwrap();
    share.store(&record()).unwrap();
    edit(directory.path(), |record| {
        let boot_id = record["boot_id"].take();
        let mount_path = at("reg/vol").to_string();
        *record = serde_json::from_str(&VERSION_1.replace("MOUNT_PATH", &mount_path)).unwrap();
        record["boot_id"] = boot_id;
    });
    let read = share.load().unwrap().unwrap();
    let known = Attachment { generation: 5, ..attachment(1, "disk") };
    assert_eq!((read.version, &read.attachments[..]), (2, &[known][..]));
    assert!(!read.compared && read.client.is_empty() && read.lost().is_empty());
    assert_eq!((read.generation, &read.warned_rows[..]), (5, &["synchronous".to_owned()][..]));
    assert!(read.mount.is_some() && read.probe.is_some());
    share.store(&read).unwrap();
    assert_eq!(share.load().unwrap(), Some(read));
    edit(directory.path(), |record| assert_eq!(record["version"], 2));
}

#[test]
fn unreadable_record_is_set_aside() {
    let StateFixture { state, directory } = state_fixture();
    let share = state.lock(&at("reg/vol"), soon()).unwrap();
    let damages: [fn(&mut serde_json::Value); 3] = [
        |record| record["export"] = "--help".into(),
        |record| record["attachments"][0]["name"] = "../x".into(),
        |record| *record = serde_json::Value::Null,
    ];
    for (count, damage) in damages.into_iter().enumerate() {
        assert_eq!(state.has_set_aside(&share).unwrap(), count > 0);
        share.store(&record()).unwrap();
        edit(directory.path(), damage);
        assert!(state.records().unwrap().pop().unwrap().is_err());
        assert_eq!(share.peek().unwrap(), None);
        assert_eq!(state.set_aside().unwrap().len(), count);
        assert_eq!(share.load().unwrap(), None);
        assert_eq!(state.set_aside().unwrap().len(), count + 1);
    }
    let other = state.lock(&at("reg/other"), soon()).unwrap();
    assert!(!state.has_set_aside(&other).unwrap());
}

#[test]
fn unfinished_record_is_swept_unless_locked() {
    let StateFixture { state, directory } = state_fixture();
    let share = state.lock(&at("reg/vol"), soon()).unwrap();
    share.store(&record()).unwrap();
    let temporary = directory.path().join(format!("state/shares/{}.abc.tmp", at("reg/vol").key()));
    File::create(&temporary).unwrap();
    assert_eq!(state.sweep(false).unwrap(), 0);
    drop(share);
    assert_eq!(state.sweep(true).unwrap(), 1);
    assert!(temporary.exists());
    assert_eq!(state.sweep(false).unwrap(), 1);
    assert!(!temporary.exists());
    assert_eq!(state.records().unwrap().len(), 1);
}

#[test]
fn shutdown_reads_records_of_refused_state_dir() {
    let StateFixture { state, directory } = state_fixture();
    let path = directory.path().join("state");
    state.lock(&at("reg/vol"), soon()).unwrap().store(&record()).unwrap();
    File::create(path.join("shares/torn.json")).unwrap();
    set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
    StateDir::open(&path).unwrap_err();
    assert_eq!(usable_records(&path).unwrap(), [record()]);
    let missing = directory.path().join("missing");
    assert!(usable_records(&missing).unwrap().is_empty() && !missing.exists());
}

#[test]
fn unreadable_record_does_not_block_sweep() {
    let StateFixture { state, directory } = state_fixture();
    let shares = directory.path().join("state/shares");
    // Not even root reads a directory as a file.
    make_directory(&shares.join("unreadable.json")).unwrap();
    File::create(shares.join("unfinished.tmp")).unwrap();
    assert_eq!(state.sweep(false).unwrap(), 1);
    assert!(state.records().unwrap()[0].is_err());
}

#[test]
fn unusable_state_dir_is_refused() {
    let missing_parent = StateDir::open(Path::new("/nonexistent/state")).unwrap_err();
    assert_eq!(missing_parent.code(), Code::StateUnavailable);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    File::create(&file).unwrap();
    set_permissions(&file, Permissions::from_mode(0o400)).unwrap();
    assert_eq!(StateDir::open(&file).unwrap_err().code(), Code::StateUnavailable);
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o7777, 0o400);
}

/// What has to be done about the state directory, once `change` was made to its parts.
fn remedy(change: impl Fn(&Path)) -> String {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    StateDir::open(&state).unwrap();
    change(&state);
    let error = StateDir::open(&state).unwrap_err();
    assert_eq!(error.code(), Code::StateUnavailable);
    error.to_string()
}

#[test]
fn state_dir_open_to_others_is_refused() {
    let set_mode = |path: PathBuf, mode| set_permissions(path, Permissions::from_mode(mode)).unwrap();
    for mode in [0o777, 0o1777, 0o770, 0o702] {
        assert!(remedy(|state| set_mode(state.to_owned(), mode)).contains("chmod go-w"), "{mode:o}");
    }
    for part in ["shares", "locks", "released", "launch"] {
        let opened = |state: &Path| {
            make_directory(&state.join(part)).unwrap();
            set_mode(state.join(part), 0o755);
        };
        assert!(remedy(opened).contains(part), "{part}");
    }
    assert!(remedy(|state| set_mode(state.parent().unwrap().to_owned(), 0o777)).contains("chmod o-w"));
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    StateDir::open(&state).unwrap();
    // Others may look at who has which volume, where the operator wants that.
    set_mode(state.clone(), 0o755);
    StateDir::open(&state).unwrap();
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test puts a link in a part's place")]
fn link_as_part_of_state_dir_is_refused() {
    let elsewhere = tempfile::tempdir().unwrap();
    let text = remedy(|state| {
        File::create(state.join("launch")).unwrap();
    });
    assert!(text.contains("is no directory"), "{text}");
    set_permissions(elsewhere.path(), Permissions::from_mode(0o500)).unwrap();
    for part in ["launch", "locks"] {
        let link = |state: &Path| {
            let _ = std::fs::remove_dir(state.join(part));
            std::os::unix::fs::symlink(elsewhere.path(), state.join(part)).unwrap();
        };
        let text = remedy(link);
        assert!(text.contains("is no directory"), "{text}");
    }
    assert_eq!(elsewhere.path().metadata().unwrap().permissions().mode() & 0o7777, 0o500);
}

/// Changes the one stored record behind the library's back.
#[expect(clippy::disallowed_methods, reason = "the test damages what the library wrote")]
fn edit(directory: &Path, change: impl Fn(&mut serde_json::Value)) {
    let mut files = directory.join("state/shares").read_dir().unwrap().map(|entry| entry.unwrap().path());
    let file = files.find(|path| path.extension().unwrap() == "json").unwrap();
    let mut record = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    change(&mut record);
    std::fs::write(&file, record.to_string()).unwrap();
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test is who removes the state directory")]
fn removed_state_directory_is_made_again() {
    let StateFixture { state, directory } = state_fixture();
    let path = directory.path().join("state");
    let held = state.lock(&at("reg/vol"), soon()).unwrap();
    std::fs::remove_dir_all(&path).unwrap();
    assert!(state.records().unwrap().is_empty());
    std::fs::remove_dir_all(&path).unwrap();
    state.lock_grants(&record().export, &at("reg/vol"), soon()).unwrap();
    std::fs::remove_dir_all(&path).unwrap();
    let share = state.lock(&at("reg/vol"), soon()).unwrap();
    drop(held);
    share.store(&record()).unwrap();
    assert_eq!(state.records().unwrap().len(), 1);
    assert!(matches!(state.lock(&at("reg/vol"), soon()), Err(StateError::Locked { .. })));

    drop(share);
    std::fs::remove_dir_all(directory.path()).unwrap();
    let error = state.lock(&at("reg/vol"), soon()).unwrap_err();
    assert_eq!(error.code(), Code::StateUnavailable);
}
