//! How answers look to a person: they fit the terminal, have colours there alone, and an exit status where asked for.

use e2e::{Guest, Program, Site};
use serde_json::json;

const LONG: &str = "volume-0d3a0d5c-1111-4222-8333-123456789abc";

struct Shown {
    site: Site,
    guest: Guest,
}

/// A guest with a disk whose name is as long as Cinder makes it.
fn shown() -> Shown {
    let site = Site::new(&[]);
    site.close_base();
    for image in [LONG, "disk1.raw"] {
        site.volume().image(image, "raw", &[0; 1 << 16]);
    }
    let guest = Guest::define(site.scratch());
    for image in [LONG, "disk1.raw"] {
        let image = format!("{}/{image}", site.volume().export());
        site.run(&["attach", guest.name(), &image, "--format", "raw"]).answer();
    }
    Shown { site, guest }
}

impl Shown {
    fn piped(&self, arguments: &[&str]) -> String {
        self.site.with_text_options(Program::as_nova("nova-quobyte")).args(arguments).succeed()
    }

    /// The same on a terminal of that many columns. `script` runs a command on a terminal of its own.
    fn on_terminal(&self, columns: u16, setting: &str, arguments: &str) -> String {
        let options = [
            ("quobyte-mount-point-base", self.site.base()),
            ("state-dir", self.site.state()),
            ("quobyte-client-cfg", self.site.volume().config()),
        ];
        let options: String =
            options.iter().map(|(name, value)| format!(" --{name} {}", value.display())).collect();
        let command = format!("stty cols {columns}; {setting} nova-quobyte{options} {arguments}");
        Program::as_nova("script")
            .args(["--quiet", "--return", "--command", &command, "/dev/null"])
            .env("TERM", "xterm")
            .succeed()
            .replace('\r', "")
    }
}

/// Without what a terminal takes for colours.
fn plain(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').expect("a colour ends").1)
}

#[test]
fn status_fits_the_terminal() {
    let shown = shown();
    for columns in [80, 200] {
        let status = plain(&shown.on_terminal(columns, "", "status 2>/dev/null"));
        let lines: Vec<_> = status.lines().collect();
        assert!(lines.iter().all(|line| line.chars().count() <= usize::from(columns)), "{status}");
        assert_eq!(lines.len(), 4, "{status}");
        assert_eq!(lines[1], "registry/volumes  healthy");
        assert!(
            lines[2..].iter().all(|line| line.contains(shown.guest.name()) && line.ends_with(" ok")),
            "{status}"
        );
        assert_eq!(status.contains(LONG), columns == 200, "{status}");
        assert!(!status.contains(shown.guest.uuid()), "{status}");
    }
    let wide = plain(&shown.on_terminal(80, "", "status --wide 2>/dev/null"));
    for text in [shown.guest.uuid(), LONG, &shown.site.base().to_string_lossy()] {
        assert!(wide.contains(text), "{text}: {wide}");
    }
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let shown = shown();
    assert!(shown.on_terminal(80, "", "status 2>/dev/null").contains("\u{1b}[32mok\u{1b}[0m"));
    for setting in ["NO_COLOR=1", "TERM=dumb"] {
        let status = shown.on_terminal(80, setting, "status 2>/dev/null");
        assert!(!status.contains('\u{1b}'), "{setting}: {status:?}");
    }
    shown.site.crash_clients();
    assert!(shown.on_terminal(80, "", "status 2>/dev/null").contains("\u{1b}[31mdead\u{1b}[0m"));
    let piped = shown.piped(&["status"]);
    assert!(!piped.contains('\u{1b}'), "{piped:?}");
    // In a pipe nothing is cut.
    assert!(piped.contains(LONG), "{piped}");
}

#[test]
fn exit_code_tells_what_needs_a_person() {
    let shown = shown();
    let status = |arguments: &[&str]| {
        let program = shown.site.with_text_options(Program::as_nova("nova-quobyte"));
        program.args(arguments).run().status.code()
    };
    assert_eq!(status(&["status", "--exit-code"]), Some(0));
    assert_eq!(status(&["reconcile", "--dry-run", "--exit-code"]), Some(0));
    shown.site.crash_clients();
    assert_eq!(status(&["status"]), Some(0));
    assert_eq!(status(&["status", "--exit-code"]), Some(11));
    assert_eq!(status(&["reconcile", "--dry-run"]), Some(0));
    assert_eq!(status(&["reconcile", "--dry-run", "--exit-code"]), Some(11));
    // Whatever could be repaired needs nobody.
    assert_eq!(status(&["reconcile", "--exit-code"]), Some(0));
    assert_eq!(status(&["status", "--exit-code"]), Some(0));
    let image = format!("{}/other", shown.site.volume().export());
    shown.site.volume().image("other", "raw", &[0; 1 << 16]);
    let nobody = "a11ce000-0000-4000-8000-000000000001";
    shown.site.run(&["connect", "--instance", nobody, &image, "--format", "raw"]).answer();
    assert_eq!(status(&["status", "--exit-code"]), Some(11));
    assert_eq!(status(&["reconcile", "--exit-code"]), Some(11));
}

