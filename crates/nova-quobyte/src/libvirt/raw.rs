//! What libvirt offers and the `virt` crate does not wrap: events about a domain's devices, and the description of a
//! saved domain.
//!
//! Events only say that it is worth looking again; whether a disk is gone the domain's XML says.

#![expect(unsafe_code, reason = "calling libvirt's C interface")]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::transmute;
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use virt::connect::Connect;
use virt::domain::Domain;
use virt::sys;

use super::deadline::within;
use super::{Guest, Hypervisor, failed};
use crate::error::Error;

/// Wakes its owner when something happens to a device of one domain, when the domain starts or stops, and at a
/// deadline. Until the process ends, which is soon: to stop listening is one more call that libvirt may not answer.
pub(crate) struct DeviceEvents {
    deadline: Instant,
    seen: Arc<Seen>,
}

struct Seen {
    alias: Option<String>,
    refused: AtomicBool,
}

impl DeviceEvents {
    /// Starts to listen. `alias` names the device whose guest may refuse to let it go.
    pub(crate) fn of(
        guest: &Guest,
        hypervisor: &Hypervisor,
        alias: Option<String>,
        limit: Duration,
    ) -> Result<Self, Error> {
        let doing = format!("listening to domain {}", guest.name);
        let milliseconds = c_int::try_from(limit.as_millis()).unwrap_or(c_int::MAX);
        virt::event::event_add_timeout(milliseconds, |_, _| {}, null_mut())
            .map_err(|error| failed(doing.clone(), &error))?;
        let deadline = Instant::now() + limit;
        let seen = Arc::new(Seen { alias, refused: AtomicBool::new(false) });
        let (connection, domain, told) = (hypervisor.connection.clone(), guest.domain.clone(), seen.clone());
        within(hypervisor.limit, &doing.clone(), move || {
            register(&connection, &domain, &told).map_err(|error| failed(doing, &error))
        })?;
        Ok(Self { deadline, seen })
    }

    /// Waits until something has happened, or the deadline has passed.
    pub(crate) fn wait(&self) -> Result<(), Error> {
        virt::event::event_run_default_impl()
            .map_err(|error| failed("waiting for an event".to_owned(), &error))
    }

    /// Whether the deadline has passed.
    pub(crate) fn is_late(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// Whether the guest has refused to let the device go.
    pub(crate) fn refused(&self) -> bool {
        self.seen.refused.load(Ordering::Relaxed)
    }
}

/// Has libvirt call back at each of the events.
fn register(connection: &Connect, domain: &Domain, seen: &Arc<Seen>) -> Result<(), virt::error::Error> {
    // SAFETY: libvirt calls each callback with the arguments of its event's own type, which the function has; this cast
    // is how its C interface is meant to be used.
    let callbacks: [(sys::virDomainEventID, sys::virConnectDomainEventGenericCallback); 3] = unsafe {
        [
            (sys::VIR_DOMAIN_EVENT_ID_LIFECYCLE, Some(transmute::<Lifecycle, Generic>(on_lifecycle))),
            (sys::VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, Some(transmute::<Device, Generic>(on_removed))),
            (sys::VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED, Some(transmute::<Device, Generic>(on_refused))),
        ]
    };
    for (event, callback) in callbacks {
        let opaque = Arc::into_raw(Arc::clone(seen)).cast_mut().cast::<c_void>();
        // SAFETY: connection and domain outlive the call; `opaque` is an `Arc` of its own, which libvirt hands to
        // `release` once it will not call back again.
        let id = unsafe {
            sys::virConnectDomainEventRegisterAny(
                connection.as_ptr(),
                domain.as_ptr(),
                event as c_int,
                callback,
                opaque,
                Some(release),
            )
        };
        if id < 0 {
            // SAFETY: libvirt has not taken the pointer.
            unsafe { release(opaque) };
            return Err(virt::error::Error::last_error());
        }
    }
    Ok(())
}

type Generic = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *mut c_void);
type Lifecycle =
    unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, c_int, c_int, *mut c_void) -> c_int;
type Device = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *const c_char, *mut c_void);

unsafe extern "C" fn on_lifecycle(
    _: sys::virConnectPtr,
    _: sys::virDomainPtr,
    _: c_int,
    _: c_int,
    _: *mut c_void,
) -> c_int {
    0
}

unsafe extern "C" fn on_removed(
    _: sys::virConnectPtr,
    _: sys::virDomainPtr,
    _: *const c_char,
    _: *mut c_void,
) {
}

unsafe extern "C" fn on_refused(
    _: sys::virConnectPtr,
    _: sys::virDomainPtr,
    alias: *const c_char,
    opaque: *mut c_void,
) {
    // SAFETY: `opaque` is the `Arc<Seen>` registered with this callback and not yet released; `alias` is a C string
    // that libvirt keeps until this returns.
    let (seen, alias) = unsafe { (&*opaque.cast::<Seen>(), CStr::from_ptr(alias)) };
    if seen.alias.as_deref().is_some_and(|ours| alias.to_bytes() == ours.as_bytes()) {
        seen.refused.store(true, Ordering::Relaxed);
    }
}

unsafe extern "C" fn release(opaque: *mut c_void) {
    // SAFETY: `opaque` came from `Arc::into_raw` and is released once.
    drop(unsafe { Arc::from_raw(opaque.cast::<Seen>()) });
}

/// The description of a domain as it was saved by libvirt itself.
pub(super) fn managed_save_xml(domain: &Domain) -> Result<String, virt::error::Error> {
    // SAFETY: the domain outlives the call, which returns a C string of its own, or null.
    let xml = unsafe { sys::virDomainManagedSaveGetXMLDesc(domain.as_ptr(), 0) };
    if xml.is_null() {
        return Err(virt::error::Error::last_error());
    }
    // SAFETY: the string is ours to read and to free, once; libvirt allocates with malloc(3).
    unsafe {
        let text = CStr::from_ptr(xml).to_string_lossy().into_owned();
        libc::free(xml.cast());
        Ok(text)
    }
}
