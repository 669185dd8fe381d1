//! The command reads configuration files as oslo.config does. oslo.config itself reads the same files.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use e2e::{Program, Rng, Scratch, env_number};
use quobyte_volume::host::Launcher;
use quobyte_volume::pure::io_policy::{CacheModeOption, IoModeOption, PhysicalBlockSize};
use quobyte_volume::pure::oslo_config::{OsloConfig, OsloConfigError};
use serde_json::{Map, Value, json};

/// How many files are made up.
const FILES: usize = 3000;

/// Files that were read otherwise once, and their kin.
const CASES: [&str; 24] = [
    "[libvirt]\nquobyte_mount_point_base = \"/quoted\"\n",
    "[libvirt]\nquobyte_mount_point_base = '/half\"\n",
    "[libvirt]\nquobyte_mount_point_base = \"\n",
    "[libvirt]\nquobyte_mount_point_base = /a$$b\\$c$\n",
    "[DEFAULT]\nstate_path = /s\n[libvirt]\nquobyte_mount_point_base = ${state_path}/x$tempdir\n",
    "[libvirt]\nquobyte_mount_point_base = $instances_path/../mnt\n",
    "[libvirt]\nquobyte_mount_point_base = ${quobyte.mount_timeout}${quobyte.physical_block_size}\n",
    "[libvirt]\nquobyte_mount_point_base = $state_path.d\n",
    "[libvirt]\nquobyte_mount_point_base = $quobyte_mount_point_base\n",
    "\u{feff}[libvirt]\nquobyte_mount_point_base = /a\n",
    "[libvirt]\nquobyte_mount_point_base = /a\njunk\n",
    "[libvirt]\nquobyte_mount_point_base =\nquobyte_client_cfg:\n",
    "[libvirt]\n  quobyte_mount_point_base = /a\n",
    "[libvirt]\nquobyte_mount_point_base = /a\n  /b # c\n\n",
    "[libvirt]\nquobyte_mount_point_base = /a\n# comment\n  /b\n",
    "[libvirt] # comment\nquobyte_mount_point_base = /a\n",
    "[LIBVIRT]\nquobyte_mount_point_base : /a=b:c\n[libvirt]\nquobyte_mount_point_base=/b\r\n",
    "quobyte_mount_point_base = /a\n[libvirt]\n",
    "[libvirt]\ndisk_cachemodes = file=none , \"block=x\",,\n",
    "[libvirt]\ndisk_cachemodes = \"file=writeback\"\n",
    "[quobyte]\nmount_timeout = 1_0.5\nprobe_timeout = 0\nlock_timeout =\nphysical_block_size = +0512\n",
    "[quobyte]\nmount_timeout = 86400.1\nprobe_timeout = 1e-3\nlock_timeout = inf\nphysical_block_size = 512.0\n",
    "[quobyte]\nlauncher = \"auto \"\ncache_mode = None\nio_mode =\nvolume_formats = \" raw\"\n",
    "[Quobyte]\nlauncher = direct\n[quobyte ]\nlauncher = auto\n[default]\nstate_path = /other\n",
];

const NAMES: [&str; 15] = [
    "quobyte_mount_point_base",
    "quobyte_client_cfg",
    "disk_cachemodes",
    "state_path",
    "instances_path",
    "tempdir",
    "state_dir",
    "launcher",
    "mount_timeout",
    "probe_timeout",
    "lock_timeout",
    "cache_mode",
    "io_mode",
    "physical_block_size",
    "volume_formats",
];

const SECTIONS: [&str; 14] = [
    "[libvirt]",
    "[libvirt]",
    "[quobyte]",
    "[quobyte]",
    "[DEFAULT]",
    "[DEFAULT]",
    "[Libvirt]",
    "[default]",
    "[QUOBYTE]",
    "[ libvirt ]",
    "[a]b]",
    "[libvirt] # c",
    "[]",
    "[libvirt",
];

