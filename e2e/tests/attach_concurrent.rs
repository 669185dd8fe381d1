//! attach and detach of one domain by several at once, other tools among them: each does its work or says the truth.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::thread;

use e2e::{DiskXml, Guest, PausedProgram, Program, Reply, Running, Site};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// As many as the lab's guests have free slots for.
const IMAGES: [&str; 5] = ["one", "two", "three", "four", "five"];
const ROUNDS: usize = 12;

fn site() -> Site {
    Site::with_images(&IMAGES.map(|name| (name, "raw")))
}

fn attach(site: &Site, guest: &Guest, image: &str) -> Program {
    let attach = ["attach", guest.name(), "--connection-info", "-"];
    site.command(&attach).input(site.info(image).to_string())
}

fn run_at_once(programs: impl IntoIterator<Item = Program>) -> Vec<Reply> {
    let programs: Vec<_> = programs.into_iter().map(Program::start).collect();
    programs.into_iter().map(|program| Reply::of_finished(&program.finish())).collect()
}

fn targets(answers: &[Value]) -> BTreeSet<String> {
    answers.iter().map(|answer| answer["target"].as_str().expect("a target").to_owned()).collect()
}

fn disks(guest: &Guest, options: &[&str]) -> usize {
    guest.xml(options).matches("<disk ").count()
}

/// Attaches every image at once, then detaches every disk at once.
fn attach_and_detach_all(site: &Site, guest: &Guest, descriptions: &[&[&str]]) {
    let attached = run_at_once(IMAGES.map(|image| attach(site, guest, image)));
    let answers: Vec<_> = attached.into_iter().map(Reply::answer).collect();
    let targets = targets(&answers);
    assert_eq!(targets.len(), IMAGES.len(), "{answers:?}");
    for options in descriptions {
        assert_eq!(disks(guest, options), IMAGES.len());
    }
    assert_eq!(site.attachments_of(guest.uuid()).len(), IMAGES.len());

    let detached =
        run_at_once(targets.iter().map(|target| site.command(&["detach", guest.name(), target.as_str()])));
    detached.into_iter().for_each(|reply| drop(reply.answer()));
    for options in descriptions {
        assert_eq!(disks(guest, options), 0);
    }
    site.assert_nothing_is_left();
}

#[test]
fn concurrent_attaches_get_different_targets() {
    let site = site();
    let shut_off = Guest::define(site.scratch());
    attach_and_detach_all(&site, &shut_off, &[&[]]);
    let running = Guest::boot(site.scratch());
    attach_and_detach_all(&site, &running, &[&[], &["--inactive"]]);
}

#[test]
fn one_image_attached_at_once_is_one_disk() {
    let site = site();
    let mut guest = Guest::define(site.scratch());
    for round in 0..ROUNDS {
        if round == ROUNDS / 2 {
            guest.start_paused();
        }
        let attached = run_at_once((0..4).map(|_| attach(&site, &guest, "one")));
        let answers: Vec<_> = attached.into_iter().map(Reply::answer).collect();
        assert_eq!(targets(&answers), BTreeSet::from(["vda".to_owned()]), "{answers:?}");
        let changed = answers.iter().filter(|answer| answer["changed"] == json!(true)).count();
        assert_eq!(changed, 1, "{answers:?}");
        assert_eq!(disks(&guest, &[]), 1);
        assert_eq!(site.attachments_of(guest.uuid()).len(), 1);
        if round >= ROUNDS / 2 {
            break;
        }
        site.detach(&guest, "vda", &[]).answer();
        site.assert_nothing_is_left();
    }
    guest.destroy();
    site.detach(&guest, "vda", &[]).answer();
    site.assert_nothing_is_left();
}

#[test]
fn target_asked_for_at_once_has_one_image() {
    let site = site();
    let mut guest = Guest::define(site.scratch());
    for is_running in [false, true] {
        if is_running {
            guest.start();
        }
        for _ in 0..4 {
            let replies = run_at_once(
                ["one", "two"].map(|image| attach(&site, &guest, image).args(["--target", "vda"])),
            );
            let losers: Vec<_> = replies.iter().filter(|reply| !reply.is_success()).collect();
            assert_eq!(losers.len(), 1, "{replies:?}");
            let late = site.attach(&guest, &site.info("three"), &["--target", "vda"]);
            assert_eq!(losers[0].failure(), late.failure());
            assert_eq!(losers[0].message(), late.message());
            assert_eq!((disks(&guest, &[]), site.attachments_of(guest.uuid()).len()), (1, 1));
            site.detach(&guest, "vda", &[]).answer();
            site.assert_nothing_is_left();
        }
    }
}

