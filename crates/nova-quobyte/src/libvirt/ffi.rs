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

use super::timeout::call_with_timeout;
use super::{Guest, Hypervisor, libvirt_error};
use crate::error::Error;

/// Wakes its owner when a device of one domain is removed or its removal is refused, when the domain starts or stops,
/// and at a deadline. The subscription lasts until the process ends, which is soon: to cancel it is a call that libvirt
/// may not answer.
pub(crate) struct DeviceEvents {
    deadline: Instant,
    state: Arc<EventState>,
}

struct EventState {
    alias: Option<String>,
    removal_refused: AtomicBool,
}

impl DeviceEvents {
    /// Subscribes to the events. `alias` names the device whose removal the guest may refuse.
    pub(crate) fn subscribe(
        guest: &Guest,
        hypervisor: &Hypervisor,
        alias: Option<String>,
        timeout: Duration,
    ) -> Result<Self, Error> {
        let operation = format!("listening to domain {}", guest.name);
        let milliseconds = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
        virt::event::event_add_timeout(milliseconds, |_, _| {}, null_mut())
            .map_err(|error| libvirt_error(operation.clone(), &error))?;
        let deadline = Instant::now() + timeout;
        let state = Arc::new(EventState { alias, removal_refused: AtomicBool::new(false) });
        let (connection, domain, shared_state) =
            (hypervisor.connection.clone(), guest.domain.clone(), state.clone());
        call_with_timeout(hypervisor.timeout, &operation.clone(), move || {
            register_callbacks(&connection, &domain, &shared_state)
                .map_err(|error| libvirt_error(operation, &error))
        })?;
        Ok(Self { deadline, state })
    }

    /// Waits until something has happened, or the deadline has passed.
    pub(crate) fn wait(&self) -> Result<(), Error> {
        virt::event::event_run_default_impl()
            .map_err(|error| libvirt_error("waiting for an event".to_owned(), &error))
    }

    /// Whether the deadline has passed.
    pub(crate) fn deadline_passed(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// Whether the guest has refused to release the device.
    pub(crate) fn removal_refused(&self) -> bool {
        self.state.removal_refused.load(Ordering::Relaxed)
    }
}

/// Has libvirt call back at each of the events.
fn register_callbacks(
    connection: &Connect,
    domain: &Domain,
    state: &Arc<EventState>,
) -> Result<(), virt::error::Error> {
    // SAFETY: libvirt calls each callback with the arguments of its event's own type, which the function has; this cast
    // is how its C interface is meant to be used.
    let callbacks: [(sys::virDomainEventID, sys::virConnectDomainEventGenericCallback); 3] = unsafe {
        [
            (
                sys::VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                Some(transmute::<LifecycleCallback, GenericCallback>(on_lifecycle)),
            ),
            (
                sys::VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED,
                Some(transmute::<DeviceCallback, GenericCallback>(on_device_removed)),
            ),
            (
                sys::VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED,
                Some(transmute::<DeviceCallback, GenericCallback>(on_removal_refused)),
            ),
        ]
    };
    for (event, callback) in callbacks {
        let opaque = Arc::into_raw(Arc::clone(state)).cast_mut().cast::<c_void>();
        // SAFETY: connection and domain outlive the call; `opaque` is an `Arc` of its own, which libvirt hands to
        // `release_state` once it will not call back again.
        let id = unsafe {
            sys::virConnectDomainEventRegisterAny(
                connection.as_ptr(),
                domain.as_ptr(),
                event as c_int,
                callback,
                opaque,
                Some(release_state),
            )
        };
        if id < 0 {
            // SAFETY: libvirt has not taken the pointer.
            unsafe { release_state(opaque) };
            return Err(virt::error::Error::last_error());
        }
    }
    Ok(())
}

type GenericCallback = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *mut c_void);
type LifecycleCallback =
    unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, c_int, c_int, *mut c_void) -> c_int;
type DeviceCallback = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *const c_char, *mut c_void);

unsafe extern "C" fn on_lifecycle(
    _: sys::virConnectPtr,
    _: sys::virDomainPtr,
    _: c_int,
    _: c_int,
    _: *mut c_void,
) -> c_int {
    0
}

unsafe extern "C" fn on_device_removed(
    _: sys::virConnectPtr,
    _: sys::virDomainPtr,
    _: *const c_char,
    _: *mut c_void,
) {
}

unsafe extern "C" fn on_removal_refused(
    _: sys::virConnectPtr,
    _: sys::virDomainPtr,
    alias: *const c_char,
    opaque: *mut c_void,
) {
    // SAFETY: `opaque` is the `Arc<EventState>` registered with this callback and not yet released; `alias` is a C
    // string that libvirt keeps until this returns.
    let (state, alias) = unsafe { (&*opaque.cast::<EventState>(), CStr::from_ptr(alias)) };
    if state.alias.as_deref().is_some_and(|expected| alias.to_bytes() == expected.as_bytes()) {
        state.removal_refused.store(true, Ordering::Relaxed);
    }
}

unsafe extern "C" fn release_state(opaque: *mut c_void) {
    // SAFETY: `opaque` came from `Arc::into_raw` and is released once.
    drop(unsafe { Arc::from_raw(opaque.cast::<EventState>()) });
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
