//! The client itself: from the command line to a served mount. What fails before mounting fails here.

use std::fs;
use std::io;
use std::path::{Path, PathBuf, absolute};

use fuser::{Config as SessionConfig, MountOption, Session, SessionACL};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::arguments::Arguments;
use crate::config::Config;
use crate::filesystem::Client;
use crate::mount_table;
use crate::report::Report;
use crate::settings::{Fault, SettingError, StandinSettings};
use crate::stderr::write_stderr;
use crate::volume::Volume;

/// Why a client did not mount, or ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error("cannot read configuration {}: {error}", path.display())]
    Config { path: PathBuf, error: io::Error },
    #[error(transparent)]
    Setting(#[from] SettingError),
    #[error("no store: set store= in the client configuration, or QUOBYTE_STANDIN_STORE")]
    NoStore,
    #[error("could not connect to any registry of {0}")]
    Unreachable(String),
    #[error("cannot open volume {volume:?}: {error}")]
    Volume { volume: String, error: io::Error },
    #[error("{} is busy or already mounted", .0.display())]
    Busy(PathBuf),
    #[error("cannot mount on {}: {error}", path.display())]
    Mount { path: PathBuf, error: io::Error },
    #[error(transparent)]
    System(#[from] io::Error),
}

/// Mounts what was asked for, reports, and serves until the volume is unmounted.
pub(crate) fn run(request: &Arguments, report: &Report) -> Result<(), ServeError> {
    detach_from_caller(report)?;
    let config = Config::load(request.config.as_deref())
        .map_err(|(path, error)| ServeError::Config { path, error })?;
    let settings = StandinSettings::new(&config, utf8_environment())?;
    if let Some(path) = &settings.pid_file {
        #[expect(
            clippy::disallowed_methods,
            reason = "the file is a tester's, who reads it once the mount is reported"
        )]
        fs::write(path, format!("{}\n", std::process::id()))?;
    }
    match settings.faults.current() {
        Fault::ExitWithoutMounting => return Ok(report.mounted()?),
        Fault::HangBeforeMount => {
            report.wait(None)?;
            return Ok(());
        }
        Fault::Unreachable => return Err(ServeError::Unreachable(request.export.registries().to_owned())),
        _ => {}
    }
    match settings.late_mount {
        None if !report.wait(Some(settings.mount_delay))? => Ok(()),
        None => {
            let session = mount(request, settings)?;
            report.mounted()?;
            serve(session)
        }
        Some(delay) => {
            report.mounted()?;
            Report::None.wait(Some(delay))?;
            serve(mount(request, settings)?)
        }
    }
}

/// Serves a mount until it is taken down, which ends the process. Returns only when it cannot be served.
fn serve(session: Session<Client>) -> Result<(), ServeError> {
    write_stderr("mounted\n");
    rustix::process::chdir("/").map_err(io::Error::from)?;
    Ok(session.run()?)
}

/// A daemon has no terminal, and files are created with just the mode that was asked for.
fn detach_from_caller(report: &Report) -> io::Result<()> {
    if let Report::Launcher = report {
        rustix::process::setsid()?;
    }
    rustix::process::umask(rustix::fs::Mode::empty());
    // Each file the kernel knows costs a descriptor.
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?)
}

fn utf8_environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn mount(request: &Arguments, settings: StandinSettings) -> Result<Session<Client>, ServeError> {
    let store = settings.store.as_deref().ok_or(ServeError::NoStore)?;
    let volume = Volume::open(store, request.export.volume()).map_err(|error| ServeError::Volume {
        volume: request.export.volume().to_owned(),
        error: error.into(),
    })?;
    let path = absolute(&request.mount_point)?;
    if mount_table::has_quobyte_mount(&path)? {
        return Err(ServeError::Busy(path));
    }
    let options = session_config(request, &settings);
    let client = Client::new(volume, settings, !request.disable_xattrs)?;
    Session::new(client, &path, &options).map_err(|error| ServeError::Mount { path, error })
}

fn session_config(request: &Arguments, settings: &StandinSettings) -> SessionConfig {
    let mut options = vec![
        MountOption::FSName(request.export.source()),
        MountOption::DefaultPermissions,
        if request.read_only { MountOption::RO } else { MountOption::RW },
    ];
    if !settings.subtype.is_empty() {
        // Given as a kernel option, since root's mounts do not pass through fusermount, which knows `Subtype`.
        options.push(MountOption::CUSTOM(format!("subtype={}", settings.subtype)));
    }
    let mut config = SessionConfig::default();
    config.mount_options = options;
    config.acl = if may_allow_other() { SessionACL::All } else { SessionACL::Owner };
    config.n_threads = Some(settings.threads);
    config
}

/// Root may always mount for others, a user where /etc/fuse.conf says so.
fn may_allow_other() -> bool {
    rustix::process::geteuid().is_root()
        || fs::read_to_string(Path::new("/etc/fuse.conf"))
            .is_ok_and(|text| text.lines().any(|line| line.trim() == "user_allow_other"))
}
