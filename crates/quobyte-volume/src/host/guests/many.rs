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

/// After so long without an answer another call is made: something may hold the domains that have been asked about.
const STALL: Duration = Duration::from_millis(100);

/// For so long no description may arrive: those that are still missing are of domains that something holds.
const PATIENCE: Duration = Duration::from_secs(5);

/// What libvirt is asked about a domain that it has listed.
pub trait DomainSource: PoolVolumes + Send + Sync + 'static {
    /// A handle of libvirt's for a domain.
    type Domain: Send + 'static;

    /// So many calls at the same time, at most [`MAX_CALLS`], describe many domains soonest.
    const CALLS: usize;

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
    let useful_calls = domains.len().div_ceil(DOMAINS_PER_CALL).min(S::CALLS);
    let max_calls = domains.len().min(MAX_CALLS);
    let queue = Arc::new(Mutex::new(domains.into_iter().enumerate()));
    let (sender, receiver) = mpsc::channel();
    let make_call = |deadline: Option<Instant>| {
        let (source, queue, sender, shares) =
            (source.clone(), queue.clone(), sender.clone(), shares.to_owned());
        move || {
            let mut reader = DomainReader::new(&shares, source.as_ref());
            let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            while deadline.is_none_or(|deadline| Instant::now() < deadline)
                && let Some((place, listed)) = next()
            {
                let guest = source.describe(&listed.domain).map(|domain| reader.read(&domain));
                if sender.send((place, guest)).is_err() {
                    return;
                }
            }
        }
    };
    let start_call = || usize::from(thread::Builder::new().spawn(make_call(None)).is_ok());
    let mut calls: usize = (0..useful_calls).map(|_| start_call()).sum();
    // With fewer threads the others have more to do; without any, the caller has it, and waits for the domain that it asks
    // about.
    if calls == 0 {
        make_call(Some(deadline))();
        calls = 1;
    }
    let mut guests = Vec::new();
    let mut patient_until = Instant::now() + PATIENCE;
    while missing.iter().any(Option::is_some) {
        let left = deadline.min(patient_until).saturating_duration_since(Instant::now());
        match receiver.recv_timeout(if calls < max_calls { left.min(STALL) } else { left }) {
            Ok((place, guest)) => {
                missing[place] = None;
                guests.extend(guest);
                patient_until = Instant::now() + PATIENCE;
            }
            Err(_) if calls < max_calls && left > STALL => {
                calls += start_call();
            }
            Err(_) => break,
        }
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

    /// As many calls as there are answer at the same time; those about domains 3 to 5 do not.
    struct SomeAreHeld<const CALLS: usize> {
        held: Mutex<()>,
    }

    impl<const CALLS: usize> PoolVolumes for SomeAreHeld<CALLS> {
        fn path(&self, _: &str, _: &str) -> Result<PathBuf, String> {
            Err("there is no pool".to_owned())
        }
    }

    impl<const CALLS: usize> DomainSource for SomeAreHeld<CALLS> {
        type Domain = u128;
        const CALLS: usize = CALLS;

        fn describe(&self, number: &u128) -> Option<DescribedDomain> {
            if (3..=5).contains(number) {
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

    fn read_while_held<const CALLS: usize>() {
        let source = Arc::new(SomeAreHeld::<CALLS> { held: Mutex::new(()) });
        let listed = |number: u128| ListedDomain {
            instance: uuid::Uuid::from_u128(number).into(),
            name: number.to_string(),
            run: None,
            domain: number,
        };
        let held = source.held.lock().unwrap();
        let guests = read_domains(&source, (0..40).map(listed).collect(), &[], Duration::from_secs(1));
        drop(held);
        let unknown = guests.iter().filter(|guest| guest.unknown.is_some()).map(|guest| guest.name.as_str());
        let mut unknown: Vec<_> = unknown.collect();
        unknown.sort_unstable();
        assert_eq!((guests.len(), unknown), (39, vec!["3", "4", "5"]), "7 is gone");
    }

    #[test]
    fn held_domains_alone_are_unknown() {
        read_while_held::<1>();
        read_while_held::<2>();
        read_while_held::<MAX_CALLS>();
    }
}
