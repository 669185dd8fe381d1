//! Options from the command line, from a configuration file, or by default, in that order.

mod file;

use std::path::{Path, PathBuf};
use std::time::Duration;

use quobyte_volume::driver::{self, Driver, DriverConfig};
use quobyte_volume::host::records::StateDir;
use quobyte_volume::host::{LinuxConfig, LinuxHost};
use quobyte_volume::pure::guests::Guests;
use quobyte_volume::pure::io_policy::{HypervisorFacts, IoModeOption, IoOptions};
use quobyte_volume::pure::path_option::PathOption;

use self::file::ConfigFiles;
use crate::cli::GlobalOptions;
use crate::error::Error;
use crate::libvirt::{self, Hypervisor, LibvirtGuests};

/// What an operator has configured.
#[derive(Debug)]
pub(crate) struct Settings {
    config: DriverConfig,
    state_dir: PathBuf,
    linux: LinuxConfig,
    connect_uri: String,
    libvirt_timeout: Duration,
}

impl Settings {
    /// Loads the settings.
    ///
    /// # Errors
    /// When the configuration file cannot be read or has a value that cannot be used.
    pub(crate) fn load(options: &GlobalOptions) -> Result<Self, Error> {
        let file = ConfigFiles::read(&options.config)?;
        let config = DriverConfig {
            nova_cache: file.nova_cache()?,
            mount_point_base: match &options.quobyte_mount_point_base {
                Some(base) => base.clone(),
                None => file.mount_point_base()?,
            },
            lock_timeout: match options.lock_timeout {
                Some(timeout) => timeout,
                None => file.seconds("lock_timeout")?.unwrap_or(Duration::from_secs(120)),
            },
            volume_formats: match options.volume_formats {
                Some(formats) => formats,
                None => file.parsed("volume_formats")?.unwrap_or_default(),
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
                physical_block_size: match options.physical_block_size {
                    Some(size) => Some(size),
                    None => file.number("physical_block_size")?,
                },
            },
        };
        let state_dir = match &options.state_dir {
            Some(directory) => directory.clone(),
            None => file.state_dir()?.unwrap_or_else(|| "/run/nova-quobyte".into()),
        };
        let linux = LinuxConfig {
            client_cfg: match &options.quobyte_client_cfg {
                Some(path) => Some(path.clone()),
                None => file.client_cfg()?,
            },
            launcher: match options.launcher {
                Some(launcher) => launcher,
                None => file.parsed("launcher")?.unwrap_or_default(),
            },
            is_command: true,
            helper: helper_path(),
            mount_timeout: match options.mount_timeout {
                Some(timeout) => Some(timeout),
                None => file.seconds("mount_timeout")?,
            },
            probe_timeout: match options.probe_timeout {
                Some(timeout) => timeout,
                None => file.seconds("probe_timeout")?.unwrap_or(Duration::from_secs(5)),
            },
        };
        driver::check_path_option(PathOption::StateDir, &state_dir)?;
        if let Some(path) = &linux.client_cfg {
            driver::check_path_option(PathOption::QuobyteClientCfg, path)?;
        }
        driver::check_path_option(PathOption::QuobyteMountPointBase, &config.mount_point_base)?;
        let libvirt_timeout = match options.libvirt_timeout {
            Some(timeout) => timeout,
            None => file.seconds("libvirt_timeout")?.unwrap_or(Duration::from_secs(40)),
        };
        // An empty variable is as good as none.
        let uri = Some(&options.connect_uri).filter(|uri| !uri.is_empty());
        let connect_uri = uri.map_or_else(|| libvirt::DEFAULT_URI.to_owned(), String::clone);
        Ok(Self { config, state_dir, linux, connect_uri, libvirt_timeout })
    }

    /// The state directory's path.
    pub(crate) fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// The state directory.
    ///
    /// # Errors
    /// When it cannot be used.
    pub(crate) fn state(&self) -> Result<StateDir, Error> {
        Ok(StateDir::open(&self.state_dir).map_err(driver::Error::from)?)
    }

    /// The same settings, with no operation waiting longer than `limit` for another one or for a client.
    pub(crate) fn within(mut self, limit: Duration) -> Self {
        self.config.lock_timeout = self.config.lock_timeout.min(limit);
        self.linux.mount_timeout = Some(self.linux.mount_timeout.unwrap_or(limit).min(limit));
        self
    }

    /// What libvirt reports of the hypervisor on this host.
    pub(crate) fn hypervisor_facts(&self) -> HypervisorFacts {
        libvirt::hypervisor_facts(&self.connect_uri, self.libvirt_timeout, self.config.io.io)
    }

    /// The I/O mode that the operator has fixed.
    pub(crate) fn io_mode(&self) -> IoModeOption {
        self.config.io.io
    }

    /// The directory below which volumes are mounted.
    pub(crate) fn mount_point_base(&self) -> &Path {
        &self.config.mount_point_base
    }

    /// The libvirt to ask.
    ///
    /// # Errors
    /// When it cannot be used.
    pub(crate) fn hypervisor(&self) -> Result<Hypervisor, Error> {
        Hypervisor::open(&self.connect_uri, self.libvirt_timeout)
    }

    /// The driver with these settings, on this machine.
    ///
    /// # Errors
    /// When the mount point base or the state directory cannot be used, or the helper is missing: without it a volume
    /// would be mounted before the first probe of it failed.
    pub(crate) fn driver(self) -> Result<Driver, Error> {
        let guests = LibvirtGuests::new(self.connect_uri.clone(), self.libvirt_timeout);
        self.driver_with(Box::new(guests))
    }

    /// The same, with another way to ask about guests.
    ///
    /// # Errors
    /// Those of [`Settings::driver`].
    pub(crate) fn driver_with(self, guests: Box<dyn Guests + Send + Sync>) -> Result<Driver, Error> {
        // Without /proc the path of this program, and so of the helper, is unknown, and nothing else would work either.
        if std::env::current_exe().is_ok() && !self.linux.helper.exists() {
            return Err(Error::HelperMissing { path: self.linux.helper });
        }
        let state = self.state()?;
        let host = LinuxHost::new(self.linux, state.clone());
        Ok(Driver::new(self.config, state, Box::new(host), guests)?)
    }
}

/// The path of the helper that is installed with this command: beside it, or in libexec of the same prefix.
fn helper_path() -> PathBuf {
    const NAME: &str = "quobyte-share-helper";
    let command = std::env::current_exe().unwrap_or_else(|_| "/usr/bin/nova-quobyte".into());
    let sibling = command.with_file_name(NAME);
    if sibling.exists() {
        return sibling;
    }
    let prefix = command.ancestors().nth(2).unwrap_or(Path::new("/usr"));
    prefix.join("libexec/nova-quobyte").join(NAME)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use clap::CommandFactory;
    use quobyte_volume::host::Launcher;

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
            let words = [
                OsStr::new("nova-quobyte"),
                OsStr::new(option),
                OsStr::from_bytes(path),
                OsStr::new("status"),
            ];
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
}
