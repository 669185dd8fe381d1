//! The command killed at every point of every operation in turn. Afterwards either `reconcile` or simply the next call
//! finds nothing that it cannot put right: no mount leaks, no attachment is lost, nobody's mount is taken away.

use std::{fs::File, os::unix::process::ExitStatusExt, path::Path};

use e2e::{Bystander, Guest, Program, Site, mount_at};

const ALICE: &str = "a11ce000-0000-4000-8000-000000000001";
const BOB: &str = "b0b00000-0000-4000-8000-000000000002";

/// More points than any operation has: a sweep that gets here does not come to an end.
const MAX_POINTS: usize = 200;

/// What is called and killed.
#[derive(Debug, Clone, Copy)]
enum Call {
    Connect,
    Disconnect,
    Reconcile,
    Run,
}

#[derive(Debug, Clone, Copy)]
enum Recovery {
    Reconcile,
    NextCall,
}

fn program(site: &Site, name: &str, call: Call) -> Program {
    let program = site.with_options(Program::as_nova(name));
    let verb = match call {
        Call::Connect => "connect",
        Call::Disconnect => "disconnect",
        Call::Reconcile => return program.arg("reconcile"),
        Call::Run => return program.args(["run", "--export", site.volume().export(), "--", "ls", "one"]),
    };
    let info = site.info("one").to_string();
    program.args([verb, "--instance", ALICE, "--connection-info", "-"]).input(info)
}

/// Kills `call` at each of its points, after `prepare`, and has `check` look once recovery is through. At the end of
/// each round nobody is left, and so nothing may be.
fn sweep<T>(
    call: Call,
    prepare: impl Fn(&Site) -> T,
    check: impl Fn(&Site, &T, &str),
    cleanup: impl Fn(&Site, T),
) {
    let site = Site::new(&[]);
    for name in ["one", "two"] {
        site.volume().image(name, "raw", &[0; 4096]);
    }
    for recovery in [Recovery::Reconcile, Recovery::NextCall] {
        let mut killed = 0;
        loop {
            let prepared = prepare(&site);
            let program = program(&site, "nova-quobyte-crash", call);
            let finished = program.env("NOVA_QUOBYTE_CRASH_AT", killed.to_string()).run();
            let when = format!("{call:?} at point {killed}, then {recovery:?}: {}", finished.stderr);
            let is_killed = finished.status.signal() == Some(9);
            assert!(is_killed || finished.status.success(), "{when}{}", finished.stdout);
            recover(&site, call, recovery);
            check(&site, &prepared, &when);
            cleanup(&site, prepared);
            site.disconnect(ALICE, &site.info("one")).answer();
            site.run(&["reconcile"]).answer();
            site.assert_nothing_is_left();
            if !is_killed {
                break;
            }
            killed += 1;
            assert!(killed < MAX_POINTS, "{when}");
        }
        assert!(killed > 0, "the command reached no point: was it built with them?");
    }
}

/// The same beside Bob, whom `prepare` attaches: he is attached throughout, or even served, as `check` makes sure.
fn sweep_beside_bob(
    call: Call,
    prepare: impl Fn(&Site) -> Bystander,
    check: impl Fn(&Bystander, &Site, &str),
) {
    sweep(call, prepare, |site, bob, when| check(bob, site, when), |site, bob| bob.disconnect(site));
}

/// After a reconcile, every attachment on record is mounted and nothing is left to mend; after the next call, what it
/// was to do is done.
fn recover(site: &Site, call: Call, recovery: Recovery) {
    let alice = (ALICE.to_owned(), "one".to_owned());
    match (recovery, call) {
        (Recovery::Reconcile, _) | (_, Call::Reconcile) => {
            site.run(&["reconcile"]).answer();
            let again = site.run(&["reconcile"]).answer();
            assert_eq!(again["mended"], serde_json::json!([]), "{again}");
            let is_mounted = !site.mount_directories().is_empty();
            assert_eq!(is_mounted, !site.attachments().is_empty());
        }
        (Recovery::NextCall, Call::Connect) => {
            let answer = site.connect(ALICE, &site.info("one")).answer();
            let mount_path = answer["mount_path"].as_str().expect("a path");
            assert!(mount_at(Path::new(mount_path)).is_some(), "{answer}");
            assert!(site.attachments().contains(&alice), "{answer}");
        }
        (Recovery::NextCall, Call::Disconnect) => {
            site.disconnect(ALICE, &site.info("one")).answer();
            assert!(!site.attachments().contains(&alice));
        }
        (Recovery::NextCall, Call::Run) => {
            assert!(program(site, "nova-quobyte", Call::Run).run().status.success());
            assert_eq!(site.mount_directories().is_empty(), site.attachments().is_empty());
        }
    }
}

