//! A caller of the library that lives long, as nova-compute does. It is told on standard input what to do, a line at a
//! time, and answers each line with the nanoseconds it took.

use std::error::Error;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use quobyte_volume::driver::{Described, DisconnectRequest, Driver, DriverConfig, Force};
use quobyte_volume::host::mount_table::{Lookup, top_mount};
use quobyte_volume::host::records::StateDir;
use quobyte_volume::host::{Launcher, LinuxConfig, LinuxHost};
use quobyte_volume::mount::{MountState, inspect};
use quobyte_volume::pure::connection::{ConnectionInfo, Export, ImageFormat, ImageName, InstanceId};
use quobyte_volume::pure::guests::{GuestQuestion, GuestSurvey, Guests};
use quobyte_volume::pure::image::VolumeFormats;
use quobyte_volume::pure::io_policy::{HypervisorFacts, IoOptions};
use quobyte_volume::pure::kernel_mount::Mount;
use quobyte_volume::pure::mount_path::MountPath;
use quobyte_volume::pure::record::KnownMount;
use uuid::Uuid;

/// What takes microseconds is done so often in a row; the answer is for one.
const ROUNDS: u32 = 10;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [base, state, client_cfg, helper] =
        arguments.try_into().map_err(|_| "BASE STATE CLIENT_CFG HELPER")?;
    let state = StateDir::open(&state)?;
    let linux = LinuxConfig {
        client_cfg: Some(client_cfg),
        helper,
        mount_timeout: Some(Duration::from_secs(60)),
        probe_timeout: Duration::from_secs(5),
        launcher: Launcher::Direct,
        is_command: false,
    };
    let config = DriverConfig {
        nova_cache: None,
        mount_point_base: base,
        lock_timeout: Duration::from_secs(60),
        io: IoOptions::default(),
        volume_formats: VolumeFormats::default(),
    };
    // Two hosts, since a driver keeps its own to itself.
    let host = LinuxHost::new(linux.clone(), state.clone());
    let validating = LinuxHost::new(linux, state.clone());
    let driver = Driver::new(config, state, Box::new(host), Box::new(NoGuests))?;
    for line in std::io::stdin().lock().lines() {
        let took = run(&driver, &validating, &line?)?;
        writeln!(std::io::stdout(), "{}", took.as_nanos())?;
    }
    Ok(())
}

/// Does what one line says and returns how long it took.
fn run(driver: &Driver, host: &LinuxHost, line: &str) -> Result<Duration> {
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["look-up", export] => {
            let export = Export::parse(export)?;
            let at = driver.mount_path(&export);
            let known = mounted(&at, &export, None)?;
            repeatedly(|| mounted(&at, &export, Some(&known)).map(drop))
        }
        ["validate", export] => {
            let export = Export::parse(export)?;
            let at = driver.mount_path(&export);
            let known = mounted(&at, &export, None)?;
            let known = KnownMount { mount: Some(&known), ..KnownMount::default() };
            repeatedly(|| match inspect(host, &at, &export, known)? {
                MountState::Healthy(_) => Ok(()),
                state => Err(format!("not healthy: {state:?}").into()),
            })
        }
        ["connect", export, instance] => {
            let (info, instance) = (image(export)?, instance.parse::<InstanceId>()?);
            timed(|| {
                driver.connect(&info, instance, &HypervisorFacts::default()).map(drop).map_err(Into::into)
            })
        }
        ["disconnect", export, instance] => {
            let (info, instance) = (image(export)?, instance.parse::<InstanceId>()?);
            let at = driver.mount_path(&info.export);
            let (name, volume, force) = (&info.name, Some(info.volume_id), Force::No);
            let request = DisconnectRequest {
                at: &at,
                export: Some(&info.export),
                name,
                volume,
                instance,
                described: Described::OutOfDate,
                force,
            };
            timed(|| Ok(driver.disconnect(&request).map(drop)?))
        }
        ["connect-all", prefix, count] => {
            let exports: Vec<_> =
                (0..count.parse::<u32>()?).map(|number| format!("{prefix}{number}")).collect();
            timed(|| connect_all(driver, host, &exports))
        }
        _ => Err(format!("not understood: {line}").into()),
    }
}

/// Connects one image of each export, all at once.
fn connect_all(driver: &Driver, host: &LinuxHost, exports: &[String]) -> Result<()> {
    std::thread::scope(|scope| {
        let connects: Vec<_> = exports
            .iter()
            .map(|export| {
                scope.spawn(move || run(driver, host, &format!("connect {export} {}", Uuid::nil())).map(drop))
            })
            .collect();
        connects.into_iter().try_for_each(|connect| connect.join().map_err(|_| "a connect panicked")?)
    })
}

fn image(export: &str) -> Result<ConnectionInfo> {
    let mut info = ConnectionInfo::new(Export::parse(export)?, ImageName::parse("disk")?, ImageFormat::Raw);
    // One image is connected for one guest after the other.
    info.multiattach = true;
    Ok(info)
}

/// What the mount table shows at `at`, which has to be a mount of `export`.
fn mounted(at: &MountPath, export: &Export, known: Option<&Mount>) -> Result<Mount> {
    let found = top_mount(at.as_path(), known, Lookup::Statmount)?;
    found.filter(|mount| mount.is_of(export)).ok_or_else(|| format!("{export} is not mounted").into())
}

/// How long `work` takes at a time.
fn repeatedly(mut work: impl FnMut() -> Result<()>) -> Result<Duration> {
    let together = timed(|| (0..ROUNDS).try_for_each(|_| work()))?;
    Ok(together / ROUNDS)
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let began = Instant::now();
    work()?;
    Ok(began.elapsed())
}

/// No hypervisor: what asking one costs is not this driver's.
struct NoGuests;

impl Guests for NoGuests {
    fn survey(&self, _: &GuestQuestion<'_>) -> Result<GuestSurvey> {
        Ok(GuestSurvey::default())
    }
}
