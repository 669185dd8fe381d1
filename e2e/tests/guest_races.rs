//! Several who ask for the same image at once: one of them gets it.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use e2e::{Guest, Program, Reply, Site};
use serde_json::json;

/// Guests that need not exist.
const ALICE: &str = "a11ce000-0000-4000-8000-000000000001";
const BOB: &str = "b0b00000-0000-4000-8000-000000000002";
const ROUNDS: usize = 20;

/// Runs both at once. Exactly one has to succeed, and the other to be refused because of it.
fn assert_one_winner(programs: [Program; 2], when: &str) {
    let replies = thread::scope(|scope| {
        programs
            .map(|program| scope.spawn(|| Reply::of(program)))
            .map(|reply| reply.join().expect("it answers"))
    });
    let winners = replies.iter().filter(|reply| reply.is_success()).count();
    assert_eq!(winners, 1, "{when}");
    let loser = replies.iter().find(|reply| !reply.is_success()).expect("one is refused");
    assert_eq!(loser.failure(), (7, "volume_in_use"), "{when}: {}", loser.message());
}

fn connect(site: &Site, instance: &str) -> Program {
    let connect = ["connect", "--instance", instance, "--connection-info", "-"];
    site.command(&connect).input(site.info("disk").to_string())
}

#[test]
fn concurrent_connects_have_one_winner() {
    let site = Site::with_images(&[("disk", "raw")]);
    for round in 0..ROUNDS {
        assert_one_winner([ALICE, BOB].map(|instance| connect(&site, instance)), &format!("round {round}"));
        for instance in [ALICE, BOB] {
            site.disconnect(instance, &site.info("disk")).answer();
        }
        site.assert_nothing_is_left();
    }
}

#[test]
fn connects_below_two_bases_have_one_winner() {
    let mut site = Site::with_images(&[("disk", "raw")]);
    let first = site.base().to_owned();
    let second = site.scratch().directory("other-base");
    for round in 0..ROUNDS {
        let [alice, bob] = [(ALICE, &first), (BOB, &second)].map(|(instance, base)| {
            site.set_option("--quobyte-mount-point-base", base);
            connect(&site, instance)
        });
        assert_one_winner([alice, bob], &format!("round {round}"));
        for (instance, base) in [(ALICE, &first), (BOB, &second)] {
            site.set_option("--quobyte-mount-point-base", base);
            site.disconnect(instance, &site.info("disk")).answer();
        }
        assert_eq!(site.records(), [""; 0], "round {round}");
    }
}

#[test]
fn concurrent_attaches_have_one_winner() {
    let site = Site::with_images(&[("disk", "raw")]);
    let guests = [0, 1].map(|_| Guest::define(site.scratch()));
    for round in 0..ROUNDS / 4 {
        let programs = guests.each_ref().map(|guest| {
            let attach = ["attach", guest.name(), "--connection-info", "-"];
            site.command(&attach).input(site.info("disk").to_string())
        });
        assert_one_winner(programs, &format!("round {round}"));
        let holders: Vec<_> = guests.iter().filter(|guest| guest.xml(&[]).contains("<disk")).collect();
        assert_eq!(holders.len(), 1, "round {round}");
        assert_eq!(site.detach(holders[0], "vda", &[]).answer()["mounted"], json!(false));
        site.assert_nothing_is_left();
    }
}

#[test]
fn reconcile_never_adopts_detached_disk() {
    let site = Site::with_images(&[("disk", "raw"), ("other", "raw")]);
    let guest = Guest::define(site.scratch());
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                site.run(&["reconcile"]).answer();
            }
        });
        let rounds = scope.spawn(|| {
            for round in 0..ROUNDS {
                // Another volume keeps the share and its record where every other detach is.
                if round % 2 == 0 {
                    site.connect(ALICE, &site.info("other")).answer();
                }
                site.attach(&guest, &site.info("disk"), &[]).answer();
                site.detach(&guest, "vda", &[]).answer();
                assert_eq!(site.attachments_of(guest.uuid()), [json!(null); 0], "round {round}");
                site.disconnect(ALICE, &site.info("other")).answer();
            }
        });
        let outcome = rounds.join();
        done.store(true, Ordering::Relaxed);
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    site.run(&["reconcile"]).answer();
    site.assert_nothing_is_left();
}
