//! Many processes at once on many shares, while clients die.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use e2e::{
    Finished, PausedProgram, Rng, Running, Site, Volume, env_number, faults::wait_for_request, mount_at,
};
use rustix::{
    fs::{FlockOperation, flock},
    process::Signal,
};
use serde_json::{Value, json};

const ALICE: &str = "a11ce000-0000-4000-8000-000000000001";
const BOB: &str = "b0b00000-0000-4000-8000-000000000002";

/// No client hangs here for long, and a slow one is not to be taken for one that does.
const NO_PROBE_TIMEOUT: [&str; 2] = ["--probe-timeout", "3600"];

const WORKERS: u64 = 16;
const EXPORTS: u64 = 8;
const VOLUMES: u64 = 4;

/// Export, instance, image.
type Attached = BTreeSet<(String, String, String)>;

#[test]
fn parallel_calls_keep_state_consistent() {
    let mut rng = Rng::from_env();
    let site = Site::new(&[]);
    let exports: Vec<_> = (0..EXPORTS).map(|export| share(&site, &format!("share-{export}"))).collect();
    let operations = env_number("NOVA_QUOBYTE_OPERATIONS", 320) / WORKERS;
    let seeds: Vec<_> = (0..WORKERS).map(|_| rng.below(u64::MAX)).collect();
    let attached: Attached = thread::scope(|scope| {
        let (site, exports) = (&site, &exports);
        let workers: Vec<_> = (0..)
            .zip(&seeds)
            .map(|(number, seed)| scope.spawn(move || work(site, exports, number, *seed, operations)))
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker does its work")).collect()
    });
    let reconcile = || site.run(&[&["reconcile"], &NO_PROBE_TIMEOUT[..]].concat()).answer();
    reconcile();
    assert_eq!(reconcile()["mended"], json!([]));
    assert_eq!(recorded(&site), attached);
    let in_use: BTreeSet<_> = attached.iter().map(|(export, ..)| export).collect();
    assert_eq!(site.mount_directories().len(), in_use.len());
    for (export, instance, image) in &attached {
        site.disconnect(instance, &info(&site, export, image)).answer();
    }
    site.assert_nothing_is_left();
    assert_no_lock_is_held(&site);
    site.assert_no_process_is_left();
}

/// Connects and disconnects one guest's volumes at random, now and then after the death of a client or with a look at
/// everything; returns what is connected in the end.
fn work(site: &Site, exports: &[Volume], number: u64, seed: u64, operations: u64) -> Attached {
    let mut rng = Rng::seeded(seed);
    let instance = format!("{number:08x}-0000-4000-8000-000000000000");
    let mut attached = Attached::new();
    for _ in 0..operations {
        match rng.below(40) {
            0 => site.crash_one_client(rng.below(EXPORTS) as usize),
            1 => drop(site.command(&["reconcile"]).args(NO_PROBE_TIMEOUT).succeed()),
            _ => {}
        }
        let export = exports[rng.below(EXPORTS) as usize].export().trim_start_matches("quobyte://");
        let image = format!("disk-{}", rng.below(VOLUMES));
        let user = (export.to_owned(), instance.clone(), image.clone());
        let info = info(site, export, &image).to_string();
        let verb = if attached.contains(&user) { "disconnect" } else { "connect" };
        let command = site.command(&[verb, "--instance", &instance, "--connection-info", "-"]);
        let finished = command.args(NO_PROBE_TIMEOUT).input(info).run();
        if finished.status.success() {
            if !attached.remove(&user) {
                attached.insert(user);
            }
        } else {
            // A client that is killed right after it has mounted fails the connect that started it.
            let answer: Value = serde_json::from_str(&finished.stdout).expect("an error is JSON");
            let code = answer["error"]["code"].as_str();
            assert!(
                verb == "connect" && matches!(code, Some("mount_stale" | "mount_failed")),
                "{finished:?}"
            );
        }
    }
    attached
}

