//! The stand-in's own switches: `standin.NAME=VALUE` in the client configuration, and above them
//! `QUOBYTE_STANDIN_NAME=VALUE` in the environment. docs/STANDIN.md lists them.

mod fault;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

pub(crate) use fault::{Fault, Faults};

use crate::config::Config;

const CONFIG_PREFIX: &str = "standin.";
const ENVIRONMENT_PREFIX: &str = "QUOBYTE_STANDIN_";
const STORE_VARIABLE: &str = "QUOBYTE_STANDIN_STORE";

/// A switch that is unknown or has a value it cannot take.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SettingError {
    #[error("unknown switch: {0}")]
    Unknown(String),
    #[error("switch {name} cannot be {value:?}")]
    Value { name: &'static str, value: String },
}

/// All switches, with their defaults filled in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct StandinSettings {
    /// The directory that holds a directory per volume.
    pub(crate) store: Option<PathBuf>,
    /// How the client fails.
    pub(crate) faults: Faults,
    /// Time taken before mounting.
    pub(crate) mount_delay: Duration,
    /// Where set, success is reported first and the mount follows after this time.
    pub(crate) late_mount: Option<Duration>,
    /// Subtype in the mount table; empty makes it a plain `fuse`, as old clients have it.
    pub(crate) subtype: String,
    /// Where the daemon writes its process id.
    pub(crate) pid_file: Option<PathBuf>,
    /// Where it tells of each request that somebody waits for.
    pub(crate) requests: Option<PathBuf>,
    /// What is negotiated with the kernel.
    pub(crate) features: Features,
    /// Time every answer is held back.
    pub(crate) latency: Duration,
    /// Threads that read requests.
    pub(crate) threads: usize,
}

/// FUSE features, of the connection and of each open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Features {
    /// `FUSE_ASYNC_DIO`
    pub(crate) async_dio: bool,
    /// `FOPEN_PARALLEL_DIRECT_WRITES`, which the kernel heeds together with `direct_io`.
    pub(crate) parallel_direct_writes: bool,
    /// Whether open(2) takes `O_DIRECT`.
    pub(crate) o_direct: bool,
    /// `FOPEN_DIRECT_IO`: no page cache, whatever the flags of open(2).
    pub(crate) direct_io: bool,
    /// `FUSE_WRITEBACK_CACHE`
    pub(crate) writeback_cache: bool,
    /// Requests the kernel keeps in flight on its own account.
    pub(crate) max_background: u16,
    /// Largest write request, in bytes.
    pub(crate) max_write: u32,
}

impl StandinSettings {
    /// Takes the switches of `config`, and over them those among the environment's `variables`.
    pub(crate) fn new(
        config: &Config,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, SettingError> {
        let mut environment_store = None;
        let mut switches: BTreeMap<String, String> = config
            .with_prefix(CONFIG_PREFIX)
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        for (name, value) in variables {
            if name == STORE_VARIABLE {
                environment_store = Some(value);
            } else if let Some(switch) = name.strip_prefix(ENVIRONMENT_PREFIX) {
                switches.insert(switch.to_ascii_lowercase(), value);
            }
        }
        let mut switches = Switches(switches);
        let settings = Self {
            store: config.get("store").map(str::to_owned).or(environment_store).map(PathBuf::from),
            faults: Faults::new(switches.take("fault", Fault::None)?, switches.path("control")?),
            mount_delay: Duration::from_millis(switches.take("mount_delay_ms", 0)?),
            late_mount: switches.optional("late_mount_ms")?.map(Duration::from_millis),
            subtype: switches.take("subtype", "quobyte".to_owned())?,
            pid_file: switches.path("pid_file")?,
            requests: switches.path("requests")?,
            features: Features {
                async_dio: switches.flag("async_dio", true)?,
                parallel_direct_writes: switches.flag("parallel_direct_writes", false)?,
                o_direct: switches.flag("o_direct", true)?,
                direct_io: switches.flag("direct_io", false)?,
                writeback_cache: switches.flag("writeback_cache", false)?,
                max_background: switches.positive("max_background", 12)?,
                max_write: switches.positive("max_write", 1 << 20)?,
            },
            latency: Duration::from_micros(switches.take("latency_us", 0)?),
            threads: switches.positive("threads", 8)?,
        };
        match switches.0.into_keys().next() {
            Some(name) => Err(SettingError::Unknown(name)),
            None => Ok(settings),
        }
    }
}

struct Switches(BTreeMap<String, String>);

impl Switches {
    fn optional<T: FromStr>(&mut self, name: &'static str) -> Result<Option<T>, SettingError> {
        let Some(value) = self.0.remove(name) else {
            return Ok(None);
        };
        value.parse().map(Some).map_err(|_| SettingError::Value { name, value })
    }

