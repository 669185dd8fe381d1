use super::*;

fn parse_line(line: &str) -> Result<Request, UsageError> {
    let arguments: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
    parse(&arguments)
}

fn mount(line: &str) -> Arguments {
    match parse_line(line) {
        Ok(Request::Mount(arguments)) => arguments,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn options_may_precede_or_follow_positionals() {
    let before = mount("--disable-xattrs -c /cfg -l /log -f host/vol /mnt");
    let after = mount("host/vol /mnt -f -l /log -c /cfg --disable-xattrs");
    assert_eq!(before, after);
    assert_eq!(before.export.source(), "quobyte@host/vol");
    assert_eq!(before.mount_point, PathBuf::from("/mnt"));
    assert_eq!(before.config, Some(PathBuf::from("/cfg")));
    assert_eq!(before.log, Some(PathBuf::from("/log")));
    assert!(before.foreground && before.disable_xattrs && !before.read_only);
}

#[test]
fn real_client_flags_are_accepted() {
    for line in [
        "-d INFO host/ /mnt",
        "--hostname node1 host/vol /mnt",
        "--http-port 55000 host/vol /mnt",
        "--http-port=55000 host/vol /mnt",
        "--allow-usermapping-in-volumename host/vol /mnt",
        "--minidump-path /tmp --allow-minidump-upload host/vol /mnt",
        "--enable-access-contexts --no-default-permissions host/vol /mnt",
        "--disable-quorum-read=true --rdma.enabled=true host/vol /mnt",
        "host:7861/ /mnt -o rw,user_xattr",
        "-o allow-usermapping-in-volumename,ro host:7861/ /mnt",
    ] {
        mount(line);
    }
}

#[test]
fn last_of_ro_and_rw_wins() {
    assert!(mount("-o ro host/vol /mnt").read_only);
    assert!(!mount("-o ro,rw host/vol /mnt").read_only);
    assert!(mount("-o rw -o ro host/vol /mnt").read_only);
}

#[test]
fn invalid_arguments_are_usage_errors() {
    use UsageError::{Export, MissingValue, Positionals, UnexpectedValue, UnknownOption};
    for (line, error) in [
        ("", Positionals(0)),
        ("host/vol", Positionals(1)),
        ("host/vol /mnt /more", Positionals(3)),
        ("--nonsense host/vol /mnt", UnknownOption("--nonsense".into())),
        ("-x host/vol /mnt", UnknownOption("-x".into())),
        ("-o =x host/vol /mnt", UnknownOption("-o =x".into())),
        ("--disable-xattrs=yes host/vol /mnt", UnexpectedValue("--disable-xattrs=yes".into())),
        ("host/vol /mnt -c", MissingValue("-c".into())),
        ("host/vol /mnt --http-port", MissingValue("--http-port".into())),
        ("novolume /mnt", Export("novolume".into())),
    ] {
        assert_eq!(parse_line(line), Err(error), "{line}");
    }
}

#[test]
fn help_and_version_need_no_volume() {
    assert_eq!(parse_line("--help"), Ok(Request::Help));
    assert_eq!(parse_line("--version"), Ok(Request::Version));
}