#[test]
fn reports_carry_a_version() {
    let shown = shown();
    for arguments in [&["status"][..], &["reconcile", "--dry-run"], &["config", "show"]] {
        assert_eq!(shown.site.run(arguments).answer()["version"], json!(1), "{arguments:?}");
    }
    let status = shown.site.run(&["status"]).answer();
    assert_eq!(status["shares"][0]["attachments"][0]["disk"], json!("ok"));
}

#[test]
fn progress_of_a_hung_share_is_shown() {
    let shown = shown();
    shown.site.stop_clients();
    let status = shown.on_terminal(80, "", "status --probe-timeout 1");
    assert!(status.contains("asking the volumes' clients"), "{status:?}");
    assert!(status.contains("\u{1b}[31mhung\u{1b}[0m"), "{status:?}");
    let piped = shown.site.with_text_options(Program::as_nova("nova-quobyte"));
    let piped = piped.args(["status", "--probe-timeout", "1"]).run();
    assert_eq!(piped.stderr, "");
}

#[test]
fn names_cannot_command_the_terminal() {
    let site = Site::new(&[]);
    site.close_base();
    site.volume().image("disk1.raw", "raw", &[0; 1 << 16]);
    let guest = Guest::define_with(site.scratch(), |xml| {
        let name = xml.split("<name>").nth(1).and_then(|rest| rest.split("</name>").next()).expect("a name");
        xml.replace(&format!("<name>{name}"), &format!("<name>{name}\u{202e}\u{9b}31m"))
    });
    let image = format!("{}/disk1.raw", site.volume().export());
    site.run(&["attach", guest.uuid(), &image]).answer();
    let status = site.with_text_options(Program::as_nova("nova-quobyte")).arg("status").succeed();
    assert!(!status.contains(['\u{202e}', '\u{9b}']), "{status:?}");
    assert!(status.ends_with(" ok\n"), "{status:?}");
    Program::as_root("virsh").args(["undefine", guest.uuid()]).run();
}

#[test]
fn journal_lines_carry_a_priority() {
    let site = Site::new(&[]);
    site.volume().image("disk1.raw", "raw", &[0; 4096]);
    let log = site.scratch().file("journal", "");
    // systemd names the file that standard error is, by its device and its inode.
    let script =
        "exec 2>>$0; JOURNAL_STREAM=$(stat --dereference --format %d:%i /proc/self/fd/2) exec \"$@\"";
    let run = |arguments: &[&str]| {
        let program = Program::as_root("sh").args(["-c", script]).arg(&log);
        let nova = ["setpriv", "--reuid=nova", "--regid=nova", "--init-groups", "--", "nova-quobyte"];
        site.with_text_options(program.args(nova)).args(arguments).run()
    };
    let image = format!("{}/disk1.raw", site.volume().export());
    let instance = "a11ce000-0000-4000-8000-000000000001";
    let finished = run(&["-vv", "connect", "--instance", instance, &image]);
    assert!(finished.status.success(), "{finished:?}");
    run(&["connect", "--instance", instance, &format!("{}/none.raw", site.volume().export())]);
    let lines = std::fs::read_to_string(&log).expect("read the log");
    for (start, text) in [
        ("<4>", "every user of this host may pass"),
        ("<6>mounting ", "mount_path="),
        ("<7>", "took="),
        ("<3>error: ", "[image_missing]"),
    ] {
        let has_both = |line: &str| line.starts_with(start) && line.contains(text);
        assert!(lines.lines().any(has_both), "{start} {text}: {lines}");
    }
    assert!(lines.lines().all(|line| line.starts_with('<')), "{lines}");
    site.disconnect(instance, &site.info("disk1.raw")).answer();
}

#[test]
fn debug_lines_tell_the_way_with_times() {
    let site = Site::new(&[]);
    site.close_base();
    site.volume().image("disk1.raw", "raw", &[0; 1 << 16]);
    let guest = Guest::define(site.scratch());
    let image = format!("{}/disk1.raw", site.volume().export());
    let program = site.with_text_options(Program::as_nova("nova-quobyte"));
    let log = program.args(["-vv", "attach", guest.name(), &image]).run().stderr;
    for words in [
        &["DEBUG", "called libvirt", "operation=", "took="][..],
        &["DEBUG", "holds the share", "took="],
        &["DEBUG", "looked at the mount", "state=\"absent\""],
        &["DEBUG", "ran a program", "registry/volumes", "took="],
        &["DEBUG", "looked at the mount", "state=\"healthy\"", "took="],
        &["DEBUG", "decided", "cache_row=", "io_row="],
        &["DEBUG", "put the share on record"],
        &["INFO", "raised the limit of background requests from 12 to 256"],
    ] {
        let has_all = |line: &str| words.iter().all(|word| line.contains(word));
        assert!(log.lines().any(has_all), "{words:?}: {log}");
    }
    site.run(&["detach", guest.name(), "disk1.raw"]).answer();
    site.assert_nothing_is_left();
}
