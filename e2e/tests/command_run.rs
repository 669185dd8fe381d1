//! `run`: a command in a volume, which stays mounted for it alone as long as it runs.

use std::{fs, os::unix::fs::PermissionsExt};

use e2e::{Finished, Guest, Program, Site};
use serde_json::json;

const ALICE: &str = "a11ce000-0000-4000-8000-000000000001";

fn run(site: &Site, words: &[&str]) -> Finished {
    command(site, words).run()
}

fn command(site: &Site, words: &[&str]) -> Program {
    let program = site.with_text_options(Program::as_nova("nova-quobyte"));
    program.args(["run", "--export", site.volume().export(), "--"]).args(words)
}

#[test]
fn image_is_made_and_attached_by_this_tool_alone() {
    let site = Site::new(&[]);
    site.close_base();
    let made = run(&site, &["sh", "-c", "truncate --size 1M disk1.raw && chmod ugo+rw disk1.raw && pwd"]);
    assert_eq!((made.status.code(), made.stderr.as_str()), (Some(0), ""));
    assert!(made.stdout.starts_with(&format!("{}/", site.base().display())), "{}", made.stdout);
    site.assert_nothing_is_left();
    let image = fs::metadata(site.volume().directory().join("disk1.raw")).expect("the image is in the store");
    assert_eq!((image.len(), image.permissions().mode() & 0o777), (1 << 20, 0o666));
    let guest = Guest::define(site.scratch());
    let image = format!("{}/disk1.raw", site.volume().export());
    site.run(&["attach", guest.name(), &image]).answer();
    // The volume of a guest stays mounted.
    let listed = run(&site, &["sh", "-c", "ls \"$NOVA_QUOBYTE_MOUNT\""]);
    assert_eq!(listed.stdout, "disk1.raw\n", "{listed:?}");
    assert_eq!(site.mount_directories().len(), 1);
    site.run(&["detach", guest.name(), "disk1.raw"]).answer();
    site.assert_nothing_is_left();
}

#[test]
fn exit_status_of_the_command_is_passed_on() {
    let site = Site::new(&[]);
    site.close_base();
    for (script, status) in [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143)] {
        let finished = run(&site, &["sh", "-c", script]);
        assert_eq!(finished.status.code(), Some(status), "{script}: {finished:?}");
        assert_eq!((finished.stdout.as_str(), finished.stderr.as_str()), ("", ""), "{script}");
        site.assert_nothing_is_left();
    }
    let reply = site.run(&["run", "--export", site.volume().export(), "--", "/nonexistent/program"]);
    assert_eq!(reply.failure(), (3, "command_not_run"));
    site.assert_nothing_is_left();
    let reply = site.run(&["run", "--export", "quobyte://registry/nowhere", "--", "touch", "/tmp/never"]);
    assert_eq!(reply.failure(), (4, "mount_failed"));
    assert!(reply.hint().contains("does the volume exist"), "{}", reply.hint());
    site.assert_nothing_is_left();
}

#[test]
fn nothing_unmounts_the_volume_of_a_command() {
    let site = Site::new(&[]);
    site.close_base();
    site.volume().image("disk1.raw", "raw", &[0; 4096]);
    let info = site.info("disk1.raw");
    let fifo = |name: &str| {
        let path = site.scratch().path().join(name);
        Program::as_root("mkfifo").args(["--mode=666", "--"]).arg(&path).succeed();
        path
    };
    let (here, go) = (fifo("here"), fifo("go"));
    // It works elsewhere, so that its own directory keeps nothing mounted.
    let script =
        format!("cd / && echo >{} && cat {} && ls \"$NOVA_QUOBYTE_MOUNT\"", here.display(), go.display());
    let running = command(&site, &["sh", "-c", &script]).start();
    fs::read(here).expect("the command says that it runs");
    site.connect(ALICE, &info).answer();
    let disconnected = site.disconnect(ALICE, &info).answer();
    assert_eq!((&disconnected["mounted"], &disconnected["reason"]), (&json!(true), &json!("busy")));
    let reconciled = site.reconcile();
    assert_eq!(reconciled.left_codes(), ["busy"], "{reconciled:?}");
    // It goes on at the end of what it reads.
    fs::File::options().write(true).open(go).expect("let it go on");
    let finished = running.finish();
    assert_eq!((finished.status.code(), finished.stdout.as_str()), (Some(0), "disk1.raw\n"), "{finished:?}");
    site.assert_nothing_is_left();
}

#[test]
fn killed_run_leaves_what_reconcile_takes_away() {
    let site = Site::new(&[]);
    site.close_base();
    // Both, and this command alone, whose own directory would keep the volume mounted for as long as it runs.
    for killed in ["cd / && kill -KILL $PPID $$", "cd / && kill -KILL $PPID"] {
        command(&site, &["sh", "-c", killed]).run();
        assert_eq!(site.mount_directories().len(), 1, "{killed}");
        assert_eq!(site.reconcile().mended_codes(), ["taken_down"], "{killed}");
        site.assert_nothing_is_left();
    }
}
