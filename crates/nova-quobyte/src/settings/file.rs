//! Configuration files such as nova.conf: several, of which the later override the earlier.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use quobyte_volume::error::excerpt;
use quobyte_volume::pure::io_policy::{Cache, nova_cache_mode};
use quobyte_volume::pure::oslo_config::{MAX_CONFIG_LEN, OsloConfig, OsloConfigError};

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

/// What the configuration files say together.
#[derive(Default)]
pub(super) struct ConfigFiles {
    files: Vec<(PathBuf, OsloConfig)>,
    merged: OsloConfig,
}

impl ConfigFiles {
    pub(super) fn read(paths: &[PathBuf]) -> Result<Self, Error> {
        let mut files = Self::default();
        for path in paths {
            let file = parse(path)?;
            files.merged.override_with(file.clone());
            files.files.push((path.clone(), file));
        }
        Ok(files)
    }

    /// The directory below which volumes are mounted: Nova's default is in its directory for state.
    pub(super) fn mount_point_base(&self) -> Result<Option<PathBuf>, Error> {
        match self.path("libvirt", "quobyte_mount_point_base")? {
            Some(base) => Ok(Some(base)),
            None => Ok(self.path("DEFAULT", "state_path")?.map(|state_path| state_path.join("mnt"))),
        }
    }

    /// The file that decides the option of that name, whatever its section.
    pub(super) fn origin(&self, name: &str) -> Option<&Path> {
        let is_set_in = |section| self.last_with(section, name);
        [SECTION, "libvirt"].into_iter().find_map(is_set_in).or_else(|| {
            (name == "quobyte_mount_point_base").then(|| self.last_with("DEFAULT", "state_path")).flatten()
        })
    }

    fn last_with(&self, section: &str, name: &str) -> Option<&Path> {
        let mut files = self.files.iter().rev();
        files.find(|(_, file)| file.raw(section, name).is_some()).map(|(path, _)| path.as_path())
    }

    /// The client's configuration file; an empty name is as good as none.
    pub(super) fn client_cfg(&self) -> Result<Option<PathBuf>, Error> {
        let path = self.path("libvirt", "quobyte_client_cfg")?;
        Ok(path.filter(|path| !path.as_os_str().is_empty()))
    }

    pub(super) fn state_dir(&self) -> Result<Option<PathBuf>, Error> {
        self.path(SECTION, "state_dir")
    }

    /// The cache mode that Nova gives disks that are files, where its operator has named one.
    pub(super) fn nova_cache(&self) -> Result<Option<Cache>, Error> {
        const NAME: &str = "disk_cachemodes";
        let modes = self.merged.list("libvirt", NAME).map_err(|error| self.locate("libvirt", NAME, error))?;
        Ok(modes.and_then(|modes| nova_cache_mode(&modes)))
    }

    fn path(&self, section: &'static str, name: &'static str) -> Result<Option<PathBuf>, Error> {
        match self.text(section, name)? {
            Some(path) if path.contains(char::is_control) => {
                Err(self.value_error(section, name, &path, "contains a control character"))
            }
            path => Ok(path.map(PathBuf::from)),
        }
    }

    pub(super) fn seconds(&self, name: &'static str) -> Result<Option<Duration>, Error> {
        let seconds = self.merged.float(SECTION, name).map_err(|error| self.locate(SECTION, name, error))?;
        let duration = seconds.map(cli::duration).transpose();
        duration.map_err(|reason| {
            let value = self.merged.raw(SECTION, name).unwrap_or_default();
            self.value_error(SECTION, name, value, &format!("is {reason}"))
        })
    }

    /// The value of an option that is one word; an empty one stands for itself.
    pub(super) fn parsed<T: FromStr<Err: std::fmt::Display>>(
        &self,
        name: &'static str,
    ) -> Result<Option<T>, Error> {
        self.text(SECTION, name)?.map(|text| self.parse(name, &text)).transpose()
    }

    /// The same for a whole number; an empty one is as good as none.
    pub(super) fn number<T: FromStr<Err: std::fmt::Display>>(
        &self,
        name: &'static str,
    ) -> Result<Option<T>, Error> {
        let number = self.merged.integer(SECTION, name).map_err(|error| self.locate(SECTION, name, error))?;
        number.map(|number| self.parse(name, &number.to_string())).transpose()
    }

    fn parse<T: FromStr<Err: std::fmt::Display>>(&self, name: &'static str, text: &str) -> Result<T, Error> {
        let parsed = text.parse();
        parsed.map_err(|error| self.value_error(SECTION, name, text, &format!("cannot be used: {error}")))
    }

    fn text(&self, section: &'static str, name: &'static str) -> Result<Option<String>, Error> {
        self.merged.text(section, name).map_err(|error| self.locate(section, name, error))
    }

    fn value_error(&self, section: &str, name: &'static str, value: &str, reason: &str) -> Error {
        self.locate(section, name, OsloConfigError::value(name, value, reason))
    }

    /// The error of an option, with the file that has set it.
    fn locate(&self, section: &str, name: &str, error: OsloConfigError) -> Error {
        let path = self.last_with(section, name).map(Path::to_owned).unwrap_or_default();
        Error::InvalidConfig { path, reason: error.to_string() }
    }
}

fn parse(path: &Path) -> Result<OsloConfig, Error> {
    let bytes = read(path).map_err(|source| Error::UnreadableInput { path: path.to_owned(), source })?;
    let invalid = |reason| Error::InvalidConfig { path: path.to_owned(), reason };
    let file = OsloConfig::parse(&bytes).map_err(|error| invalid(error.to_string()))?;
    // A misspelt option would silently leave its default in force. Other sections are Nova's.
    if let Some(unknown) = file.names(SECTION).find(|name| !OPTIONS.contains(name)) {
        let (unknown, nearest) = (excerpt(unknown), nearest_option(unknown));
        return Err(invalid(format!("[{SECTION}] has no option \"{unknown}\"; the nearest is {nearest}")));
    }
    Ok(file)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    // One byte more than is accepted tells what is too long from what is not.
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MAX_CONFIG_LEN as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The option whose name is most similar to an unknown one.
fn nearest_option(unknown: &str) -> &'static str {
    let similarity = |option: &&str| strsim::jaro_winkler(option, &unknown.to_lowercase());
    OPTIONS.into_iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b))).unwrap_or_default()
}
