//! Configuration files, which a person or a deployment tool wrote, and which hold passwords.

use quobyte_volume::pure::oslo_config::{OsloConfig, OsloConfigError};

/// No text has this byte, so it stands between the files of an input.
const BETWEEN_FILES: u8 = 0xff;

/// The groups that options are looked up in, and a few of their options.
const GROUPS: [(&str, &[&str]); 3] = [
    ("DEFAULT", &["state_path", "instances_path"]),
    ("libvirt", &["quobyte_mount_point_base", "quobyte_client_cfg", "disk_cachemodes"]),
    ("quobyte", &["state_dir", "mount_timeout", "physical_block_size"]),
];

/// Files mean the same one after another as in one file, and an option's value the same once it is written in quotes.
/// Values are bounded, and no error shows more than one of them, in short.
///
/// # Panics
/// When it is otherwise.
pub fn oslo_config(input: &[u8]) {
    let mut joined = Vec::new();
    let mut config = OsloConfig::default();
    for file in input.split(|byte| *byte == BETWEEN_FILES) {
        match OsloConfig::parse(file) {
            Ok(later) => config.override_with(later),
            Err(error) => return assert_shows_no_value(&error),
        }
        joined.extend_from_slice(file);
        joined.push(b'\n');
    }
    assert_eq!(OsloConfig::parse(&joined).as_ref(), Ok(&config));
    let again = OsloConfig::parse(written(&config).as_bytes()).expect("what is written so can be read");
    for (group, options) in GROUPS {
        assert!(again.names(group).eq(config.names(group)));
        for name in config.names(group) {
            assert_eq!(again.raw(group, name), config.raw(group, name), "{group}.{name}");
        }
        options.iter().for_each(|name| assert_usable(&config, group, name));
    }
}

/// The configuration in the plainest form: a value's first line in quotes, and the others behind a tab.
fn written(config: &OsloConfig) -> String {
    let mut text = String::new();
    for (group, _) in GROUPS {
        text.push_str(&format!("[{group}]\n"));
        for name in config.names(group) {
            let value = config.raw(group, name).expect("it is set");
            let (first, further) = value.split_once('\n').unwrap_or((value, ""));
            // A name that looks like a comment or a section is one only in the first column, where a blank is no part of it.
            text.push_str(&format!("\u{a0}{name} = \"{first}\"\n"));
            further.lines().for_each(|line| text.push_str(&format!("\t{line}\n")));
        }
    }
    text
}

fn assert_usable(config: &OsloConfig, group: &'static str, name: &'static str) {
    let raw = config.raw(group, name).unwrap_or_default();
    match config.text(group, name) {
        Ok(value) => {
            assert_eq!(value.is_some(), config.raw(group, name).is_some());
            let value = value.unwrap_or_default();
            assert!(value.len() <= 64 * 1024 + raw.len(), "{} bytes", value.len());
            assert!(raw.contains('$') || value == raw, "{value:?}");
        }
        Err(error) => {
            assert!(raw.contains('$'), "{error}");
            assert_is_short(&error);
        }
    }
    match (config.integer(group, name), config.float(group, name)) {
        (Ok(Some(integer)), float) => {
            let text = config.text(group, name);
            assert!(float.is_ok_and(|float| float.is_some_and(|float| float.trunc() == float)), "{text:?}");
            assert!(text.is_ok_and(|text| text.is_some()), "{integer}");
        }
        (Ok(None), float) => assert_eq!(float, Ok(None)),
        (Err(error), _) => assert_is_short(&error),
    }
    let items = config.list(group, name).ok().flatten().unwrap_or_default();
    assert!(items.iter().all(|item| !item.contains(',')), "{items:?}");
}

fn assert_is_short(error: &OsloConfigError) {
    let message = error.to_string();
    assert!(message.len() < 1000 && !message.contains(char::is_control), "{message:?}");
}

/// A file that cannot be read has passwords in it, too.
fn assert_shows_no_value(error: &OsloConfigError) {
    assert!(!matches!(error, OsloConfigError::Value { .. }), "{error}");
    assert_is_short(error);
}
