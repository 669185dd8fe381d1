use std::path::PathBuf;

use uuid::Uuid;

use super::*;
use crate::pure::connection::{Export, ImageFormat, InstanceId};
use crate::pure::guests::{GuestDisk, RunId, UnknownUses};
use crate::pure::image::{Identity, Layer};
use crate::pure::kernel_mount::Device;
use crate::pure::mount_path::MountPath;
use crate::pure::record::{FileQuery, Leaving};

const GENERATION: u64 = 5;

fn at() -> MountPath {
    MountPath::new(Path::new("/mnt"), &Export::parse("reg/vol").unwrap())
}

fn instance(number: u128) -> InstanceId {
    Uuid::from_u128(number).into()
}

fn volume(number: u128) -> VolumeId {
    Uuid::from_u128(number).into()
}

fn name(text: &str) -> ImageName {
    ImageName::parse(text).unwrap()
}

/// Guest 1's attachment of that file.
fn attachment(file: &str, id: u128) -> Attachment {
    let attachment = Attachment::new(instance(1), volume(id), name(file), ImageFormat::Raw);
    Attachment { generation: GENERATION, ..attachment }
}

fn record(attachments: &[Attachment]) -> ShareRecord {
    let export = Export::parse("reg/vol").unwrap();
    let attachments = attachments.to_vec();
    ShareRecord { generation: GENERATION, attachments, ..ShareRecord::unrecorded(export, at()) }
}

/// A use by guest 1 of a chain given as `top<below`.
fn chain(description: Description, files: &str, volumes: &[u128]) -> GuestUse {
    let layers: Vec<PathBuf> = files.split('<').map(|file| at().as_path().join(file)).collect();
    let disk = GuestDisk {
        volumes: volumes.iter().map(|id| volume(*id)).collect(),
        format: if layers.len() > 1 { ImageFormat::Qcow2 } else { ImageFormat::Raw },
        shareable: false,
        is_copy: false,
    };
    let (instance, name, path) = (instance(1), "vm".to_owned(), layers[0].clone());
    GuestUse { instance, name, description, target: Some("vda".to_owned()), path, layers, disk: Some(disk) }
}

/// Guest 1 with those uses, in that run.
fn survey(run: Option<u32>, uses: Vec<GuestUse>) -> GuestSurvey {
    let saved = uses.iter().any(|guest_use| guest_use.description == Description::Saved);
    let (instance, name, run) = (instance(1), "vm".to_owned(), run.map(RunId::new));
    GuestSurvey { guests: vec![Guest { instance, name, run, saved, is_novas: false, uses, unknown: None }] }
}

fn running(files: &str) -> GuestSurvey {
    survey(Some(3), vec![chain(Description::Running, files, &[])])
}

fn shut_off(files: &str) -> GuestSurvey {
    survey(None, vec![chain(Description::Persistent, files, &[])])
}

fn names(attachments: &[Attachment]) -> Vec<&str> {
    attachments.iter().map(|attachment| attachment.name.as_str()).collect()
}

/// The comparison, and a second one that must find nothing new.
fn compare(record: &mut ShareRecord, survey: &GuestSurvey) -> Comparison {
    let comparison = record.compare(survey, MountAge::Old);
    let settled = record.clone();
    let again = record.compare(survey, MountAge::Old);
    assert_eq!(*record, settled, "comparing again changes nothing");
    let lists = [&again.adopted, &again.moved, &again.released, &again.restarted];
    assert!(lists.iter().all(|list| list.is_empty()), "{again:?}");
    comparison
}

#[test]
fn unrecorded_disks_are_adopted_once() {
    for description in [Description::Running, Description::Persistent, Description::Saved] {
        let mut record = record(&[]);
        let uses = vec![chain(description, "a", &[9, 8]), chain(Description::Persistent, "a", &[])];
        let adopted = compare(&mut record, &survey(Some(3), uses)).adopted;
        assert_eq!((names(&adopted), &adopted), (vec!["a"], &record.attachments));
        assert_eq!(adopted[0].volumes().collect::<Vec<_>>(), [volume(9), volume(8)]);
        assert_eq!((adopted[0].generation, adopted[0].lost_in), (GENERATION, None));
        assert!(record.compared);
    }
}

#[test]
fn guest_adopted_on_a_new_mount_is_lost() {
    for (survey, lost_in) in [(running("a"), Some(RunId::new(3))), (shut_off("a"), None)] {
        let mut record = record(&[]);
        record.compare(&survey, MountAge::New);
        assert_eq!(record.attachments[0].lost_in, lost_in);
        assert_eq!(record.lost().len(), usize::from(lost_in.is_some()));
    }
}

