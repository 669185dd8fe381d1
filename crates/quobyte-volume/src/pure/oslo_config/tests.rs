use super::*;
use crate::error::Code;

fn config(text: &str) -> OsloConfig {
    OsloConfig::parse(text.as_bytes()).unwrap()
}

/// `[libvirt] quobyte_mount_point_base` in a file with that value and some lines behind it.
fn base(value: &str, more: &str) -> Result<String, String> {
    let config = config(&format!("[libvirt]\nquobyte_mount_point_base = {value}\n{more}"));
    let text = config.text("libvirt", "quobyte_mount_point_base");
    text.map(Option::unwrap).map_err(|error| error.to_string())
}

#[test]
fn lines_are_read_as_oslo_config_reads_them() {
    for (value, expected) in [
        ("/a", "/a"),
        (" /a \t", "/a"),
        ("\"/a\"", "/a"),
        ("'/a b '", "/a b "),
        ("\"/a", "\"/a"),
        ("\"/a'", "\"/a'"),
        ("\"", ""),
        ("''", ""),
        ("/a # b", "/a # b"),
        ("/a ; b", "/a ; b"),
        ("/a\n  /b\n\t'c'", "/a\n/b\n'c'"),
        ("/a\n  # no comment", "/a\n# no comment"),
        ("/a\n\n[x]\ny=z", "/a"),
        ("/a\r\n", "/a"),
        ("/a\u{a0}\u{1f}", "/a"),
        ("/a = b : c", "/a = b : c"),
        ("/a\nquobyte_mount_point_base: /b", "/b"),
        ("/a\n[Libvirt]\nquobyte_mount_point_base=/b", "/b"),
        ("/a\n[LibVirt ]\nquobyte_mount_point_base=/b", "/a"),
        ("/a\nQuobyte_mount_point_base = /b\n;x\n#[", "/a"),
    ] {
        assert_eq!(base(value, ""), Ok(expected.to_owned()), "{value:?}");
    }
}

#[test]
fn junk_lines_are_refused_by_number() {
    for (text, line) in [
        ("[a]\njunk", 2),
        ("\u{feff}[a]\nb = c", 1),
        ("\u{feff}", 1),
        ("[a\nb = c", 1),
        ("[a] # x\nb = c", 1),
        ("[]", 1),
        ("a = b", 1),
        ("a = b\n\n[c]", 2),
        ("[a]\n= b", 2),
        ("[a]\n: b", 2),
        (" a = b", 1),
        ("[a]\n  b = c", 2),
        ("[a]\nb = c\n# x\n  d", 4),
        ("[a]\nb = c\n\n  d", 4),
    ] {
        let error = OsloConfig::parse(text.as_bytes()).unwrap_err();
        assert!(
            matches!(error, OsloConfigError::Syntax { line: found, .. } if found == line),
            "{text:?}: {error}"
        );
        assert_eq!(error.code(), Code::InvalidConfig);
    }
    OsloConfig::parse(b"[a]\nb = \xff").unwrap_err();
    OsloConfig::parse(&vec![b'\n'; MAX_CONFIG_LEN + 1]).unwrap_err();
}

#[test]
fn options_are_put_where_they_are_referred_to() {
    let more = "quobyte_client_cfg = /cfg\n[DEFAULT]\nstate_path = /s\ntempdir = $state_path/t\n\
                [quobyte]\nmount_timeout = 7\nstate_dir = '$ x'\n";
    for (value, expected) in [
        ("$state_path/mnt", "/s/mnt"),
        ("${state_path}mnt", "/smnt"),
        ("$quobyte_client_cfg", "/cfg"),
        ("${libvirt.quobyte_client_cfg}", "/cfg"),
        ("$libvirt.quobyte_client_cfg", "/cfg"),
        ("$tempdir$instances_path", "/s/t/s/instances"),
        ("${quobyte.mount_timeout}-${quobyte.probe_timeout}", "7.0-5.0"),
        ("<${quobyte.physical_block_size}>", "<>"),
        ("${quobyte.state_dir}", "$ x"),
        (r"$$state_path\$state_path$$", "$state_path$state_path$"),
        ("$", "$"),
        ("$1 ${} ${a-b} ${state_path", "$1 ${} ${a-b} ${state_path"),
        ("$/mnt", "$/mnt"),
    ] {
        assert_eq!(base(value, more), Ok(expected.to_owned()), "{value}");
    }
}

