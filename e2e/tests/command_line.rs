//! The command itself: what it prints where, its exit status, its options and where they come from.

use std::fs;

use e2e::{Finished, Lab, Program, Reply, Site};

const GUEST: &str = "a11ce000-0000-4000-8000-000000000001";

fn command(arguments: &[&str]) -> Finished {
    Program::as_nova("nova-quobyte").args(arguments).run()
}

fn site(settings: &[&str]) -> Site {
    let site = Site::new(settings);
    site.close_base();
    site.volume().image("one", "raw", &[0; 4096]);
    site
}

/// The names of the subcommands that the command's own help lists.
fn subcommands() -> Vec<String> {
    let help = command(&["--help"]).stdout;
    let (_, list) = help.split_once("\nCommands:\n").expect("the help lists commands");
    let lines = list.lines().take_while(|line| !line.is_empty());
    // An explanation that goes on in a second line is indented further.
    let names = lines.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    names.map(|line| line.split(' ').next().expect("a word").to_owned()).collect()
}

#[test]
fn every_subcommand_has_help() {
    let names = subcommands();
    for name in ["connect", "disconnect", "disk-xml", "attach", "detach", "status"] {
        assert!(names.iter().any(|listed| listed == name), "{name} is not in {names:?}");
    }
    for name in names.iter().filter(|name| *name != "help") {
        let Finished { status, stdout, stderr } = command(&[name, "--help"]);
        assert!(status.success() && stderr.is_empty(), "{name}: {stderr}");
        assert!(stdout.contains(&format!("Usage: nova-quobyte {name} ")), "{name}: {stdout}");
    }
}

#[test]
fn usage_error_has_status_2_and_json_reply() {
    let lines: [&[&str]; 6] = [
        &[],
        &["unheard-of"],
        &["status", "--unheard-of"],
        &["connect", "--connection-info", "-"],
        &["attach", "domain", "--export", "registry/volumes"],
        &["status", "--mount-timeout", "0"],
    ];
    for line in lines {
        let plain = command(line);
        assert_eq!((plain.status.code(), plain.stdout.as_str()), (Some(2), ""), "{line:?}");
        assert!(!plain.stderr.is_empty(), "{line:?}");

        let reply = Reply::of(Program::as_nova("nova-quobyte").arg("--json").args(line));
        assert_eq!(reply.failure(), (2, "usage"), "{line:?}");
        assert!(!reply.message().is_empty(), "{line:?}");
    }
}

#[test]
fn plain_answers_go_to_stdout_errors_to_stderr() {
    let site = site(&[]);
    let config = site.scratch().file("nova.conf", config(&site));
    let run = |name: &str| {
        Program::as_nova("nova-quobyte")
            .args(["--config", &config.to_string_lossy()])
            .args(["connect", "--instance", GUEST, "--connection-info", "-"])
            .input(site.info(name).to_string())
            .run()
    };

    let good = run("one");
    assert_eq!((good.status.code(), good.stderr.as_str()), (Some(0), ""));
    assert!(good.stdout.contains(&format!("{}/", site.base().display())), "{}", good.stdout);

    let bad = run("two");
    assert_eq!((bad.status.code(), bad.stdout.as_str()), (Some(6), ""));
    assert!(bad.stderr.starts_with("error: "), "{}", bad.stderr);
    assert!(bad.stderr.ends_with(" [image_missing]\n"), "{}", bad.stderr);
}

/// A nova.conf with the site's options.
fn config(site: &Site) -> String {
    format!(
        "[DEFAULT]\nstate_path = {}\n[libvirt]\nquobyte_mount_point_base = $state_path/mnt\n\
         quobyte_client_cfg = {}\n[quobyte]\nstate_dir = {}\n",
        site.scratch().path().display(),
        site.volume().config().display(),
        site.state().display(),
    )
}

/// `connect` with options from nova.conf alone, and those given.
fn connect(site: &Site, config: &str, options: &[&str]) -> Reply {
    let config = site.scratch().file("nova.conf", config);
    let program = Program::as_nova("nova-quobyte")
        .args(["--json", "--config", &config.to_string_lossy()])
        .args(options)
        .args(["connect", "--instance", GUEST, "--connection-info", "-"])
        .input(site.info("one").to_string());
    Reply::of(program)
}

#[test]
fn options_are_read_from_nova_conf() {
    let site = site(&[]);
    connect(&site, &config(&site), &[]).answer();
    assert_eq!((site.mount_directories().len(), site.records().len()), (1, 1));
    site.disconnect(GUEST, &site.info("one")).answer();
    site.assert_nothing_is_left();
}