/// Bob has the other image of the share open.
fn bob(site: &Site) -> Bystander {
    Bystander::attach(site, BOB, "two")
}

#[test]
fn killed_first_connect_is_recovered() {
    sweep(Call::Connect, |_| (), |_, (), _| (), |_, ()| ());
}

#[test]
fn killed_run_is_recovered() {
    sweep(Call::Run, |_| (), |_, (), _| (), |_, ()| ());
}

#[test]
fn killed_run_beside_guest_is_recovered() {
    sweep_beside_bob(Call::Run, bob, Bystander::assert_served);
}

#[test]
fn killed_connect_beside_guest_is_recovered() {
    sweep_beside_bob(Call::Connect, bob, Bystander::assert_served);
}

#[test]
fn killed_dead_mount_replacement_is_recovered() {
    sweep_beside_bob(Call::Connect, bob_on_dead_client, Bystander::assert_attached);
}

#[test]
fn killed_last_disconnect_is_recovered() {
    let connect = |site: &Site| drop(site.connect(ALICE, &site.info("one")).answer());
    sweep(Call::Disconnect, connect, |_, (), _| (), |_, ()| ());
}

#[test]
fn killed_disconnect_beside_guest_is_recovered() {
    let both = |site: &Site| {
        site.connect(ALICE, &site.info("one")).answer();
        bob(site)
    };
    sweep_beside_bob(Call::Disconnect, both, Bystander::assert_served);
}

#[test]
fn killed_reconcile_remount_is_recovered() {
    sweep_beside_bob(Call::Reconcile, bob_on_dead_client, Bystander::assert_attached);
}

#[test]
fn killed_reconcile_unmount_is_recovered() {
    let unneeded = |site: &Site| {
        let answer = site.connect(ALICE, &site.info("one")).answer();
        let file = File::open(answer["device_path"].as_str().expect("a path")).expect("open the image");
        site.disconnect(ALICE, &site.info("one")).answer();
        drop(file);
        answer["mount_path"].as_str().expect("a path").to_owned()
    };
    let is_gone =
        |_: &Site, path: &String, when: &str| assert!(mount_at(Path::new(path)).is_none(), "{when}");
    sweep(Call::Reconcile, unneeded, is_gone, |_, _| ());
}

/// Kills a detach at each of its points. A repeated one finishes it, and reconcile does once the disk is out.
fn sweep_detach(site: &Site, guest: &Guest, recoveries: &[Recovery]) {
    let has_disk = || (guest.xml(&[]) + &guest.xml(&["--inactive"])).contains("'vda'");
    for recovery in recoveries {
        for point in 0.. {
            assert!(point < MAX_POINTS, "it does not come to an end");
            site.attach(guest, &site.info("one"), &[]).answer();
            let detach = site.with_options(Program::as_nova("nova-quobyte-crash"));
            let detach = detach.args(["detach", guest.name(), "vda"]);
            let finished = detach.env("NOVA_QUOBYTE_CRASH_AT", point.to_string()).run();
            let is_killed = finished.status.signal() == Some(9);
            let when = format!("detach at point {point}, then {recovery:?}: {}", finished.stderr);
            assert!(is_killed || finished.status.success(), "{when}{}", finished.stdout);
            if matches!(recovery, Recovery::Reconcile) {
                site.run(&["reconcile"]).answer();
                assert_eq!(site.records().is_empty(), !has_disk(), "{when}");
            }
            let is_done = site.attachments().is_empty() && site.mount_directories().is_empty();
            let again = site.detach(guest, "vda", &[]);
            if !is_done || again.is_success() {
                again.answer();
            } else {
                assert_eq!(again.failure(), (8, "disk_not_found"), "{when}");
            }
            assert!(!has_disk(), "{when}");
            site.run(&["reconcile"]).answer();
            site.assert_nothing_is_left();
            if !is_killed {
                assert!(point > 0, "the command reached no point: was it built with them?");
                break;
            }
        }
    }
}

#[test]
fn killed_detach_is_recovered() {
    let site = Site::with_images(&[("one", "raw")]);
    let shut_off = Guest::define(site.scratch());
    sweep_detach(&site, &shut_off, &[Recovery::Reconcile, Recovery::NextCall]);
    let transient = Guest::boot(site.scratch());
    transient.make_transient();
    sweep_detach(&site, &transient, &[Recovery::NextCall]);
}

/// The same after the client has died.
fn bob_on_dead_client(site: &Site) -> Bystander {
    let bob = bob(site);
    site.crash_clients();
    bob
}