/// Waits until a running command has opened the lock of its share, which it does before it waits for it, and of which
/// there is no event.
fn wait_for_lock_opened(command: &Running) {
    let is_lock = |file: PathBuf| file.extension().is_some_and(|ending| ending == "lock");
    let descriptors = format!("/proc/{}/fd", command.id());
    let opened = || {
        fs::read_dir(&descriptors)
            .is_ok_and(|open| open.flatten().any(|one| fs::read_link(one.path()).is_ok_and(is_lock)))
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    while !opened() {
        assert!(Instant::now() < deadline, "nobody waits for the share");
        thread::yield_now();
    }
}

/// Makes sure that bob's connect, which has met alice's disconnect, has left him what he can open.
fn assert_bob_can_open(connected: Finished) {
    assert!(connected.status.success(), "{connected:?}");
    let answer: Value = serde_json::from_str(&connected.stdout).expect("the answer is JSON");
    let path = |name: &str| Path::new(answer[name].as_str().expect("a path"));
    assert!(mount_at(path("mount_path")).is_some(), "connected, and yet not mounted");
    File::open(path("device_path")).expect("open the image");
}

#[test]
fn disconnect_never_unmounts_new_attachment() {
    let site = Site::new(&[]);
    for name in ["one", "two"] {
        site.volume().image(name, "raw", &[0; 4096]);
    }
    let call = |verb, instance, image| {
        let command = site.command(&[verb, "--instance", instance, "--connection-info", "-"]);
        command.input(site.info(image).to_string())
    };
    // bob comes while alice's share is about to be unmounted,
    site.connect(ALICE, &site.info("one")).answer();
    let unmount = PausedProgram::new(site.scratch(), "fusermount3");
    let disconnect = call("disconnect", ALICE, "one").env("PATH", unmount.path()).start();
    unmount.wait_until_started();
    let connect = call("connect", BOB, "two").start();
    wait_for_lock_opened(&connect);
    unmount.resume();
    assert!(disconnect.finish().status.success());
    assert_bob_can_open(connect.finish());

    // and alice leaves while bob, who finds the share mounted, is not yet on record.
    site.connect(ALICE, &site.info("one")).answer();
    site.disconnect(BOB, &site.info("two")).answer();
    site.stop_clients();
    let connect = call("connect", BOB, "two").args(NO_PROBE_TIMEOUT).start();
    wait_for_request(&site.base().join(&site.mount_directories()[0]));
    let disconnect = call("disconnect", ALICE, "one").start();
    wait_for_lock_opened(&disconnect);
    site.signal_clients(Signal::CONT);
    assert_bob_can_open(connect.finish());
    assert!(disconnect.finish().status.success());
    site.disconnect(BOB, &site.info("two")).answer();
    site.assert_nothing_is_left();
}

#[test]
fn locked_share_does_not_block_others() {
    let site = Site::new(&[]);
    let [locked, other] = ["held", "other"].map(|name| share(&site, name));
    let info = |share: &Volume| info(&site, share.export(), "disk-0");
    site.connect(ALICE, &info(&locked)).answer();
    site.disconnect(ALICE, &info(&locked)).answer();
    // So far there is one lock.
    let lock = locks(&site).into_iter().find(|path| path.ends_with(".lock")).expect("a share has a lock");
    let lock = File::open(lock).expect("open a lock");
    flock(&lock, FlockOperation::NonBlockingLockExclusive).expect("hold a share that nobody uses");

    site.connect(BOB, &info(&other)).answer();
    site.disconnect(BOB, &info(&other)).answer();
    let refused = site.run_with(&info(&locked), &["connect", "--instance", ALICE, "--lock-timeout", "0.2"]);
    assert_eq!(refused.failure(), (5, "lock_timeout"));
    drop(lock);
    site.connect(ALICE, &info(&locked)).answer();
    site.disconnect(ALICE, &info(&locked)).answer();
    site.assert_nothing_is_left();
}

/// A share with a few images.
fn share(site: &Site, name: &str) -> Volume {
    let share = site.volume().sibling(site.scratch(), name);
    (0..VOLUMES).for_each(|volume| share.image(&format!("disk-{volume}"), "raw", &[0; 4096]));
    share
}

fn info(site: &Site, export: &str, image: &str) -> Value {
    let mut info = site.info(image);
    info["data"]["export"] = json!(export);
    info["multiattach"] = json!(true);
    info
}

fn recorded(site: &Site) -> Attached {
    let status = site.run(&[&["status"], &NO_PROBE_TIMEOUT[..]].concat()).answer();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let mut recorded = Attached::new();
    for share in status["shares"].as_array().expect("a list of shares") {
        assert_eq!(share["state"], "healthy", "{share}");
        let attachments = share["attachments"].as_array().expect("a list of attachments");
        let export = text(&share["export"]);
        recorded.extend(
            attachments.iter().map(|one| (export.clone(), text(&one["instance"]), text(&one["name"]))),
        );
    }
    recorded
}

/// The paths of all lock files, which stay when locks are released.
fn locks(site: &Site) -> Vec<String> {
    let locks = fs::read_dir(site.state().join("locks")).expect("list the locks");
    locks.map(|entry| entry.expect("list the locks").path().to_string_lossy().into_owned()).collect()
}

fn assert_no_lock_is_held(site: &Site) {
    for path in locks(site) {
        let lock = File::open(&path).expect("open a lock");
        assert_eq!(flock(&lock, FlockOperation::NonBlockingLockExclusive), Ok(()), "{path} is held");
    }
}
