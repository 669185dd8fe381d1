//! The rows that decide the I/O mode once the cache mode is known.

use super::rule::{Cost, IoModeInput, PolicyRule, Row};
use crate::pure::io_policy::error::IoPolicyError;
use crate::pure::io_policy::facts::{DirectIo, Facts};
use crate::pure::io_policy::mode::{Choice, IoMode};
use crate::pure::io_policy::version::{IO_URING_LIBVIRT, IO_URING_QEMU, Version};

pub(in crate::pure::io_policy) static IO_RULES: &[PolicyRule<IoModeInput, Option<IoMode>>] = &[
    PolicyRule {
        row: Row {
            name: "io_uring_missing",
            when: "the operator has fixed io_uring, and QEMU is older than 5.0, or libvirt than 6.3.0, or QEMU itself \
                   has not said that it has it",
            then: "refused",
            why: "a version alone proves nothing: QEMU may be built without it",
            cost: None,
        },
        applies: |input| {
            input.option() == Choice::Fixed(IoMode::IoUring) && io_uring(&input.common.facts).is_err()
        },
        decides: |input| io_uring(&input.common.facts).map(|()| Some(IoMode::IoUring)),
    },
    PolicyRule {
        row: Row {
            name: "native_buffered",
            when: "the operator has fixed native, and the cache mode is neither none nor directsync",
            then: "refused",
            why: "QEMU opens no image so",
            cost: None,
        },
        applies: |input| input.option() == Choice::Fixed(IoMode::Native) && !input.cache.is_direct(),
        decides: |input| Err(IoPolicyError::NativeCached { cache: input.cache }),
    },
    PolicyRule {
        row: Row {
            name: "operator_native_waits",
            when: "the operator has fixed native, and direct I/O is synchronous on the mount",
            then: "native",
            why: "the operator's word",
            cost: Some(Cost {
                loss: "the client does not negotiate asynchronous direct I/O, so each request stops the guest's event \
                       loop until it is done",
                remedy: "leave io_mode at auto, or have Quobyte's client negotiate asynchronous direct I/O",
                is_of_image: false,
            }),
        },
        applies: |input| {
            input.option() == Choice::Fixed(IoMode::Native)
                && input.common.direct_io() == Some(DirectIo::Synchronous)
        },
        decides: |_| Ok(Some(IoMode::Native)),
    },
    PolicyRule {
        row: Row {
            name: "operator_io_uring",
            when: "the operator has fixed io_uring",
            then: "io_uring",
            why: "the operator's word",
            cost: Some(Cost {
                loss: "guests cannot migrate live to a host whose QEMU has no io_uring; on FUSE it gains nothing",
                remedy: "leave io_mode at auto",
                is_of_image: false,
            }),
        },
        applies: |input| input.option() == Choice::Fixed(IoMode::IoUring),
        decides: |_| Ok(Some(IoMode::IoUring)),
    },
    PolicyRule {
        row: Row {
            name: "operator_io",
            when: "the operator has fixed native or threads",
            then: "that",
            why: "the operator's word",
            cost: None,
        },
        applies: |input| input.option() != Choice::Auto,
        decides: |input| match input.option() {
            Choice::Fixed(mode) => Ok(Some(mode)),
            Choice::Auto => Ok(None),
        },
    },
    PolicyRule {
        row: Row {
            name: "io_old_qemu",
            when: "QEMU is older than 2.0.0",
            then: "not said",
            why: "Quobyte's threshold",
            cost: None,
        },
        applies: |input| input.common.has_old_qemu(),
        decides: |_| Ok(None),
    },
    PolicyRule {
        row: Row {
            name: "buffered",
            when: "the cache mode is writeback or writethrough",
            then: "threads",
            why: "native needs O_DIRECT",
            cost: None,
        },
        applies: |input| !input.cache.is_direct(),
        decides: |_| Ok(Some(IoMode::Threads)),
    },
    PolicyRule {
        row: Row {
            name: "synchronous",
            when: "direct I/O is synchronous on the mount",
            then: "threads",
            why: "native would do one request at a time and stop the guest's event loop for each",
            cost: Some(Cost {
                loss: "the client does not negotiate asynchronous direct I/O, so writes to one image wait for each other",
                remedy: "have Quobyte's client negotiate asynchronous direct I/O, then mount the volume anew",
                is_of_image: false,
            }),
        },
        applies: |input| input.common.direct_io() == Some(DirectIo::Synchronous),
        decides: |_| Ok(Some(IoMode::Threads)),
    },
    PolicyRule {
        row: Row {
            name: "no_aio_slots",
            when: "fewer than 1024 slots for Linux AIO are left on the host",
            then: "threads",
            why: "QEMU needs 1024 for each event loop of a guest, and without them falls back to threads by itself",
            cost: Some(Cost {
                loss: "this host has no slots for Linux AIO left, so writes to one image wait for each other",
                remedy: "raise sysctl fs.aio-max-nr, by 1024 for each guest's event loop",
                is_of_image: false,
            }),
        },
        applies: |input| input.common.facts.aio.is_some_and(|slots| !slots.has_room_for_guest()),
        decides: |_| Ok(Some(IoMode::Threads)),
    },
    PolicyRule {
        row: Row {
            name: "asynchronous",
            when: "direct I/O is asynchronous on the mount",
            then: "native",
            why: "many requests are under way at once, and none stops the guest's event loop",
            cost: None,
        },
        applies: |input| input.common.direct_io() == Some(DirectIo::Asynchronous),
        decides: |_| Ok(Some(IoMode::Native)),
    },
    PolicyRule {
        row: Row {
            name: "io_unprobed",
            when: "the mount was not probed, or cannot be",
            then: "native",
            why: "as Nova does",
            cost: None,
        },
        applies: |_| true,
        decides: |_| Ok(Some(IoMode::Native)),
    },
];

/// Whether the host is known to have io_uring.
fn io_uring(facts: &Facts) -> Result<(), IoPolicyError> {
    let older = |found: Option<Version>, first| found.filter(|version| *version < first);
    if let Some(found) = older(facts.hypervisor.qemu_version, IO_URING_QEMU) {
        return Err(IoPolicyError::IoUringQemu { found });
    }
    if let Some(found) = older(facts.hypervisor.libvirt_version, IO_URING_LIBVIRT) {
        return Err(IoPolicyError::IoUringLibvirt { found });
    }
    match facts.hypervisor.io_uring {
        Some(true) => Ok(()),
        Some(false) => Err(IoPolicyError::IoUringUnproven { qemu_answer: "this one does not" }),
        None => Err(IoPolicyError::IoUringUnproven { qemu_answer: "this host's could not be asked" }),
    }
}
