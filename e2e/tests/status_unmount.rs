//! Asking and unmounting exclude each other: who looks at a share never keeps it mounted.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use e2e::Site;
use serde_json::json;

/// A guest that need not exist.
const ALICE: &str = "a11ce000-0000-4000-8000-000000000001";
const ROUNDS: usize = 50;

#[test]
fn status_never_keeps_share_mounted() {
    let site = Site::new(&["standin.latency_us=2000"]);
    site.volume().image("disk", "raw", &[0; 4096]);
    let info = site.info("disk");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    site.run(&["status"]).answer();
                }
            });
        }
        let rounds = scope.spawn(|| {
            for round in 0..ROUNDS {
                site.connect(ALICE, &info).answer();
                let answer = site.disconnect(ALICE, &info).answer();
                assert_eq!(answer["mounted"], json!(false), "round {round}: {answer}");
                site.assert_nothing_is_left();
            }
        });
        let outcome = rounds.join();
        done.store(true, Ordering::Relaxed);
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

#[test]
fn reconcile_never_keeps_share_mounted() {
    let site = Site::new(&["standin.latency_us=2000"]);
    site.volume().image("disk", "raw", &[0; 4096]);
    let info = site.info("disk");
    for round in 0..ROUNDS / 5 {
        site.connect(ALICE, &info).answer();
        thread::scope(|scope| {
            scope.spawn(|| site.run(&["reconcile"]).answer());
            let answer = site.disconnect(ALICE, &info).answer();
            assert_eq!(answer["mounted"], json!(false), "round {round}: {answer}");
        });
        site.assert_nothing_is_left();
    }
}