#[test]
fn image_attached_to_two_running_guests_has_one() {
    let site = site();
    let mut guests = [0, 1].map(|_| Guest::define(site.scratch()));
    guests.iter_mut().for_each(Guest::start_paused);
    let replies = run_at_once(guests.each_ref().map(|guest| attach(&site, guest, "one")));
    let losers: Vec<_> = replies.iter().filter(|reply| !reply.is_success()).collect();
    assert_eq!(losers.len(), 1);
    assert_eq!(losers[0].failure(), (7, "volume_in_use"), "{}", losers[0].message());
    assert_eq!(guests.iter().map(|guest| disks(guest, &[])).sum::<usize>(), 1);
}

#[test]
fn concurrent_detaches_have_one_winner() {
    let site = site();
    let shut_off = Guest::define(site.scratch());
    let running = Guest::boot(site.scratch());
    let transient = Guest::boot(site.scratch());
    transient.make_transient();
    for guest in [&shut_off, &running, &transient] {
        for _ in 0..3 {
            site.attach(guest, &site.info("one"), &[]).answer();
            let names = [guest.name(), guest.uuid(), guest.name(), guest.uuid()];
            let replies = run_at_once(names.map(|name| site.command(&["detach", name, "vda"])));
            let losers: Vec<_> = replies.iter().filter(|reply| !reply.is_success()).collect();
            assert_eq!(losers.len(), names.len() - 1);
            for loser in losers {
                assert_eq!(loser.failure(), (8, "disk_not_found"), "{}", loser.message());
            }
            assert_eq!(disks(guest, &[]), 0);
            site.assert_nothing_is_left();
        }
    }
}

#[test]
fn attach_beside_detach_keeps_record_with_disk() {
    let site = site();
    let guest = Guest::define(site.scratch());
    for round in 0..ROUNDS * 2 {
        site.attach(&guest, &site.info("one"), &[]).answer();
        let detach = site.command(&["detach", guest.name(), "vda"]);
        let replies = run_at_once([detach, attach(&site, &guest, "one"), attach(&site, &guest, "one")]);
        for reply in &replies {
            assert!(reply.is_success(), "round {round}: {}", reply.message());
        }
        assert_eq!(site.attachments_of(guest.uuid()).len(), disks(&guest, &[]), "round {round}: {replies:?}");
        if disks(&guest, &[]) == 1 {
            site.detach(&guest, "vda", &[]).answer();
        }
        site.assert_nothing_is_left();
    }
}

#[test]
fn name_taken_by_virsh_meanwhile_is_passed_over() {
    for is_running in [false, true] {
        let site = site();
        let guest = if is_running { Guest::boot(site.scratch()) } else { Guest::define(site.scratch()) };
        let client = PausedProgram::new(site.scratch(), "mount.quobyte");
        let attaching = attach(&site, &guest, "one").env("PATH", client.path()).start();
        // The next free name was vda when the domain was looked at.
        client.wait_until_started();
        let local = site.scratch().file("local", vec![0; 1 << 20]);
        Program::as_root("chmod").arg("666").arg(&local).succeed();
        let options: &[&str] = if is_running { &["--live"] } else { &["--config"] };
        guest.virsh_attach(site.scratch(), &DiskXml::file(&local, "raw", "vda"), options);
        client.resume();
        let answer = Reply::of_finished(&attaching.finish()).answer();
        assert_eq!((&answer["target"], &answer["changed"]), (&json!("vdb"), &json!(true)));
        site.detach(&guest, "vdb", &[]).answer();
        site.assert_nothing_is_left();
    }
}

/// An attach that has connected the volume, and whose share somebody else has held since.
struct HeldUp {
    attach: Running,
    share: File,
    client: PausedProgram,
}

