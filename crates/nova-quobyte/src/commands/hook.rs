//! `hook`: what libvirt runs, as root, whenever one of its guests comes or goes. A guest that has volumes of ours, by its
//! domain's metadata, has them connected before it starts, wherever it comes from: a start, a restart of the host, a saved
//! state, another host. After it has ended, what it leaves is looked after.
//!
//! libvirtd waits for a hook and answers nobody meanwhile, so libvirt is not asked: the records decide, and whatever they do
//! not know QEMU's own locks and the next reconciliation do.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::ffi::OsString;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use quobyte_volume::driver::{self, Driver};
use quobyte_volume::error::{Class, with_causes};
use quobyte_volume::host::records::StateDir;
use quobyte_volume::host::{continue_as_owner, start_in_background};
use quobyte_volume::pure::connection::{ConnectionInfo, InstanceId};
use quobyte_volume::pure::guests::{GuestQuestion, GuestSurvey, Guests};
use quobyte_volume::pure::io_policy::HypervisorFacts;
use quobyte_volume::pure::metadata::{self, DescribedVolume, described_guest, described_volumes};
use quobyte_volume::pure::mount_path::MountPath;

use crate::error::Error;
use crate::output::Answer;
use crate::settings::Settings;

/// How long a guest's start waits for all its volumes.
const LIMIT: Duration = Duration::from_secs(20);

/// How long each of them waits for its client or for another operation: so that it can be undone in time.
const VOLUME_LIMIT: Duration = Duration::from_secs(15);

/// How long a share that could not be connected is not tried again. A host that boots starts one guest after the other.
const PAUSE: Duration = Duration::from_secs(60);

/// Far more than libvirt writes of a domain, in bytes.
const MAX_DESCRIPTION_LEN: u64 = 16 << 20;

/// What a guest that may have volumes of ours is about to do, or has done.
pub(super) struct Event {
    phase: Phase,
    /// The domain's description.
    xml: String,
}

#[derive(Clone, Copy)]
enum Phase {
    Starts,
    HasEnded,
}

impl Event {
    /// Reads what libvirt tells; `None` where there is nothing to do, as for all guests without volumes of ours: whatever is
    /// wrong with this program's configuration is nothing to those.
    pub(super) fn read(operation: &str, sub_operation: &str) -> Result<Option<Self>, Error> {
        let phase = match (operation, sub_operation) {
            ("prepare", "begin") => Phase::Starts,
            ("release", "end") => Phase::HasEnded,
            _ => return Ok(None),
        };
        let xml = read_description().map_err(|source| Error::UnreadableGuest { source })?;
        let has_volumes = xml.contains(metadata::NAMESPACE);
        Ok(has_volumes.then_some(Self { phase, xml }))
    }
}

pub(super) fn run(settings: Settings, event: &Event) -> Result<Answer, Error> {
    let Event { phase, xml } = event;
    let base = settings.mount_point_base().to_owned();
    let described = described_volumes(xml, |export| MountPath::new(&base, export));
    let (Ok(volumes), Ok(Some(guest))) = (described, described_guest(xml)) else { return Ok(Answer::none()) };
    if volumes.is_empty() {
        return Ok(Answer::none());
    }
    let state_dir = settings.state_dir();
    continue_as_owner(state_dir, xml.as_bytes())
        .map_err(|source| Error::NotOwner { path: state_dir.to_owned(), source })?;
    match phase {
        Phase::Starts => connect(settings, &base, guest, volumes)?,
        Phase::HasEnded => {
            start_in_background(reconcile_arguments()).map_err(|source| Error::HostExhausted { source })?;
        }
    }
    Ok(Answer::none())
}

fn read_description() -> io::Result<String> {
    let mut xml = String::new();
    let read = io::stdin().lock().take(MAX_DESCRIPTION_LEN + 1).read_to_string(&mut xml)?;
    if read as u64 > MAX_DESCRIPTION_LEN { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(xml) }
}

/// The command line for a reconciliation with the configuration that this process was given.
fn reconcile_arguments() -> Vec<OsString> {
    let own = std::env::args_os().skip(1).take_while(|word| word != "hook");
    own.chain(["reconcile", "--in-turn"].map(OsString::from)).collect()
}

/// Connects the guest's volumes, all at once.
fn connect(
    settings: Settings,
    base: &Path,
    guest: InstanceId,
    volumes: Vec<DescribedVolume>,
) -> Result<(), Error> {
    let deadline = Instant::now() + LIMIT;
    let state = settings.state()?;
    let driver = Arc::new(settings.within(VOLUME_LIMIT).driver_with(Box::new(NobodyToAsk))?);
    let (sender, results) = mpsc::channel();
    let mut failures = Vec::new();
    let mut pending = HashMap::new();
    for DescribedVolume { target, info } in volumes {
        let info = match info {
            Ok(info) => info,
            Err(error) => {
                failures.push((target, Error::from(error)));
                continue;
            }
        };
        let at = MountPath::new(base, &info.export);
        if let Some(ago) = state.last_failure(&at).filter(|ago| *ago < PAUSE) {
            failures.push((target, Error::FailedRecently { export: info.export, ago, pause: PAUSE }));
            continue;
        }
        start_connect(&driver, guest, info, &target, &sender);
        pending.insert(target, at);
    }
    while !pending.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok((target, result)) = results.recv_timeout(left) else { break };
        let Some(at) = pending.remove(&target) else { continue };
        match result {
            Ok(()) => state.forget_failure(&at),
            Err(error) => {
                if matches!(error.code().class(), Class::Mount | Class::Time) {
                    note_failure(&state, &at);
                }
                failures.push((target, Error::from(error)));
            }
        }
    }
    for (target, at) in pending {
        note_failure(&state, &at);
        failures.push((target, Error::HookDeadline { limit: LIMIT }));
    }
    let volumes = failures
        .iter()
        .map(|(target, error)| format!("{target}: {} [{}]", with_causes(error), error.code()))
        .collect();
    match failures.into_iter().next() {
        None => Ok(()),
        Some((_, first)) => Err(Error::VolumesUnavailable { volumes, first: Box::new(first) }),
    }
}

/// Connects a volume in a thread of its own, or here where there can be none.
fn start_connect(
    driver: &Arc<Driver>,
    guest: InstanceId,
    info: ConnectionInfo,
    target: &str,
    sender: &mpsc::Sender<(String, Result<(), driver::Error>)>,
) {
    let (driver, sender, target) = (Arc::clone(driver), sender.clone(), target.to_owned());
    let connect = Arc::new(move || {
        let result = driver.connect_described(&info, guest, &HypervisorFacts::default()).map(drop);
        // Nobody waits for it any more once the deadline has passed.
        let _ = sender.send((target.clone(), result));
    });
    let in_thread = Arc::clone(&connect);
    if std::thread::Builder::new().spawn(move || in_thread()).is_err() {
        connect();
    }
}

fn note_failure(state: &StateDir, at: &MountPath) {
    if let Err(error) = state.note_failure(at) {
        tracing::warn!(mount_path = %at, %error, "the next guest will try it again at once");
    }
}

/// libvirt, which waits for the hook.
struct NobodyToAsk;

impl Guests for NobodyToAsk {
    fn survey(&self, _: &GuestQuestion<'_>) -> Result<GuestSurvey, Box<dyn StdError + Send + Sync>> {
        Err("libvirt waits for its hook".into())
    }
}
