//! What options mean, wherever they stand.

use std::io::Write;

use clap::CommandFactory;

use super::*;
use crate::cli::{self, Cli};

fn load(file: &str, arguments: &[&str]) -> Result<Settings, Error> {
    let mut config = tempfile::NamedTempFile::new().unwrap();
    config.write_all(file.as_bytes()).unwrap();
    let path = config.path().to_str().unwrap();
    let fixed = ["nova-quobyte", "status", "--config", path];
    let cli = cli::parse_from(fixed.iter().chain(arguments)).unwrap();
    Settings::load(&cli.options)
}

#[test]
fn command_line_overrides_file_and_defaults() {
    let file = "[libvirt]\nquobyte_mount_point_base = /a\n[quobyte]\nmount_timeout = 7\nlock_timeout=8\n\
                launcher = systemd-user\n";
    let settings = load(file, &["--mount-timeout", "9"]).unwrap();
    assert_eq!(settings.mount_point_base(), Path::new("/a"));
    assert_eq!(settings.linux.mount_timeout, Some(Duration::from_secs(9)));
    assert_eq!(settings.config.lock_timeout, Duration::from_secs(8));
    assert_eq!(settings.linux.launcher, Launcher::SystemdUser);
    assert_eq!(settings.state_dir, Path::new("/run/nova-quobyte"));
}

#[test]
fn nova_conf_is_accepted() {
    let file = "[DEFAULT]\n# comment\nstate_path = /srv/nova\n\
                transport_url = rabbit://u:p%40ss'@host/\n[libvirt]\n\
                quobyte_mount_point_base = $state_path/mnt\nquobyte_client_cfg =\n";
    let settings = load(file, &[]).unwrap();
    assert_eq!(settings.mount_point_base(), Path::new("/srv/nova/mnt"));
    assert_eq!(settings.linux.client_cfg, None);
    let defaults = load("[DEFAULT]\nstate_path=/srv/nova\n", &[]).unwrap();
    assert_eq!(defaults.mount_point_base(), Path::new("/srv/nova/mnt"));
}

#[test]
fn path_that_no_operation_can_use_is_refused() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let options = ["--quobyte-mount-point-base", "--quobyte-client-cfg", "--state-dir"];
    let (long_part, long) = ([b"/", &[b'a'; 300][..]].concat(), b"/a".repeat(2048));
    let paths = [&b"/\xff"[..], b"st", &long_part, &long];
    for (option, path) in options.iter().flat_map(|option| paths.map(|path| (option, path))) {
        let words =
            [OsStr::new("nova-quobyte"), OsStr::new(option), OsStr::from_bytes(path), OsStr::new("status")];
        let error = Settings::load(&cli::parse_from(words).unwrap().options).unwrap_err();
        assert_eq!(error.code().as_str(), "invalid_config");
        let name = option[2..].replace('-', "_");
        assert!(error.to_string().starts_with(&name), "{error}");
    }
}

#[test]
fn later_config_file_wins_wherever_it_stands() {
    let file = |base: &str| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write!(file, "[libvirt]\nquobyte_mount_point_base = {base}\n").unwrap();
        file
    };
    let (a, b) = (file("/a"), file("/b"));
    let (a, b) = (a.path().to_str().unwrap(), b.path().to_str().unwrap());
    for (words, expected) in [
        (["--config", a, "--config", b, "status"], "/b"),
        (["--config", b, "status", "--config", a], "/a"),
        (["status", "--config", a, "--config", b], "/b"),
    ] {
        let cli = cli::parse_from(["nova-quobyte"].iter().chain(&words)).unwrap();
        assert_eq!(cli.options.config.len(), 2);
        assert_eq!(Settings::load(&cli.options).unwrap().mount_point_base(), Path::new(expected));
    }
}

#[test]
fn unreadable_config_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    for path in [directory.path(), &missing] {
        let error = load("", &["--config", path.to_str().unwrap()]).unwrap_err();
        assert_eq!(error.code().as_str(), "invalid_config", "{error}");
    }
}

#[test]
fn unknown_option_is_refused_with_suggestion() {
    for (name, nearest) in [
        ("mount_timeot", "mount_timeout"),
        ("probe-timeout", "probe_timeout"),
        ("IO_MODE", "io_mode"),
        ("cachemode", "cache_mode"),
        ("statedir", "state_dir"),
    ] {
        let error = load(&format!("[quobyte]\n{name} = 7\n"), &[]).unwrap_err();
        assert_eq!(error.code().as_str(), "invalid_config");
        let message = error.to_string();
        assert!(message.contains(name) && message.ends_with(nearest), "{message}");
    }
}

