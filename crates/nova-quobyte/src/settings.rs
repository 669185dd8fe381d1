//! Options from the command line, from a configuration file, or by default, in that order.

mod file;
mod find;
mod values;

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::parser::ValueSource;
use quobyte_volume::driver::{self, Driver, DriverConfig};
use quobyte_volume::host::records::StateDir;
use quobyte_volume::host::{DEFAULT_MOUNT_TIMEOUT, Launcher, LinuxConfig, LinuxHost};
use quobyte_volume::pure::guests::Guests;
use quobyte_volume::pure::image::VolumeFormats;
use quobyte_volume::pure::io_policy::{HypervisorFacts, IoModeOption, IoOptions};
use quobyte_volume::pure::path_option::PathOption;
use serde_json::{Value, json};

use self::file::ConfigFiles;
pub(crate) use self::find::FoundBy;
use self::values::Chooser;
pub(crate) use self::values::{OptionValue, Source};
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
    found: Found,
    for_people: bool,
}

/// The configuration that was found.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) by: FoundBy,
    /// The files that were read, of which the last wins.
    pub(crate) files: Vec<PathBuf>,
    /// Every option.
    pub(crate) values: Vec<OptionValue>,
}

impl Settings {
    /// Loads the settings.
    ///
    /// # Errors
    /// When a configuration file cannot be read or has a value that cannot be used.
    pub(crate) fn load(options: &GlobalOptions) -> Result<Self, Error> {
        let variable = std::env::var_os(find::VARIABLE);
        let (found_by, paths) = find::find(&options.config, variable.as_deref(), &find::PLACES);
        let files = ConfigFiles::read(&paths).map_err(|error| match error {
            Error::UnreadableInput { path, source } if found_by != FoundBy::CommandLine => {
                Error::UnreadableConfig { path, found_by, source }
            }
            error => error,
        })?;
        let mut choose = Chooser { files: &files, values: Vec::new() };
        let mount_point_base = choose.required(
            "quobyte_mount_point_base",
            options.quobyte_mount_point_base.as_ref(),
            ConfigFiles::mount_point_base,
            PathBuf::from("/var/lib/nova/mnt"),
            path_value,
        )?;
        let client_cfg = choose.optional(
            "quobyte_client_cfg",
            options.quobyte_client_cfg.as_ref(),
            ConfigFiles::client_cfg,
            path_value,
        )?;
        let nova_cache = choose.optional("disk_cachemodes", None, ConfigFiles::nova_cache, text_value)?;
        let state_dir = choose.required(
            "state_dir",
            options.state_dir.as_ref(),
            ConfigFiles::state_dir,
            PathBuf::from("/run/nova-quobyte"),
            path_value,
        )?;
        let launcher = choose.required(
            "launcher",
            options.launcher.as_ref(),
            |files| files.parsed("launcher"),
            Launcher::default(),
            text_value,
        )?;
        let mount_timeout = choose.optional(
            "mount_timeout",
            options.mount_timeout.as_ref(),
            |files| files.seconds("mount_timeout"),
            seconds_value,
        )?;
        choose.show_default(seconds_value(&DEFAULT_MOUNT_TIMEOUT));
        let mut seconds = |name, given: &Option<Duration>, default| {
            let default = Duration::from_secs(default);
            choose.required(name, given.as_ref(), |files| files.seconds(name), default, seconds_value)
        };
        let probe_timeout = seconds("probe_timeout", &options.probe_timeout, 5)?;
        let lock_timeout = seconds("lock_timeout", &options.lock_timeout, 120)?;
        let libvirt_timeout = seconds("libvirt_timeout", &options.libvirt_timeout, 40)?;
        let io = IoOptions {
            io: choose.required(
                "io_mode",
                options.io_mode.as_ref(),
                |files| files.parsed("io_mode"),
                Default::default(),
                text_value,
            )?,
            cache: choose.required(
                "cache_mode",
                options.cache_mode.as_ref(),
                |files| files.parsed("cache_mode"),
                Default::default(),
                text_value,
            )?,
            physical_block_size: choose.optional(
                "physical_block_size",
                options.physical_block_size.as_ref(),
                |files| files.number("physical_block_size"),
                |size| json!(size.bytes()),
            )?,
        };
        let volume_formats = choose.required(
            "volume_formats",
            options.volume_formats.as_ref(),
            |files| files.parsed("volume_formats"),
            VolumeFormats::default(),
            text_value,
        )?;
        driver::check_path_option(PathOption::StateDir, &state_dir)?;
        if let Some(path) = &client_cfg {
            driver::check_path_option(PathOption::QuobyteClientCfg, path)?;
        }
        driver::check_path_option(PathOption::QuobyteMountPointBase, &mount_point_base)?;
        let (connect_uri, source) = connect_uri(options);
        let mut values = choose.values;
        values.push(OptionValue { name: "connect_uri", value: json!(connect_uri), source });
        Ok(Self {
            config: DriverConfig { nova_cache, mount_point_base, lock_timeout, volume_formats, io },
            state_dir,
            linux: LinuxConfig {
                client_cfg,
                launcher,
                is_command: true,
                helper: helper_path(),
                mount_timeout,
                probe_timeout,
            },
            connect_uri,
            libvirt_timeout,
            found: Found { by: found_by, files: paths, values },
            for_people: !options.json,
        })
    }

    /// Whether the answer is for people, who are told guests by name.
    pub(crate) fn for_people(&self) -> bool {
        self.for_people
    }

    /// The configuration that was found.
    pub(crate) fn found(&self) -> &Found {
        &self.found
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

/// The libvirt to ask, and what names it. An empty name is as good as none.
fn connect_uri(options: &GlobalOptions) -> (String, Source) {
    let source = match options.connect_uri_source {
        Some(ValueSource::CommandLine) => Source::CommandLine,
        Some(ValueSource::EnvVariable) => Source::Environment("LIBVIRT_DEFAULT_URI"),
        _ => Source::Default,
    };
    match options.connect_uri.as_str() {
        "" => (libvirt::DEFAULT_URI.to_owned(), Source::Default),
        uri => (uri.to_owned(), source),
    }
}

fn path_value(path: &impl AsRef<Path>) -> Value {
    json!(path.as_ref().display().to_string())
}

fn text_value(value: &impl Display) -> Value {
    json!(value.to_string())
}

/// A whole number where it is one.
fn seconds_value(duration: &Duration) -> Value {
    if duration.subsec_nanos() == 0 { json!(duration.as_secs()) } else { json!(duration.as_secs_f64()) }
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
mod tests;
