//! Which configuration counts: whoever runs the command finds the same one.

use e2e::{Finished, Program, Reply, Scratch};
use serde_json::{Value, json};

const OWN: &str = "/etc/nova-quobyte/nova-quobyte.conf";
const NOVAS: &str = "/etc/nova/nova.conf";

/// The contents of a file that root alone may read.
const CLOSED: &str = "# closed\\n";

/// Runs the command as nova on a host whose /etc has those files, beside what it has otherwise, but none of the two above.
fn run(scratch: &Scratch, files: &[(&str, &str)], variable: &str, arguments: &[&str]) -> Finished {
    let etc = scratch.path().join("etc");
    let mut script = format!(
        "set -e; rm -rf {etc}; cp -a /etc {etc}; rm -rf {etc}/nova {etc}/nova-quobyte; mount --bind {etc} /etc; umask 022; ",
        etc = etc.display()
    );
    for (path, contents) in files {
        script += &format!("mkdir -p $(dirname {path}); printf '{contents}' >{path}; ");
        if *contents == CLOSED {
            script += &format!("chmod 600 {path}; ");
        }
    }
    script += "exec setpriv --reuid=nova --regid=nova --init-groups -- nova-quobyte \"$@\"";
    let program = Program::as_root("unshare").args(["--mount", "--", "sh", "-c", &script, "sh"]);
    program.args(arguments).env("NOVA_QUOBYTE_CONFIG", variable).run()
}

fn shown(scratch: &Scratch, files: &[(&str, &str)], variable: &str, arguments: &[&str]) -> Value {
    let arguments = [&["--json", "config", "show"], arguments].concat();
    Reply::of_finished(&run(scratch, files, variable, &arguments)).answer()
}

#[test]
fn config_is_found_by_itself() {
    let scratch = Scratch::new();
    let named = |name: &str, seconds: u32| {
        let file = scratch.file(name, format!("[quobyte]\nlock_timeout = {seconds}\n"));
        file.to_string_lossy().into_owned()
    };
    let (one, two) = (named("one.conf", 1), named("two.conf", 2));
    let own = (OWN, "[quobyte]\\nlock_timeout = 3\\n");
    let novas = (NOVAS, "[DEFAULT]\\nstate_path = /srv/nova\\n[quobyte]\\nlock_timeout = 4\\n");
    let both = [own, novas];
    for (files, variable, arguments, found_by, expected, seconds) in [
        (&[][..], "", &[][..], json!(null), vec![], 120),
        (&[novas], "", &[], json!("place"), vec![NOVAS], 4),
        (&both, "", &[], json!("place"), vec![OWN], 3),
        (&both, &two, &[], json!("environment"), vec![&two], 2),
        (&both, &two, &["--config", &one], json!("command_line"), vec![&one], 1),
        (&both, "", &["--config", &one, "--config", &two], json!("command_line"), vec![&one, &two], 2),
    ] {
        let shown = shown(&scratch, files, variable, arguments);
        assert_eq!(shown["found_by"], found_by, "{shown}");
        assert_eq!(shown["files"], json!(expected));
        let lock_timeout = &shown["options"]["lock_timeout"];
        assert_eq!(lock_timeout["value"], json!(seconds), "{shown}");
        let source = if expected.is_empty() { "default" } else { "file" };
        assert_eq!(
            (&lock_timeout["source"], &lock_timeout["from"]),
            (&json!(source), &json!(expected.last()))
        );
    }
    let shown = shown(&scratch, &[novas], "", &["--lock-timeout", "9"]);
    assert_eq!(shown["options"]["lock_timeout"], json!({"value": 9, "source": "command_line", "from": null}));
    let base = json!({"value": "/srv/nova/mnt", "source": "file", "from": NOVAS});
    assert_eq!(shown["options"]["quobyte_mount_point_base"], base);
    assert_eq!(shown["version"], json!(1));
}

#[test]
fn config_show_names_each_source_in_text() {
    let scratch = Scratch::new();
    let files = [(OWN, "[quobyte]\\nlock_timeout = 3\\n")];
    let text = run(&scratch, &files, "", &["config", "show", "--launcher", "direct"]).stdout;
    assert!(text.starts_with(&format!("configuration found: {OWN}\n")), "{text}");
    for (name, value, source) in [
        ("lock_timeout", "3", OWN),
        ("launcher", "direct", "command line"),
        ("mount_timeout", "60", "default"),
        ("quobyte_client_cfg", "-", "default"),
        ("connect_uri", "qemu:///system", "default"),
    ] {
        let words: Vec<_> = [name, value].into_iter().chain(source.split(' ')).collect();
        let is_line = |line: &str| line.split_whitespace().eq(words.iter().copied());
        assert!(text.lines().any(is_line), "{words:?}: {text}");
    }
}

#[test]
fn config_that_is_closed_to_the_user_is_refused() {
    let scratch = Scratch::new();
    // The host's own nova.conf is closed to all but root and nova.
    let reply = Reply::of_finished(&run(&scratch, &[(NOVAS, CLOSED)], "", &["--json", "status"]));
    assert_eq!(reply.failure(), (3, "invalid_config"));
    assert!(reply.message().contains(NOVAS), "{}", reply.message());
    assert!(reply.hint().contains("--config"), "{}", reply.hint());
    let reply = Reply::of_finished(&run(&scratch, &[], "/nonexistent", &["--json", "status"]));
    assert_eq!(reply.failure(), (3, "invalid_config"));
    assert!(reply.message().contains("$NOVA_QUOBYTE_CONFIG"), "{}", reply.message());
}
