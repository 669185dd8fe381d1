//! What is known of the host, of the hypervisor on it and of the mount.

use serde::{Deserialize, Serialize};

use super::version::Version;
use crate::pure::connection::ImageFormat;
use crate::pure::image::Layer;

/// What is known of the hypervisor that runs the guest. What is not known counts as modern, but for io_uring, which has
/// to be proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct HypervisorFacts {
    /// The QEMU that will open the image.
    pub qemu_version: Option<Version>,
    /// The libvirt that will start it.
    pub libvirt_version: Option<Version>,
    /// Whether that QEMU itself has said that it has io_uring; `None` while it has not been asked.
    pub io_uring: Option<bool>,
}

impl HypervisorFacts {
    /// A host of which only QEMU's version is known, or not even that.
    #[must_use]
    pub const fn new(qemu_version: Option<Version>) -> Self {
        Self { qemu_version, libvirt_version: None, io_uring: None }
    }
}

/// Everything that a decision depends on beside the volume and the operator's options.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Facts {
    /// The hypervisor.
    pub hypervisor: HypervisorFacts,
    /// What a probe of the share's mount has seen; `None` while there was none, or none was possible.
    pub probe: Option<Probe>,
    /// The host's slots for Linux AIO; `None` where the kernel does not tell.
    pub aio: Option<AioSlots>,
    /// The length in bytes of the raw file at the end of the image's chain, which is the image itself if that is raw;
    /// `None` where there is none, or nothing was looked at yet.
    pub raw_length: Option<u64>,
}

/// What QEMU opens a file with `O_DIRECT` in units of, in bytes. FUSE tells no alignment, so QEMU assumes this one.
const DIRECT_IO_UNIT: u64 = 4096;

/// QEMU counts a file's length in sectors of so many bytes, the last one filled up.
const SECTOR: u64 = 512;

/// Whether QEMU can open a raw file of that length for writing with `O_DIRECT`: it would have to lengthen one that does
/// not end with a unit, and may not.
pub(super) const fn is_direct_io_length(length: u64) -> bool {
    length.div_ceil(SECTOR).is_multiple_of(DIRECT_IO_UNIT / SECTOR)
}

/// The length that a raw file has to have for at least `length` bytes so that it can be opened with `O_DIRECT`.
pub(crate) const fn direct_io_length(length: u64) -> u64 {
    match length.checked_next_multiple_of(DIRECT_IO_UNIT) {
        Some(rounded) => rounded,
        None => length,
    }
}

impl Facts {
    /// What is known once the image was looked at and its mount probed: `chain` is the image and everything below it.
    #[must_use]
    pub fn of_image(self, probe: Option<Probe>, chain: &[Layer]) -> Self {
        let raw = chain.last().filter(|last| last.format == ImageFormat::Raw);
        Self { probe, raw_length: raw.map(|raw| raw.virtual_size), ..self }
    }
}

impl From<HypervisorFacts> for Facts {
    fn from(hypervisor: HypervisorFacts) -> Self {
        Self { hypervisor, probe: None, aio: None, raw_length: None }
    }
}

/// What direct reads of a file on a mount have shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// What follows from it.
    pub direct_io: DirectIo,
    /// Reads that were submitted.
    pub reads: u8,
    /// Reads that did not block the submitter: those that were under way when their submission returned, and those that
    /// were done by then although the submitter had neither slept nor lost its processor.
    #[serde(rename = "not_waited")]
    pub nonblocking_reads: u8,
    /// Error number with which `O_DIRECT` or its first read was refused, if it was.
    pub errno: Option<i32>,
}

/// How a mount does direct I/O.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum DirectIo {
    /// `O_DIRECT`, or an aligned read of 4 KiB with it, is refused.
    Refused,
    /// It works, and who submits it waits until it is done: the client has not negotiated `FUSE_ASYNC_DIO`.
    Synchronous,
    /// It works, and who submits it goes on meanwhile.
    Asynchronous,
}

impl DirectIo {
    /// In one word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Linux AIO's slots on a host, of `/proc/sys/fs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AioSlots {
    /// In use: `aio-nr`.
    pub used: u64,
    /// All there may be: `aio-max-nr`.
    pub limit: u64,
}

impl AioSlots {
    /// The slots that QEMU takes for each event loop of a guest. Where it gets none, it uses its threads.
    const PER_EVENT_LOOP: u64 = 1024;

    /// Whether the slots for the event loop of one more guest are left.
    #[must_use]
    pub const fn has_room_for_guest(self) -> bool {
        self.used.saturating_add(Self::PER_EVENT_LOOP) <= self.limit
    }
}
