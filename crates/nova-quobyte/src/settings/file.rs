//! A configuration file in the form oslo.config reads, such as nova.conf.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use configparser::ini::{Ini, IniDefault};

use crate::cli;
use crate::error::Error;

/// The section that is this project's own.
const SECTION: &str = "quobyte";

/// All options of that section, sorted.
pub(super) const OPTIONS: [&str; 10] = [
    "cache_mode",
    "io_mode",
    "launcher",
    "libvirt_timeout",
    "lock_timeout",
    "mount_timeout",
    "physical_block_size",
    "probe_timeout",
    "state_dir",
    "volume_formats",
];

/// Nova's `$state_path`, below which it has its mounts.
const STATE_PATH: &str = "/var/lib/nova";

/// A configuration file in the form oslo.config reads.
pub(super) struct ConfigFile {
    path: PathBuf,
    ini: Ini,
}

impl ConfigFile {
    /// A file in which nothing is set.
    pub(super) fn empty() -> Self {
        Self { path: PathBuf::new(), ini: Ini::new() }
    }

    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| Error::UnreadableInput { path: path.to_owned(), source })?;
        let mut defaults = IniDefault::default();
        defaults.case_sensitive = true;
        defaults.multiline = true;
        // Only a line of its own is a comment.
        defaults.inline_comment_symbols = Some(Vec::new());
        let mut ini = Ini::new_from_defaults(defaults);
        ini.read(text).map_err(|reason| Error::InvalidConfig { path: path.to_owned(), reason })?;
        let file = Self { path: path.to_owned(), ini };
        file.check_option_names()?;
        Ok(file)
    }

    /// Rejects unknown options: a misspelt one would silently leave its default in force. Other sections are Nova's.
    fn check_option_names(&self) -> Result<(), Error> {
        let names = self.ini.get_map_ref().get(SECTION).into_iter().flat_map(|section| section.keys());
        match names.into_iter().find(|name| !OPTIONS.contains(&name.as_str())) {
            Some(unknown) => Err(Error::InvalidConfig {
                path: self.path.clone(),
                reason: format!(
                    "[{SECTION}] has no option {unknown:?}; the nearest is {}",
                    nearest_option(unknown)
                ),
            }),
            None => Ok(()),
        }
    }

    /// An option's value; an empty one counts as not given.
    fn value(&self, section: &str, name: &str) -> Option<String> {
        self.ini.get(section, name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    pub(super) fn state_path(&self) -> PathBuf {
        self.value("DEFAULT", "state_path").map_or_else(|| STATE_PATH.into(), PathBuf::from)
    }

    pub(super) fn path(&self, section: &str, name: &str) -> Result<Option<PathBuf>, Error> {
        let Some(value) = self.value(section, name) else {
            return Ok(None);
        };
        let state_path = self.state_path().display().to_string();
        let path = value.replace("${state_path}", &state_path).replace("$state_path", &state_path);
        if path.contains('$') {
            return Err(self.config_error(name, &value, "refers to an option other than state_path"));
        }
        if path.contains(char::is_control) {
            return Err(self.config_error(name, &value, "contains a control character"));
        }
        Ok(Some(path.into()))
    }

    pub(super) fn seconds(&self, name: &str) -> Result<Option<Duration>, Error> {
        let Some(value) = self.value(SECTION, name) else {
            return Ok(None);
        };
        cli::seconds(&value)
            .map(Some)
            .map_err(|reason| self.config_error(name, &value, &format!("is {reason}")))
    }

    pub(super) fn parsed<T: FromStr<Err: std::fmt::Display>>(&self, name: &str) -> Result<Option<T>, Error> {
        let Some(value) = self.value(SECTION, name) else {
            return Ok(None);
        };
        value
            .parse()
            .map(Some)
            .map_err(|error| self.config_error(name, &value, &format!("cannot be used: {error}")))
    }

    fn config_error(&self, name: &str, value: &str, reason: &str) -> Error {
        Error::InvalidConfig {
            path: self.path.clone(),
            reason: format!("{name} = {} {reason}", value.escape_debug()),
        }
    }
}

/// The option whose name is most similar to an unknown one.
fn nearest_option(unknown: &str) -> &'static str {
    let similarity = |option: &&str| strsim::jaro_winkler(option, &unknown.to_lowercase());
    OPTIONS.into_iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b))).unwrap_or_default()
}
