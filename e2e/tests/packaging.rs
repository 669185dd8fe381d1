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

/// What lies below a directory: each path, and the contents of each file.
fn tree(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("list a directory") {
        let path = entry.expect("list a directory").path();
        if path.is_dir() {
            found.extend(tree(&path));
        }
        let contents = if path.is_file() { fs::read(&path).expect("read a file") } else { Vec::new() };
        found.push((path, contents));
    }
    found.sort_unstable();
    found
}

/// What is installed, below its prefix.
const FILES: [&str; 9] = [
    "bin/nova-quobyte",
    "libexec/nova-quobyte/quobyte-share-helper",
    "libexec/nova-quobyte/quobyte-client-unit",
    "share/doc/nova-quobyte/OPERATIONS.md",
    "lib/systemd/system/nova-quobyte-mount@.service",
    "lib/tmpfiles.d/nova-quobyte.conf",
    "share/polkit-1/rules.d/50-nova-quobyte.rules",
    "share/man/man1/nova-quobyte-attach.1",
    "share/bash-completion/completions/nova-quobyte",
];

#[test]
fn man_pages_and_completions_follow_the_prefix() {
    let scratch = Scratch::new();
    let root = scratch.path();
    for (prefix, other, zsh) in
        [("usr/local", "usr", "site-functions"), ("usr", "usr/local", "vendor-completions")]
    {
        assert_installed(&install(root, &[("PREFIX", &format!("/{prefix}"))], &[]));
        for (file, text) in [
            ("man/man1/nova-quobyte.1", "EXAMPLES"),
            ("man/man1/nova-quobyte-attach.1", "quobyte://registry.example.com/volumes/disk1.raw"),
            ("bash-completion/completions/nova-quobyte", "complete -F"),
            (&format!("zsh/{zsh}/_nova-quobyte"), "#compdef nova-quobyte"),
            ("fish/vendor_completions.d/nova-quobyte.fish", "complete -c nova-quobyte"),
        ] {
            let installed = fs::read_to_string(root.join(prefix).join("share").join(file));
            let installed = installed.unwrap_or_else(|error| panic!("{file}: {error}"));
            assert!(installed.contains(text), "{file}: {installed}");
            assert!(!root.join(other).join("share").join(file).exists(), "{file}");
        }
    }
}

fn make_directory(path: &Path) {
    Program::as_root("mkdir").args(["--parents", "--"]).arg(path).succeed();
}

/// Makes sure that an installation is refused, and that nothing changes.
fn assert_unchanged(root: &Path, settings: &[(&str, &str)], reason: &str) {
    let before = tree(root);
    let finished = install(root, settings, &[]);
    assert_eq!(finished.status.code(), Some(2), "{finished:?}");
    assert!(
        finished.stderr.contains(reason) && finished.stderr.contains("nothing was changed"),
        "{finished:?}"
    );
    assert!(tree(root) == before, "{finished:?}");
}

#[test]
fn occupied_place_is_refused_before_first_write() {
    let scratch = Scratch::new();
    for (number, file) in FILES.iter().enumerate() {
        // A directory in place of what is installed, or of what is removed from the other prefix, last of all.
        for (which, prefix) in ["/usr", "/usr/local"].into_iter().enumerate() {
            let root = scratch.directory(&format!("directory-{number}-{which}"));
            make_directory(&root.join("usr").join(file));
            assert_unchanged(&root, &[("PREFIX", prefix)], "is a directory");
        }
        // A file, or a link to nowhere, in place of a directory on the way.
        let above = Path::new(file).parent().expect("it is in a directory");
        for (kind, make) in [("file", ["touch", "--"]), ("link", ["ln", "--symbolic"])] {
            let root = scratch.directory(&format!("{kind}-{number}"));
            let above = root.join("usr").join(above);
            make_directory(above.parent().expect("it is in a directory"));
            let target = (kind == "link").then_some("/nonexistent");
            Program::as_root(make[0]).arg(make[1]).args(target).arg(&above).succeed();
            assert_unchanged(&root, &[], "is no directory that can be written");
        }
    }
}

#[test]
fn root_named_like_an_option_is_a_directory() {
    let scratch = Scratch::new();
    let directory = env::var_os("CARGO_MANIFEST_DIR").expect("cargo tells where the tests are");
    let script = PathBuf::from(directory).join("../packaging/install");
    for root in ["-x", "--help", "plain/below"] {
        let run = "cd \"$1\" && DESTDIR=$2 exec \"$3\"";
        let run = Program::as_root("sh").args(["-c", run, "sh"]).arg(scratch.path());
        assert_installed(&run.arg(root).arg(&script).run());
        assert_eq!(units(&scratch.path().join(root)), [("usr", "nova".to_owned())]);
    }
}

#[test]
fn program_that_is_a_directory_is_refused() {
    let scratch = Scratch::new();
    let root = scratch.directory("root");
    for program in FILES[..3].iter().filter_map(|file| Path::new(file).file_name()) {
        let target = scratch.directory(&format!("target-{}", program.display()));
        let built = target.join("release");
        make_directory(&built);
        for file in &FILES[..3] {
            let name = Path::new(file).file_name().expect("it has a name");
            if name == program {
                make_directory(&built.join(name));
            } else {
                Program::as_root("cp").arg("/bin/true").arg(built.join(name)).succeed();
            }
        }
        let settings = [("CARGO_TARGET_DIR", &*target.to_string_lossy())];
        assert_refused(&install(&root, &settings, &[]), "make build", &root);
    }
}

#[test]
fn hook_lets_every_guest_be_without_the_command() {
    let scratch = Scratch::new();
    let root = scratch.directory("root");
    assert_installed(&install(&root, &[], &[]));
    let hook = root.join("etc/libvirt/hooks/qemu.d/nova-quobyte");
    let hook_with = |command: &str| {
        let script =
            fs::read_to_string(&hook).expect("read the hook").replace("/usr/bin/nova-quobyte", command);
        scratch.file("hook", script)
    };
    let run = |hook: &Path, phase: &[&str]| {
        let program = Program::as_nova("sh").arg(hook).arg("guest").args(phase).arg("-");
        program.input("<domain/>").run().status.code()
    };
    // As a package that was removed leaves it.
    let without = hook_with("/nonexistent/nova-quobyte");
    for phase in [["prepare", "begin"], ["release", "end"], ["reconnect", "begin"], ["migrate", "begin"]] {
        assert_eq!(run(&without, &phase), Some(0), "{phase:?}");
    }
    // Where a hook fails as libvirtd is restarted, libvirt ends the guest.
    let failing = hook_with("/bin/false");
    for (phase, expected) in [
        (["prepare", "begin"], 1),
        (["release", "end"], 1),
        (["reconnect", "begin"], 0),
        (["start", "begin"], 0),
        (["restore", "begin"], 0),
        (["migrate", "begin"], 0),
        (["stopped", "end"], 0),
    ] {
        assert_eq!(run(&failing, &phase), Some(expected), "{phase:?}");
    }
}