#[test]
fn command_line_overrides_nova_conf() {
    let site = site(&["standin.fault=hang-before-mount"]);
    let config = config(&site) + "mount_timeout = 3600\n";
    let reply = connect(&site, &config, &["--mount-timeout", "0.5"]);
    assert_eq!(reply.failure(), (5, "mount_timeout"));
    let reply = connect(&site, &config, &["--state-dir", "/nonexistent/state"]);
    assert_eq!(reply.failure(), (9, "state_unavailable"));
    site.assert_nothing_is_left();
}

#[test]
fn invalid_config_is_refused_before_any_change() {
    let site = site(&[]);
    for fault in ["mount_timeout = soon", "io_mode = fast", "mount_timeot = 1", "[libvirt"] {
        let reply = connect(&site, &format!("{}{fault}\n", config(&site)), &[]);
        assert_eq!(reply.failure(), (3, "invalid_config"), "{fault}");
    }
    for option in ["--config", "--quobyte-mount-point-base"] {
        let reply =
            Reply::of(Program::as_nova("nova-quobyte").args(["--json", option, "nonexistent", "status"]));
        assert_eq!(reply.failure(), (3, "invalid_config"), "{option}");
    }
    site.assert_nothing_is_left();
}

#[test]
fn missing_helper_is_reported_before_mounting() {
    let site = site(&[]);
    let alone = site.scratch().directory("alone").join("nova-quobyte");
    fs::copy(Lab::require().directory().join("bin/nova-quobyte"), &alone).expect("install half of it");
    let connect = site.with_options(Program::as_nova(alone));
    let connect = connect.args(["connect", "--instance", GUEST, "--connection-info", "-"]);
    let reply = Reply::of(connect.input(site.info("one").to_string()));
    assert_eq!(reply.failure(), (1, "internal"));
    assert!(reply.message().contains("quobyte-share-helper"), "{}", reply.message());
    site.assert_nothing_is_left();
}

#[test]
fn mount_base_permission_error_has_hint() {
    let mut site = site(&[]);
    site.set_option("--quobyte-mount-point-base", "/nonexistent/mnt");
    let reply = site.connect(GUEST, &site.info("one"));
    assert_eq!(reply.failure(), (4, "mount_failed"));
    let remedy = "install -d -o 'nova' -m 700 /nonexistent/mnt; setfacl -m u:libvirt-qemu:x /nonexistent/mnt";
    assert!(reply.hint().ends_with(remedy), "{}", reply.hint());
    // One that is another user's stays that user's.
    let theirs = site.scratch().directory("theirs");
    std::os::unix::fs::chown(&theirs, Some(65534), None).expect("give a directory away");
    site.set_option("--quobyte-mount-point-base", &theirs);
    let reply = site.connect(GUEST, &site.info("one"));
    assert_eq!(reply.failure(), (4, "mount_failed"));
    assert!(reply.hint().contains("sudo -u 'nobody' nova-quobyte"), "{}", reply.hint());
    site.assert_nothing_is_left();
}

#[test]
fn missing_fuse_or_libvirt_group_has_hint() {
    let site = site(&[]);
    // nova, but in no group.
    let program = || {
        let plain = ["--reuid=nova", "--regid=nova", "--clear-groups", "--", "nova-quobyte"];
        site.with_options(Program::as_root("setpriv").args(plain))
    };
    let connect = program().args(["connect", "--instance", GUEST, "--connection-info", "-"]);
    let reply = Reply::of(connect.input(site.info("one").to_string()));
    assert_eq!(reply.failure(), (4, "mount_failed"));
    assert!(reply.hint().contains("/dev/fuse"), "{}", reply.hint());
    let reply = Reply::of(program().args(["detach", "domain", "vda"]));
    assert_eq!(reply.failure(), (8, "libvirt_error"));
    assert!(reply.hint().contains("--groups libvirt"), "{}", reply.hint());
    site.assert_nothing_is_left();
}

#[test]
fn progress_is_shown_only_on_a_terminal() {
    let site = site(&["standin.mount_delay_ms=500"]);
    let info = site.scratch().file("info.json", site.info("one").to_string());
    let options = format!("--config {}", site.scratch().file("nova.conf", config(&site)).display());
    let arguments = format!("--instance {GUEST} --connection-info {}", info.display());
    let connect = format!("nova-quobyte {options} connect {arguments}");
    let progress = "connecting registry/volumes";

    let piped = Program::as_nova("sh").args(["-c", &connect]).run();
    assert_eq!((piped.status.code(), piped.stderr.as_str()), (Some(0), ""));
    assert!(!piped.stdout.contains(progress), "{}", piped.stdout);
    site.disconnect(GUEST, &site.info("one")).answer();

    // It runs the command on a terminal of its own and passes on what that shows.
    let shown = Program::as_nova("script")
        .args(["--quiet", "--return", "--command", &connect, "/dev/null"])
        .env("TERM", "xterm")
        .succeed();
    assert!(shown.contains(progress), "{shown:?}");
}