const PIECES: [&str; 56] = [
    "/a",
    "/b",
    "mnt",
    "/",
    " ",
    "\t",
    "#",
    " # c",
    ";",
    ":",
    "=",
    "'",
    "\"",
    "$",
    "$$",
    "\\$",
    "\\",
    "\\\\$",
    "${",
    "}",
    "$state_path",
    "${state_path}",
    "$instances_path",
    "$tempdir",
    "$quobyte_client_cfg",
    "${quobyte_client_cfg}",
    "${libvirt.quobyte_client_cfg}",
    "$libvirt.quobyte_client_cfg",
    "${quobyte.state_dir}",
    "$state_dir",
    "${libvirt}",
    "$unknown",
    "${unknown.x}",
    "$STATE_PATH",
    "$1",
    "${1}",
    "$é",
    "é",
    "\u{a0}",
    "\u{1f}",
    "\u{2028}",
    "0.001",
    "7",
    "1e2",
    "_",
    "-1",
    "86401",
    "4096",
    "512",
    "auto",
    "none",
    "native",
    "direct",
    "raw,qcow2",
    "file=none",
    ",",
];

const ENDS: [&str; 8] = ["\n", "\n", "\n", "\n", "\n", "\r\n", "\r", "\n\n"];

fn index(rng: &mut Rng, count: usize) -> usize {
    rng.below(count as u64) as usize
}

fn pick<'a>(rng: &mut Rng, from: &[&'a str]) -> &'a str {
    from[index(rng, from.len())]
}

/// A value that may suit an option, or some pieces of one.
fn value(rng: &mut Rng) -> String {
    let text: String = (0..rng.below(4)).map(|_| pick(rng, &PIECES)).collect();
    match rng.below(8) {
        0 => format!("\"{text}\""),
        1 => format!("'{text}'"),
        2 => format!(" {text} "),
        _ => text,
    }
}

fn made_up_file(rng: &mut Rng) -> String {
    let mut text = String::new();
    for line in 0..1 + rng.below(12) {
        // Few junk lines, since one of them is the end of a whole file.
        let line = match rng.below(40) {
            _ if line == 0 && rng.below(20) > 0 => pick(rng, &SECTIONS[..9]).to_owned(),
            0..=27 => format!("{}{}{}", pick(rng, &NAMES), pick(rng, &[" = ", "=", ":", " : "]), value(rng)),
            28..=32 => pick(rng, &SECTIONS[..9]).to_owned(),
            33 | 34 => format!("{}{}", pick(rng, &[" ", "\t", "  "]), value(rng)),
            35 | 36 => format!("{}{}", pick(rng, &["#", ";"]), value(rng)),
            37 => pick(rng, &["", " ", "\t "]).to_owned(),
            38 => pick(rng, &SECTIONS).to_owned(),
            _ => value(rng),
        };
        text.push_str(&line);
        text.push_str(pick(rng, &ENDS));
    }
    text
}

/// What cannot be had.
fn unusable() -> Value {
    json!({})
}

fn or_unusable<T: Into<Value>>(value: Result<T, OsloConfigError>) -> Value {
    value.map_or_else(|_| unusable(), Into::into)
}

