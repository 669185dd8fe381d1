//! attach and detach of one domain by several at once, other tools among them: each does its work or says the truth.

use std::collections::BTreeSet;

use e2e::{DiskXml, Guest, PausedProgram, Program, Reply, Site};
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