#[test]
fn unknown_option_in_other_section_is_ignored() {
    load(
        "[DEFAULT]\nx = 1\n[libvirt]\nvirt_type = kvm\nmount_timeot = 7\n[quobyte]\n[quobyte ]\nx = 1\n",
        &[],
    )
    .unwrap();
    load("[Quobyte]\nx = 1\n", &[]).unwrap_err();
}

#[test]
fn command_line_options_match_config_file() {
    let command = Cli::command();
    let file_options = command
        .get_arguments()
        .filter(|option| option.get_help_heading() == Some("Configuration"))
        .map(|option| option.get_id().as_str())
        .filter(|name| !matches!(*name, "config" | "connect_uri") && !name.starts_with("quobyte_"));
    let mut file_options: Vec<_> = file_options.collect();
    file_options.sort_unstable();
    assert_eq!(file_options, file::OPTIONS);
}

#[test]
fn invalid_value_is_refused_with_option_name() {
    for (line, name) in [
        ("[quobyte]\nmount_timeout = soon", "mount_timeout"),
        ("[quobyte]\nlock_timeout = 0", "lock_timeout"),
        ("[quobyte]\nlauncher = systemd", "launcher"),
        ("[quobyte]\nio_mode = fast", "io_mode"),
        ("[quobyte]\ncache_mode = unsafe", "cache_mode"),
        ("[quobyte]\nphysical_block_size = 1000", "physical_block_size"),
        ("[libvirt]\nquobyte_mount_point_base = $base/mnt", "quobyte_mount_point_base"),
        ("[libvirt]\nquobyte_mount_point_base = /a\n  /b", "quobyte_mount_point_base"),
        ("[libvirt]\nquobyte_client_cfg = /a\x1bb", "quobyte_client_cfg"),
        ("[quobyte]\nstate_dir = /a\tb", "state_dir"),
        ("[quobyte]\nlauncher =", "launcher"),
        ("[quobyte]\nprobe_timeout = 86401", "probe_timeout"),
        ("[quobyte]\nprobe_timeout = nan", "probe_timeout"),
        ("[quobyte]\nphysical_block_size = 5_12.0", "physical_block_size"),
    ] {
        let error = load(line, &[]).unwrap_err();
        assert_eq!(error.code().as_str(), "invalid_config");
        let message = error.to_string();
        assert!(message.contains(name) && !message.contains(char::is_control), "{message}");
    }
}

#[test]
fn each_value_tells_its_source() {
    let file = "[DEFAULT]\nstate_path = /srv/nova\n[quobyte]\nlock_timeout = 8\nvolume_formats = raw\n";
    let settings = load(file, &["--mount-timeout", "9.5", "--connect-uri", "qemu:///session"]).unwrap();
    let Found { by, files, values } = settings.found();
    assert_eq!((*by, files.len()), (FoundBy::CommandLine, 1));
    let found = |name: &str| {
        let option = values.iter().find(|option| option.name == name).unwrap();
        (option.value.clone(), option.source.clone())
    };
    let in_file = || Source::File(files[0].clone());
    assert_eq!(found("quobyte_mount_point_base"), (json!("/srv/nova/mnt"), in_file()));
    assert_eq!(found("lock_timeout"), (json!(8), in_file()));
    assert_eq!(found("volume_formats"), (json!("raw"), in_file()));
    assert_eq!(found("mount_timeout"), (json!(9.5), Source::CommandLine));
    assert_eq!(found("connect_uri"), (json!("qemu:///session"), Source::CommandLine));
    assert_eq!(found("probe_timeout"), (json!(5), Source::Default));
    assert_eq!(found("quobyte_client_cfg"), (Value::Null, Source::Default));
    // Every option is there once.
    let mut names: Vec<_> = values.iter().map(|option| option.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), values.len());
    for option in file::OPTIONS {
        assert!(names.contains(&option), "{option}");
    }
}

#[test]
fn unset_mount_timeout_leaves_it_to_the_record() {
    let settings = load("", &[]).unwrap();
    assert_eq!(settings.linux.mount_timeout, None);
    let shown = settings.found().values.iter().find(|option| option.name == "mount_timeout").unwrap();
    assert_eq!(shown.value, json!(60));
}

#[test]
fn config_behind_a_nested_subcommand_counts() {
    let words = ["nova-quobyte", "config", "--config", "/a", "show", "--config", "/b"];
    let cli = cli::parse_from(words).unwrap();
    assert_eq!(cli.options.config, [Path::new("/a"), Path::new("/b")]);
}