#[test]
fn uses_that_are_no_disks_are_told() {
    let mut kernel = chain(Description::Running, "kernel", &[]);
    kernel.disk = None;
    let below = chain(Description::Running, "sub/image", &[]);
    let mut record = record(&[]);
    let comparison =
        compare(&mut record, &survey(Some(3), vec![kernel.clone(), kernel.clone(), below.clone()]));
    assert_eq!(comparison.not_adopted, [kernel, below]);
    assert!(record.attachments.is_empty());
}

#[test]
fn snapshot_moves_the_attachment_and_commit_back() {
    for ids in [&[][..], &[1]] {
        let mut record = record(&[attachment("a", 1)]);
        let snapshot =
            vec![chain(Description::Running, "a.1<a", ids), chain(Description::Persistent, "a", ids)];
        let moved = compare(&mut record, &survey(Some(3), snapshot)).moved;
        assert_eq!((names(&moved), moved[0].format), (vec!["a.1"], ImageFormat::Qcow2));
        assert!(record.attachments[0].has_file(Path::new("a")), "the base is protected");
        let moved = compare(&mut record, &running("a")).moved;
        assert_eq!((names(&moved), moved[0].format), (vec!["a"], ImageFormat::Raw));
        assert_eq!(record.attachments.len(), 1);
    }
}

#[test]
fn copy_is_a_step_until_the_guest_is_on_it() {
    let mut record = record(&[attachment("a", 1)]);
    let mut copy = chain(Description::Running, "copy", &[1]);
    copy.disk.as_mut().unwrap().is_copy = true;
    let own = chain(Description::Running, "a", &[1]);
    assert!(compare(&mut record, &survey(Some(3), vec![own.clone(), copy])).moved.is_empty());
    assert_eq!(record.attachments[0].steps, [name("copy")]);
    let pivoted = vec![chain(Description::Running, "copy", &[1]), chain(Description::Persistent, "a", &[1])];
    assert_eq!(names(&compare(&mut record, &survey(Some(3), pivoted)).moved), ["copy"]);
    assert_eq!(record.attachments[0].steps, [name("a")]);
    compare(&mut record, &survey(Some(3), vec![chain(Description::Running, "copy", &[1])]));
    assert!(record.attachments[0].steps.is_empty());
}

#[test]
fn swapped_volume_is_two_attachments() {
    let mut record = record(&[attachment("a", 1), attachment("b", 2)]);
    // Nova keeps the old id as the disk's serial.
    let comparison = compare(&mut record, &survey(Some(3), vec![chain(Description::Running, "b", &[1])]));
    assert_eq!(names(&comparison.without_guest), ["a"]);
    assert!(comparison.moved.is_empty() && comparison.adopted.is_empty());
}

#[test]
fn leaving_attachment_goes_with_its_guests_use() {
    let leaving = Attachment { leaving: Some(Leaving { run: Some(RunId::new(3)) }), ..attachment("a", 1) };
    let of = |uses: Vec<GuestUse>, run| {
        let mut record = record(std::slice::from_ref(&leaving));
        let comparison = compare(&mut record, &survey(run, uses));
        (comparison.released.len(), comparison.leaving.len(), record)
    };
    let running = || chain(Description::Running, "a", &[]);
    let persistent = || chain(Description::Persistent, "a", &[]);
    let (released, left, _) = of(vec![running(), persistent()], Some(3));
    assert_eq!((released, left), (0, 1), "it still runs with it");
    let (released, left, _) = of(vec![chain(Description::Saved, "a", &[])], None);
    assert_eq!((released, left), (0, 1), "it was saved with it");
    for run in [Some(3), None] {
        let (released, left, record) = of(vec![persistent()], run);
        assert_eq!((released, left), (1, 0), "only its shut-off description names it");
        assert!(record.attachments.is_empty() && record.is_released(&persistent()));
    }
    let (released, left, record) = of(vec![running()], Some(4));
    assert_eq!((released, left), (0, 0), "somebody has started it with the file again");
    assert_eq!(record.attachments[0].leaving, None);
    let mut record = self::record(&[leaving]);
    assert_eq!(compare(&mut record, &GuestSurvey::default()).released.len(), 1, "it is undefined");
    assert!(record.releases.is_empty());
}

