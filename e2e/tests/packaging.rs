//! `packaging/install`, into a directory of its own: the service user stays, and one installation is left.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use e2e::{Finished, Program, Scratch};

const UNIT: &str = "lib/systemd/system/nova-quobyte-mount@.service";
const RULES: [&str; 2] = ["usr/share/polkit-1/rules.d", "etc/polkit-1/rules.d"];

fn install(root: &Path, settings: &[(&str, &str)], arguments: &[&str]) -> Finished {
    let directory = env::var_os("CARGO_MANIFEST_DIR").expect("cargo tells where the tests are");
    let script = PathBuf::from(directory).join("../packaging/install");
    let program = Program::as_root(script).args(arguments).env("DESTDIR", root);
    settings.iter().fold(program, |program, (name, value)| program.env(name, value)).run()
}

fn assert_installed(finished: &Finished) {
    assert!(finished.status.success(), "{finished:?}");
}

/// Makes sure that it was refused for that reason, and has written nothing.
fn assert_refused(finished: &Finished, reason: &str, root: &Path) {
    assert_eq!(finished.status.code(), Some(2), "{finished:?}");
    assert!(finished.stderr.contains(reason), "{finished:?}");
    assert_eq!(fs::read_dir(root).expect("list a directory").count(), 0, "{reason}");
}

/// The users of each unit that is installed, by its prefix.
fn units(root: &Path) -> Vec<(&'static str, String)> {
    let user = |prefix| {
        let text = fs::read_to_string(root.join(prefix).join(UNIT)).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("User="))?;
        Some((prefix, line.to_owned()))
    };
    ["usr", "usr/local"].into_iter().filter_map(user).collect()
}

fn rules(root: &Path) -> Vec<&'static str> {
    let is_there = |rules: &&str| root.join(rules).join("50-nova-quobyte.rules").exists();
    RULES.into_iter().filter(is_there).collect()
}

#[test]
fn upgrade_keeps_service_user() {
    let scratch = Scratch::new();
    let root = scratch.path();
    for (settings, expected) in [
        (&[][..], "nova"),
        (&[("SERVICE_USER", "vmops")], "vmops"),
        (&[], "vmops"),
        (&[("PREFIX", "/usr/local")], "vmops"),
        (&[("PREFIX", "/usr"), ("SERVICE_USER", "nova")], "nova"),
    ] {
        assert_installed(&install(root, settings, &[]));
        let units = units(root);
        assert_eq!(units.len(), 1, "{units:?}");
        assert_eq!(units[0].1, expected, "{settings:?}");
        let rule =
            fs::read_to_string(root.join(rules(root)[0]).join("50-nova-quobyte.rules")).expect("a rule");
        assert!(rule.contains(&format!("\"{expected}\"")), "{rule}");
        assert!(!rule.contains("@SERVICE_USER@"), "{rule}");
    }
}

#[test]
fn other_prefix_is_cleaned() {
    let scratch = Scratch::new();
    let root = scratch.path();
    for (prefix, rules_directory) in [("usr/local", RULES[1]), ("usr", RULES[0]), ("usr/local", RULES[1])] {
        assert_installed(&install(root, &[("PREFIX", &format!("/{prefix}"))], &[]));
        assert_eq!(units(root), [(prefix, "nova".to_owned())]);
        assert_eq!(rules(root), [rules_directory]);
        let commands: Vec<_> = ["usr/bin", "usr/local/bin"]
            .into_iter()
            .filter(|bin| root.join(bin).join("nova-quobyte").exists())
            .collect();
        assert_eq!(commands, [format!("{prefix}/bin")]);
    }
}

#[test]
fn wrong_use_of_install_writes_nothing() {
    let scratch = Scratch::new();
    let root = scratch.directory("root");
    let empty = scratch.directory("empty");
    for (settings, arguments, reason) in [
        (&[][..], &["--frce"][..], "--frce"),
        (&[], &["vmops"], "vmops"),
        (&[("SERVICE_USER", "a b")], &[], "a b"),
        (&[("PREFIX", "/opt")], &[], "/opt"),
        (&[("CARGO_TARGET_DIR", &*empty.to_string_lossy())], &[], "make build"),
    ] {
        assert_refused(&install(&root, settings, arguments), reason, &root);
    }
    for argument in ["--help", "-h"] {
        let help = install(&root, &[], &[argument]);
        assert_installed(&help);
        assert!(help.stdout.contains("SERVICE_USER"), "{help:?}");
        assert_eq!(fs::read_dir(&root).expect("list a directory").count(), 0);
    }
}
