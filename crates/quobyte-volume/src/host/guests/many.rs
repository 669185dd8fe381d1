//! Reading many domains at the same time, none of which holds up the others.

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use super::{DescribedDomain, DomainReader, PoolVolumes};
use crate::pure::connection::InstanceId;
use crate::pure::guests::{Guest, RunId, UnknownUses};
use crate::pure::mount_path::MountPath;

/// libvirt serves as many calls of one client at the same time, if it is not told otherwise.
const MAX_CALLS: usize = 4;

/// Fewer domains are not worth another thread.
const DOMAINS_PER_CALL: usize = 8;

/// For so long no description may arrive: those that are still missing are of domains that something holds.
const PATIENCE: Duration = Duration::from_secs(5);

/// What libvirt is asked about a domain that it has listed.
pub trait DomainSource: PoolVolumes + Send + Sync + 'static {
    /// A handle of libvirt's for a domain.
    type Domain: Send + 'static;

    /// Every description of a domain; `None` for one that is gone.
    fn describe(&self, domain: &Self::Domain) -> Option<DescribedDomain>;
}

/// A domain as libvirt lists it.
#[derive(Debug)]
pub struct ListedDomain<D> {
    /// Its UUID.
    pub instance: InstanceId,
    /// Its name.
    pub name: String,
    /// libvirt's number of its present run; `None` while it is shut off.
    pub run: Option<u32>,
    /// libvirt's handle for it.
    pub domain: D,
}

/// The guests that these domains are, without those that are gone by now. A domain that libvirt does not describe by the
/// end of `timeout`, or long after all others, is a guest whose uses are unknown; its thread waits on.
pub fn read_domains<S: DomainSource>(
    source: &Arc<S>,
    domains: Vec<ListedDomain<S::Domain>>,
    shares: &[MountPath],
    timeout: Duration,
) -> Vec<Guest> {
    let deadline = Instant::now() + timeout;
    let mut missing: Vec<_> =
        domains.iter().map(|listed| Some((listed.instance, listed.name.clone(), listed.run))).collect();
    let count = domains.len().div_ceil(DOMAINS_PER_CALL).min(MAX_CALLS);
    let queue = Arc::new(Mutex::new(domains.into_iter().enumerate()));
    let (sender, receiver) = mpsc::channel();
    for _ in 0..count {
        let (source, queue, sender, shares) =
            (source.clone(), queue.clone(), sender.clone(), shares.to_owned());
        let work = move || {
            let mut reader = DomainReader::new(&shares, source.as_ref());
            let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            while let Some((place, listed)) = next() {
                let guest = source.describe(&listed.domain).map(|domain| reader.read(&domain));
                if sender.send((place, guest)).is_err() {
                    return;
                }
            }
        };
        // With fewer threads the others have more to do; with none, nothing is known.
        let _ = thread::Builder::new().spawn(work);
    }
    drop(sender);
    let mut guests = Vec::new();
    while missing.iter().any(Option::is_some) {
        let left = deadline.saturating_duration_since(Instant::now()).min(PATIENCE);
        let Ok((place, guest)) = receiver.recv_timeout(left) else { break };
        missing[place] = None;
        guests.extend(guest);
    }
    guests.extend(
        missing.into_iter().flatten().map(|(instance, name, run)| not_described(instance, name, run)),
    );
    guests
}

fn not_described(instance: InstanceId, name: String, run: Option<u32>) -> Guest {
    Guest {
        instance,
        name,
        run: run.map(RunId::new),
        saved: false,
        is_novas: false,
        uses: Vec::new(),
        unknown: Some(UnknownUses {
            reason: "libvirt did not describe it in time".to_owned(),
            mentioned: Vec::new(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::pure::guests::Description;

    struct OneIsHeld {
        held: Mutex<()>,
    }

    impl PoolVolumes for OneIsHeld {
        fn path(&self, _: &str, _: &str) -> Result<PathBuf, String> {
            Err("there is no pool".to_owned())
        }
    }

    impl DomainSource for OneIsHeld {
        type Domain = u128;

        fn describe(&self, number: &u128) -> Option<DescribedDomain> {
            if *number == 3 {
                drop(self.held.lock());
            }
            let instance = uuid::Uuid::from_u128(*number).into();
            let descriptions = vec![(Description::Persistent, Ok("<domain/>".to_owned()))];
            (*number != 7).then(|| DescribedDomain {
                instance,
                name: number.to_string(),
                run: None,
                descriptions,
            })
        }
    }

    #[test]
    fn domain_that_is_held_is_unknown_alone() {
        let source = Arc::new(OneIsHeld { held: Mutex::new(()) });
        let listed = |number: u128| ListedDomain {
            instance: uuid::Uuid::from_u128(number).into(),
            name: number.to_string(),
            run: None,
            domain: number,
        };
        let held = source.held.lock().unwrap();
        let guests = read_domains(&source, (0..40).map(listed).collect(), &[], Duration::from_millis(200));
        drop(held);
        let unknown: Vec<_> =
            guests.iter().filter(|guest| guest.unknown.is_some()).map(|guest| guest.name.as_str()).collect();
        assert_eq!((guests.len(), unknown), (39, vec!["3"]), "7 is gone");
    }
}
