//! Nova's options as the library's settings. oslo.config has checked their types and choices.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pyo3::prelude::*;
use quobyte_volume::driver::{self, DriverConfig};
use quobyte_volume::host::LinuxConfig;
use quobyte_volume::host::qemu;
use quobyte_volume::pure::io_policy::{HypervisorFacts, IoOptions, Version};
use quobyte_volume::pure::path_option::PathOption;

/// A dictionary with these keys; `_native.pyi` describes it.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct NovaOptions {
    mount_point_base: PathBuf,
    client_cfg: Option<PathBuf>,
    state_dir: PathBuf,
    helper: PathBuf,
    launcher: String,
    mount_timeout: f64,
    probe_timeout: f64,
    lock_timeout: f64,
    cache_mode: String,
    io_mode: String,
    physical_block_size: Option<u32>,
    volume_formats: String,
    qemu_version: u32,
    libvirt_version: u32,
    domain_capabilities: Option<String>,
}

/// The same in the library's types.
pub(crate) struct NativeSettings {
    pub(crate) config: DriverConfig,
    pub(crate) linux: LinuxConfig,
    pub(crate) state_dir: PathBuf,
    pub(crate) facts: HypervisorFacts,
    /// The QEMU to ask for io_uring, where an option depends on it.
    pub(crate) emulator: Option<PathBuf>,
}

impl TryFrom<NovaOptions> for NativeSettings {
    /// What cannot be used, for operators.
    type Error = String;

    fn try_from(options: NovaOptions) -> Result<Self, String> {
        let io = IoOptions {
            cache: options.cache_mode.parse().map_err(text)?,
            io: options.io_mode.parse().map_err(text)?,
            physical_block_size: options
                .physical_block_size
                .map(|bytes| bytes.to_string().parse())
                .transpose()
                .map_err(text)?,
        };
        let config = DriverConfig {
            // Nova itself goes by that option.
            nova_cache: None,
            mount_point_base: options.mount_point_base,
            lock_timeout: seconds(options.lock_timeout)?,
            io,
            volume_formats: options.volume_formats.parse().map_err(text)?,
        };
        let check = |option, path: &Path| driver::check_path_option(option, path).map_err(text);
        check(PathOption::StateDir, &options.state_dir)?;
        check(PathOption::Helper, &options.helper)?;
        let client_cfg = options.client_cfg.filter(|path| !path.as_os_str().is_empty());
        if let Some(path) = &client_cfg {
            check(PathOption::QuobyteClientCfg, path)?;
        }
        let linux = LinuxConfig {
            client_cfg,
            launcher: options.launcher.parse().map_err(text)?,
            is_command: false,
            helper: options.helper,
            mount_timeout: Some(seconds(options.mount_timeout)?),
            probe_timeout: seconds(options.probe_timeout)?,
        };
        let mut facts = HypervisorFacts::new(Some(Version::from_libvirt(options.qemu_version)));
        facts.libvirt_version = Some(Version::from_libvirt(options.libvirt_version));
        let emulator = match options.domain_capabilities {
            Some(capabilities) => qemu::emulator_path(&capabilities).map_err(text)?,
            None => None,
        };
        Ok(Self { config, linux, state_dir: options.state_dir, facts, emulator })
    }
}

fn seconds(seconds: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64(seconds).map_err(text)
}

fn text(error: impl Display) -> String {
    error.to_string()
}