#[test]
fn unknown_or_endless_reference_is_refused() {
    let more = "[DEFAULT]\nmy_ip = $host\nhost = $my_ip\nother = x\n[quobyte]\nmount_timeout = soon\n";
    for value in [
        "$base/mnt",
        "$State_path",
        "$state_path.d/mnt",
        "$DEFAULT.state_path",
        "${libvirt.state_path}",
        "${nova.x}",
        "$libvirt",
        "$other",
        "$pybasedir",
        "$quobyte_mount_point_base",
        "$my_ip",
        "${quobyte.mount_timeout}",
        "$\u{17f}",
    ] {
        let error = base(value, more).unwrap_err();
        assert!(
            error.starts_with("quobyte_mount_point_base = \"") && error.contains(" refers to "),
            "{error}"
        );
    }
}

#[test]
fn substitution_ends_soon() {
    let wide = |name: &str| name.repeat(2000);
    let more = format!(
        "[DEFAULT]\nstate_path = {}\ninstances_path = {}\nmy_ip = {}\nhost =\n",
        wide("$instances_path"),
        wide("$my_ip"),
        wide("$host")
    );
    assert!(base("$state_path", &more).unwrap_err().contains("too many"));
    let long = format!("[DEFAULT]\nstate_path = {}\n", "x".repeat(1000));
    assert!(base(&wide("$state_path"), &long).unwrap_err().contains("64 KiB"));
}

#[test]
fn numbers_and_lists_are_pythons() {
    let config = |value: &str| config(&format!("[quobyte]\nx = {value}\n"));
    for (value, float, integer) in [
        ("7", Some(7.0), Some(7)),
        ("+1_000", Some(1000.0), Some(1000)),
        ("0512", Some(512.0), Some(512)),
        ("1e3", Some(1000.0), None),
        (".5", Some(0.5), None),
        ("5.", Some(5.0), None),
        ("\" 7 \"", Some(7.0), Some(7)),
        ("\"\u{1f}7\"", None, None),
        ("\"\u{1f}\u{a0}7\"", None, None),
        ("\"\u{a0}7\"", Some(7.0), Some(7)),
        ("_7", None, None),
        ("7_", None, None),
        ("1__0", None, None),
        ("0x10", None, None),
        ("7 s", None, None),
    ] {
        assert_eq!(config(value).float("quobyte", "x").ok().flatten(), float, "{value}");
        assert_eq!(config(value).integer("quobyte", "x").ok().flatten(), integer, "{value}");
    }
    assert_eq!(config("").float("quobyte", "x"), Ok(None));
    let list = |value| config(value).list("quobyte", "x").unwrap().unwrap();
    assert_eq!(list(" file=none , block=writeback,, "), ["file=none", "block=writeback"]);
    assert_eq!(list("a,,b"), ["a", "", "b"]);
    assert_eq!(list(","), [""; 0]);
}

#[test]
fn later_file_wins_option_by_option() {
    let mut merged = config("[a]\nx = 1\ny = 1\n");
    merged.override_with(config("[A]\nx = 2\n"));
    assert_eq!(merged.raw("a", "x"), Some("2"));
    assert_eq!(merged.raw("a", "y"), Some("1"));
}

#[test]
fn error_shows_the_values_of_asked_options_alone() {
    let secret = "[DEFAULT]\ntransport_url = open-sesame\nopen-sesame\n";
    assert!(!format!("{:?}", OsloConfig::parse(secret.as_bytes()).unwrap_err()).contains("sesame"));
    let error = base(&format!("$x\u{1b}{}", "y".repeat(1000)), "").unwrap_err();
    assert!(error.len() < 300 && !error.contains(char::is_control), "{error}");
}