#[test]
fn release_is_forgotten_once_described_otherwise() {
    let persistent = chain(Description::Persistent, "a<base", &[]);
    let mut record = record(&[]);
    let shut_off = survey(None, vec![persistent.clone()]);
    record.release(&attachment("a", 1), &shut_off.guests[0]);
    assert!(compare(&mut record, &shut_off).adopted.is_empty() && record.is_released(&persistent));
    let started = survey(Some(3), vec![persistent, chain(Description::Running, "a<base", &[])]);
    assert_eq!(names(&compare(&mut record, &started).adopted), ["a"]);
    assert!(record.releases.is_empty());
    record.detach(instance(1), &FileQuery::of(&attachment("a", 1)));
    record.release(&attachment("a", 1), &shut_off.guests[0]);
    compare(&mut record, &GuestSurvey::default());
    assert!(record.releases.is_empty(), "no description names it");
}

#[test]
fn lost_is_observed_and_ends_with_the_run() {
    let stale = Attachment { generation: 1, ..attachment("a", 1) };
    let mut record = record(&[stale]);
    for _ in 0..2 {
        assert!(compare(&mut record, &running("a")).restarted.is_empty());
        assert_eq!((record.attachments[0].lost_in, record.lost().len()), (Some(RunId::new(3)), 1));
    }
    for survey in [survey(Some(4), vec![chain(Description::Running, "a", &[])]), shut_off("a")] {
        let mut record = record.clone();
        assert_eq!(names(&compare(&mut record, &survey).restarted), ["a"]);
        assert_eq!((record.attachments[0].lost_in, record.attachments[0].generation), (None, GENERATION));
        assert!(record.lost().is_empty());
    }
}

#[test]
fn run_that_lost_a_later_mount_is_lost() {
    let lost = Attachment { generation: 1, lost_in: Some(RunId::new(2)), ..attachment("a", 1) };
    for (age, lost_in) in [(MountAge::New, Some(RunId::new(3))), (MountAge::Old, None)] {
        let mut record = record(std::slice::from_ref(&lost));
        record.compare(&running("a"), age);
        assert_eq!(record.attachments[0].lost_in, lost_in, "{age:?}");
    }
}

#[test]
fn guest_that_did_not_run_is_never_lost() {
    let stale = Attachment { generation: 1, ..attachment("a", 1) };
    let saved = survey(None, vec![chain(Description::Saved, "a", &[])]);
    for survey in [shut_off("a"), saved, GuestSurvey::default(), running("b")] {
        let mut record = record(std::slice::from_ref(&stale));
        assert!(compare(&mut record, &survey).restarted.is_empty());
        assert!(record.lost().is_empty() && record.attachments[0].generation == GENERATION);
    }
}

#[test]
fn rivals_are_told_unless_all_share() {
    let layer = |file: &ImageName| {
        let identity = Identity { device: Device { major: 0, minor: 1 }, inode: 1, btime: None };
        Layer { path: file.into(), format: ImageFormat::Raw, identity, virtual_size: 0 }
    };
    let other = |file: &str, below: &[&str]| Attachment {
        instance: instance(2),
        chain: below.iter().map(|file| layer(&name(file))).collect(),
        ..attachment(file, 2)
    };
    for (other, is_rival) in
        [(other("a", &[]), true), (other("b", &["b", "a"]), true), (other("b", &["b"]), false)]
    {
        for shareable in [false, true] {
            let share = |one: &Attachment| Attachment { shareable, ..one.clone() };
            let mut record = record(&[share(&attachment("a", 1)), share(&other)]);
            let found = record.compare(&GuestSurvey::default(), MountAge::Old).rivals.len();
            let is_shared = shareable && other.name.as_str() == "a";
            assert_eq!(found, usize::from(is_rival && !is_shared), "{other:?}");
        }
    }
}

#[test]
fn unknown_guest_changes_nothing() {
    let stale = Attachment { generation: 1, leaving: Some(Leaving { run: None }), ..attachment("a", 1) };
    for mentioned in [vec![at()], Vec::new()] {
        let mut record = record(std::slice::from_ref(&stale));
        let mut survey = survey(None, Vec::new());
        survey.guests[0].unknown =
            Some(UnknownUses { reason: "torn".to_owned(), mentioned: mentioned.clone() });
        let comparison = compare(&mut record, &survey);
        assert_eq!(comparison.unknown, [("vm".to_owned(), "torn".to_owned())]);
        assert_eq!((&record.attachments[..], record.compared), (std::slice::from_ref(&stale), false));
        let mut strangers = self::record(&[]);
        let is_mentioned = !mentioned.is_empty();
        assert_eq!(compare(&mut strangers, &survey).unknown.len(), usize::from(is_mentioned));
        assert_eq!(strangers.compared, !is_mentioned);
    }
}