    fn take<T: FromStr>(&mut self, name: &'static str, default: T) -> Result<T, SettingError> {
        Ok(self.optional(name)?.unwrap_or(default))
    }

    fn positive<T: FromStr + Default + PartialEq>(
        &mut self,
        name: &'static str,
        default: T,
    ) -> Result<T, SettingError> {
        let value = self.take(name, default)?;
        if value == T::default() {
            return Err(SettingError::Value { name, value: "0".to_owned() });
        }
        Ok(value)
    }

    fn flag(&mut self, name: &'static str, default: bool) -> Result<bool, SettingError> {
        match self.0.remove(name).as_deref() {
            None => Ok(default),
            Some("on") => Ok(true),
            Some("off") => Ok(false),
            Some(value) => Err(SettingError::Value { name, value: value.to_owned() }),
        }
    }

    /// The daemon leaves its working directory, so a path must be absolute.
    fn path(&mut self, name: &'static str) -> Result<Option<PathBuf>, SettingError> {
        let Some(value) = self.0.remove(name) else {
            return Ok(None);
        };
        let path = PathBuf::from(&value);
        if path.is_absolute() { Ok(Some(path)) } else { Err(SettingError::Value { name, value }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str, variables: &[(&str, &str)]) -> Result<StandinSettings, SettingError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("client.cfg");
        #[expect(clippy::disallowed_methods, reason = "a test makes its own input")]
        std::fs::write(&path, text).unwrap();
        let config = Config::load(Some(&path)).unwrap();
        StandinSettings::new(
            &config,
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        )
    }

    #[test]
    fn environment_switch_overrides_config() {
        let text = "standin.latency_us=5\nstandin.async_dio=on";
        let found = settings(text, &[("QUOBYTE_STANDIN_ASYNC_DIO", "off")]).unwrap();
        assert_eq!(found.latency, Duration::from_micros(5));
        assert!(!found.features.async_dio);
    }

    #[test]
    fn config_store_overrides_environment() {
        let variables = [("QUOBYTE_STANDIN_STORE", "/environment")];
        assert_eq!(settings("store=/config", &variables).unwrap().store, Some("/config".into()));
        assert_eq!(settings("", &variables).unwrap().store, Some("/environment".into()));
    }

    #[test]
    fn unknown_switch_is_refused() {
        assert_eq!(settings("standin.falt=eio", &[]), Err(SettingError::Unknown("falt".into())));
        let variable = [("QUOBYTE_STANDIN_FALT", "eio")];
        assert_eq!(settings("", &variable), Err(SettingError::Unknown("falt".into())));
    }

    #[test]
    fn invalid_switch_value_is_refused() {
        for (name, value) in [
            ("fault", "later"),
            ("async_dio", "yes"),
            ("max_background", "0"),
            ("max_write", "-1"),
            ("control", "here"),
        ] {
            let error = settings(&format!("standin.{name}={value}"), &[]).unwrap_err();
            assert_eq!(error.to_string(), format!("switch {name} cannot be {value:?}"));
        }
    }
}
