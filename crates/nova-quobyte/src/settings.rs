//! Options from the command line, from a configuration file, or by default, in that order.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use configparser::ini::{Ini, IniDefault};
use quobyte_volume::attachments::StateDir;
use quobyte_volume::driver::{Config, Driver};
use quobyte_volume::io_policy::IoOptions;
use quobyte_volume::mount::{LinuxConfig, LinuxHost};

use crate::cli::{self, Options};
use crate::error::Error;
use crate::libvirt::LibvirtGuests;

/// Nova's `$state_path`, below which it has its mounts.
const STATE_PATH: &str = "/var/lib/nova";

/// What an operator has configured.
#[derive(Debug)]
pub(crate) struct Settings {
    config: Config,
    state_dir: PathBuf,
    linux: LinuxConfig,
    connect_uri: String,
}

impl Settings {
    /// Gathers the settings.
    ///
    /// # Errors
    /// When the configuration file cannot be read or has a value that cannot be used.
    pub(crate) fn gather(options: &Options) -> Result<Self, Error> {
        let file = options.config.as_deref().map(File::read).transpose()?.unwrap_or_else(File::empty);
        let config = Config {
            mount_point_base: match &options.quobyte_mount_point_base {
                Some(base) => base.clone(),
                None => {
                    file.path("libvirt", "quobyte_mount_point_base")?.unwrap_or(file.state_path().join("mnt"))
                }
            },
            lock_timeout: match options.lock_timeout {
                Some(timeout) => timeout,
                None => file.seconds("lock_timeout")?.unwrap_or(Duration::from_secs(120)),
            },
            io: IoOptions {
                cache: match options.cache_mode {
                    Some(mode) => mode,
                    None => file.parsed("cache_mode")?.unwrap_or_default(),
                },
                io: match options.io_mode {
                    Some(mode) => mode,
                    None => file.parsed("io_mode")?.unwrap_or_default(),
                },
            },
        };
        let state_dir = match &options.state_dir {
            Some(directory) => directory.clone(),
            None => file.path("quobyte", "state_dir")?.unwrap_or_else(|| "/run/nova-quobyte".into()),
        };
        let linux = LinuxConfig {
            client_cfg: match &options.quobyte_client_cfg {
                Some(path) => Some(path.clone()),
                None => file.path("libvirt", "quobyte_client_cfg")?,
            },
            launcher: match options.launcher {
                Some(launcher) => launcher,
                None => file.parsed("launcher")?.unwrap_or_default(),
            },
            helper: helper(),
            mount_timeout: match options.mount_timeout {
                Some(timeout) => timeout,
                None => file.seconds("mount_timeout")?.unwrap_or(Duration::from_secs(60)),
            },
            probe_timeout: match options.probe_timeout {
                Some(timeout) => timeout,
                None => file.seconds("probe_timeout")?.unwrap_or(Duration::from_secs(5)),
            },
        };
        Ok(Self { config, state_dir, linux, connect_uri: options.connect_uri.clone() })
    }

    /// The operator's I/O options.
    pub(crate) fn io(&self) -> &IoOptions {
        &self.config.io
    }

    /// The directory below which volumes are mounted.
    pub(crate) fn mount_point_base(&self) -> &Path {
        &self.config.mount_point_base
    }

    /// The driver with these settings, on this machine.
    ///
    /// # Errors
    /// When the mount point base or the state directory cannot be used.
    pub(crate) fn driver(self) -> Result<Driver, Error> {
        let state = StateDir::open(&self.state_dir).map_err(quobyte_volume::driver::Error::from)?;
        let host = LinuxHost::new(self.linux, state.clone());
        let guests = LibvirtGuests::new(self.connect_uri);
        Ok(Driver::new(self.config, state, Box::new(host), Box::new(guests))?)
    }
}

/// The helper that is installed with this command: beside it, or where the same installation has programs that are not
/// for people.
fn helper() -> PathBuf {
    const NAME: &str = "quobyte-share-helper";
    let command = std::env::current_exe().unwrap_or_else(|_| "/usr/bin/nova-quobyte".into());
    let beside = command.with_file_name(NAME);
    if beside.exists() {
        return beside;
    }
    let prefix = command.ancestors().nth(2).unwrap_or(Path::new("/usr"));
    prefix.join("libexec/nova-quobyte").join(NAME)
}

/// A configuration file in the form oslo.config reads.
struct File {
    path: PathBuf,
    ini: Ini,
}

impl File {
    /// A file in which nothing is set.
    fn empty() -> Self {
        Self { path: PathBuf::new(), ini: Ini::new() }
    }