/// Starts an attach. Does `meanwhile` while it connects, and holds the share once it has connected.
fn hold_up_attach(site: &Site, guest: &Guest, options: &[&str], meanwhile: impl FnOnce()) -> HeldUp {
    let client = PausedProgram::new(site.scratch(), "mount.quobyte");
    let attach = attach(site, guest, "one").args(options).env("PATH", client.path()).start();
    client.wait_until_started();
    meanwhile();
    let locks = site.state().join("locks");
    let locks = fs::read_dir(&locks).expect("list locks").map(|lock| lock.expect("list locks").path());
    let mut shares = locks.filter(|lock| lock.extension().is_some_and(|kind| kind == "lock"));
    let share = File::open(shares.next().expect("a share's lock")).expect("open a lock");
    let share = thread::scope(|scope| {
        // It has waited in the kernel by the time that the attach releases the share.
        let holder = scope.spawn(|| share.lock().map(|()| share).expect("hold a share"));
        client.resume();
        holder.join().expect("it holds the share")
    });
    HeldUp { attach, share, client }
}

#[test]
fn attach_on_held_share_tells_of_added_disk() {
    let site = site();
    let guest = Guest::define(site.scratch());
    let held_up = hold_up_attach(&site, &guest, &["--lock-timeout", "2"], || ());
    let reply = Reply::of_finished(&held_up.attach.finish());
    assert_eq!(reply.failure(), (5, "lock_timeout"));
    assert_eq!(disks(&guest, &[]), 1);
    assert!(reply.message().contains("vda was added"), "{}", reply.message());
    drop(held_up.share);
    assert_eq!(site.attach(&guest, &site.info("one"), &[]).answer()["changed"], json!(false));
    site.detach(&guest, "vda", &[]).answer();
    site.assert_nothing_is_left();
}

#[test]
fn attach_on_held_share_keeps_refusal() {
    let site = site();
    let guest = Guest::define(site.scratch());
    let local = site.scratch().file("local", vec![0; 1 << 20]);
    let take_name = || {
        guest.virsh_attach(site.scratch(), &DiskXml::file(&local, "raw", "vda"), &["--config"]);
    };
    let options = ["--target", "vda", "--lock-timeout", "2"];
    let held_up = hold_up_attach(&site, &guest, &options, take_name);
    let reply = Reply::of_finished(&held_up.attach.finish());
    assert_eq!(reply.failure(), (8, "libvirt_error"), "{}", reply.message());
    assert!(reply.message().contains("could not be disconnected"), "{}", reply.message());
    drop(held_up.share);
    site.disconnect(guest.uuid(), &site.info("one")).answer();
    site.assert_nothing_is_left();
}

#[test]
fn disk_taken_out_while_attaching_is_added_again() {
    let site = site();
    let guest = Guest::define(site.scratch());
    let held_up = hold_up_attach(&site, &guest, &[], || ());
    while disks(&guest, &[]) == 0 {}
    let pid = Pid::from_raw(i32::try_from(held_up.attach.id()).expect("an id")).expect("a process");
    kill_process(pid, Signal::STOP).expect("stop an attach");
    held_up.attach.wait_until_stopped();
    drop(held_up.share);
    site.detach(&guest, "vda", &[]).answer();
    kill_process(pid, Signal::CONT).expect("let an attach go on");
    held_up.client.wait_until_started();
    held_up.client.resume();
    Reply::of_finished(&held_up.attach.finish()).answer();
    assert_eq!((disks(&guest, &[]), site.attachments_of(guest.uuid()).len()), (1, 1));
    site.detach(&guest, "vda", &[]).answer();
    site.assert_nothing_is_left();
}

#[test]
fn detach_waits_for_another_as_long_as_for_the_guest() {
    let site = site();
    let guest = Guest::boot(site.scratch());
    site.attach(&guest, &site.info("one"), &[]).answer();
    guest.virsh("suspend", &[]);
    let detach = ["detach", guest.name(), "vda", "--lock-timeout", "3", "--timeout", "6"];
    for reply in run_at_once([site.command(&detach), site.command(&detach)]) {
        assert_eq!(reply.failure(), (7, "volume_in_use"), "{}", reply.message());
    }
    guest.virsh("resume", &[]);
    while guest.xml(&[]).contains("'vda'") {}
    site.detach(&guest, "vda", &[]).answer();
    site.assert_nothing_is_left();
}