/// What the command makes of the files, in the form of `tests/oslo_config/values.py`.
fn our_values(files: &[PathBuf]) -> Value {
    let mut config = OsloConfig::default();
    for file in files {
        match OsloConfig::parse(&std::fs::read(file).expect("read a file")) {
            Ok(later) => config.override_with(later),
            Err(_) => return unusable(),
        }
    }
    let text = |group, name| config.text(group, name);
    let base = text("libvirt", "quobyte_mount_point_base").and_then(|base| match base {
        Some(base) => Ok(base),
        None => Ok(text("DEFAULT", "state_path")?.unwrap_or("/var/lib/nova".to_owned()) + "/mnt"),
    });
    let mut values = Map::new();
    let mut put = |name: &str, value| values.insert(name.to_owned(), value);
    put("quobyte_mount_point_base", or_unusable(base));
    put("quobyte_client_cfg", or_unusable(text("libvirt", "quobyte_client_cfg")));
    let modes = config.list("libvirt", "disk_cachemodes");
    put("disk_cachemodes", or_unusable(modes.map(Option::unwrap_or_default)));
    let ours = |name, default: &str| text("quobyte", name).map(|text| text.unwrap_or(default.to_owned()));
    put("state_dir", or_unusable(ours("state_dir", "/run/nova-quobyte")));
    put("volume_formats", or_unusable(ours("volume_formats", "raw,qcow2")));
    put("launcher", choice::<Launcher>(ours("launcher", "auto")));
    put("cache_mode", choice::<CacheModeOption>(ours("cache_mode", "auto")));
    put("io_mode", choice::<IoModeOption>(ours("io_mode", "auto")));
    for (name, default) in [("mount_timeout", 60.0), ("probe_timeout", 5.0), ("lock_timeout", 120.0)] {
        let is_set = config.raw("quobyte", name).is_some();
        let value = match config.float("quobyte", name) {
            Ok(None) if is_set => Value::Null,
            Ok(seconds) => match seconds.unwrap_or(default) {
                seconds if (0.001..=86400.0).contains(&seconds) => json!(seconds),
                _ => unusable(),
            },
            Err(_) => unusable(),
        };
        put(name, value);
    }
    let size = match config.integer("quobyte", "physical_block_size") {
        Ok(Some(size)) if PhysicalBlockSize::from_str(&size.to_string()).is_err() => unusable(),
        size => or_unusable(size),
    };
    put("physical_block_size", size);
    values.into()
}

fn choice<T: FromStr>(text: Result<String, OsloConfigError>) -> Value {
    or_unusable(text.map(|text| if T::from_str(&text).is_ok() { json!(text) } else { unusable() }))
}

/// What oslo.config makes of each list of files.
fn oslo_values(cases: &[Vec<PathBuf>]) -> Vec<Value> {
    let checkout = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let mut input = String::new();
    for files in cases {
        writeln!(input, "{}", json!(files)).expect("a string takes it");
    }
    let answers = Program::as_root(checkout.join("target/lab/venv-oslo/bin/python"))
        .arg(checkout.join("tests/oslo_config/values.py"))
        .arg(checkout.join("crates/nova-quobyte-python/python/nova_quobyte/options.py"))
        // Nothing in target/ shall become root's.
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONUTF8", "1")
        .input(input)
        .succeed();
    let answers: Vec<_> = answers.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(answers.len(), cases.len());
    answers
}

#[test]
fn files_mean_what_they_mean_to_oslo_config() {
    let scratch = Scratch::new();
    // The same files each time, or those of another seed.
    let mut rng = Rng::seeded(env_number("NOVA_QUOBYTE_SEED", 34));
    let mut count = 0;
    let mut write = |text: &str| {
        count += 1;
        scratch.file(&format!("{count}.conf"), text)
    };
    let mut cases: Vec<Vec<PathBuf>> = CASES.iter().map(|text| vec![write(text)]).collect();
    let made_up: Vec<_> = (0..FILES).map(|_| write(&made_up_file(&mut rng))).collect();
    // Every file alone, and with the one before it.
    cases.extend(made_up.iter().map(|file| vec![file.clone()]));
    cases.extend(made_up.windows(2).map(<[PathBuf]>::to_vec));
    let mut usable = 0;
    for (files, theirs) in cases.iter().zip(oslo_values(&cases)) {
        let texts =
            || files.iter().map(|file| std::fs::read_to_string(file).expect("read it")).collect::<Vec<_>>();
        assert_eq!(our_values(files), theirs, "{:#?}", texts());
        usable += usize::from(theirs != unusable());
    }
    // Nothing would be shown by files that nobody can read.
    assert!(usable > cases.len() / 4, "{usable} of {}", cases.len());
}