    fn read(path: &Path) -> Result<Self, Error> {
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::Input { path: path.to_owned(), source })?;
        let mut form = IniDefault::default();
        form.case_sensitive = true;
        form.multiline = true;
        // Only a line of its own is a comment.
        form.inline_comment_symbols = Some(Vec::new());
        let mut ini = Ini::new_from_defaults(form);
        ini.read(text).map_err(|reason| Error::Config { path: path.to_owned(), reason })?;
        Ok(Self { path: path.to_owned(), ini })
    }

    /// An option's value; an empty one counts as not given.
    fn value(&self, section: &str, name: &str) -> Option<String> {
        self.ini.get(section, name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn state_path(&self) -> PathBuf {
        self.value("DEFAULT", "state_path").map_or_else(|| STATE_PATH.into(), PathBuf::from)
    }

    fn path(&self, section: &str, name: &str) -> Result<Option<PathBuf>, Error> {
        let Some(value) = self.value(section, name) else {
            return Ok(None);
        };
        let state_path = self.state_path().display().to_string();
        let path = value.replace("${state_path}", &state_path).replace("$state_path", &state_path);
        if path.contains('$') {
            return Err(self.fault(name, &value, "refers to an option other than state_path"));
        }
        Ok(Some(path.into()))
    }

    fn seconds(&self, name: &str) -> Result<Option<Duration>, Error> {
        let Some(value) = self.value("quobyte", name) else {
            return Ok(None);
        };
        cli::seconds(&value).map(Some).map_err(|reason| self.fault(name, &value, &format!("is {reason}")))
    }

    fn parsed<T: FromStr<Err: std::fmt::Display>>(&self, name: &str) -> Result<Option<T>, Error> {
        let Some(value) = self.value("quobyte", name) else {
            return Ok(None);
        };
        value.parse().map(Some).map_err(|error| self.fault(name, &value, &format!("cannot be used: {error}")))
    }

    fn fault(&self, name: &str, value: &str, reason: &str) -> Error {
        Error::Config { path: self.path.clone(), reason: format!("{name} = {value} {reason}") }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use clap::Parser;
    use quobyte_volume::mount::Launcher;

    use super::*;
    use crate::cli::Cli;

    fn gather(file: &str, arguments: &[&str]) -> Result<Settings, Error> {
        let mut config = tempfile::NamedTempFile::new().unwrap();
        config.write_all(file.as_bytes()).unwrap();
        let path = config.path().to_str().unwrap();
        let fixed = ["nova-quobyte", "status", "--config", path];
        let cli = Cli::try_parse_from(fixed.iter().chain(arguments)).unwrap();
        Settings::gather(&cli.options)
    }

    #[test]
    fn the_command_line_goes_before_the_file_and_the_file_before_defaults() {
        let file = "[libvirt]\nquobyte_mount_point_base = /a\n[quobyte]\nmount_timeout = 7\nlock_timeout=8\n\
                    launcher = systemd-user\n";
        let settings = gather(file, &["--mount-timeout", "9"]).unwrap();
        assert_eq!(settings.mount_point_base(), Path::new("/a"));
        assert_eq!(settings.linux.mount_timeout, Duration::from_secs(9));
        assert_eq!(settings.config.lock_timeout, Duration::from_secs(8));
        assert_eq!(settings.linux.launcher, Launcher::SystemdUser);
        assert_eq!(settings.state_dir, Path::new("/run/nova-quobyte"));
    }

    #[test]
    fn novas_own_file_is_understood() {
        let file = "[DEFAULT]\n# comment\nstate_path = /srv/nova\n\
                    transport_url = rabbit://u:p%40ss'@host/\n[libvirt]\n\
                    quobyte_mount_point_base = $state_path/mnt\nquobyte_client_cfg =\n";
        let settings = gather(file, &[]).unwrap();
        assert_eq!(settings.mount_point_base(), Path::new("/srv/nova/mnt"));
        assert_eq!(settings.linux.client_cfg, None);
        let defaults = gather("[DEFAULT]\nstate_path=/srv/nova\n", &[]).unwrap();
        assert_eq!(defaults.mount_point_base(), Path::new("/srv/nova/mnt"));
    }

    #[test]
    fn a_value_that_cannot_be_used_is_refused_by_name() {
        for (line, name) in [
            ("[quobyte]\nmount_timeout = soon", "mount_timeout"),
            ("[quobyte]\nlock_timeout = 0", "lock_timeout"),
            ("[quobyte]\nlauncher = systemd", "launcher"),
            ("[quobyte]\nio_mode = fast", "io_mode"),
            ("[quobyte]\ncache_mode = unsafe", "cache_mode"),
            ("[libvirt]\nquobyte_mount_point_base = $base/mnt", "quobyte_mount_point_base"),
        ] {
            let error = gather(line, &[]).unwrap_err();
            assert_eq!(error.code().as_str(), "invalid_config");
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}
