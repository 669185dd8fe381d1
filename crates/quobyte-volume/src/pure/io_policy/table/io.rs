//! The rows that decide the I/O mode once the cache mode is known.

use super::{Cached, Cost, IO_URING, IO_URING_LIBVIRT, Row, Rule};
use crate::pure::io_policy::{Choice, DirectIo, Facts, IoMode, IoPolicyError, Version};

pub(in crate::pure::io_policy) static IO: &[Rule<Cached, Option<IoMode>>] = &[
    Rule {
        row: Row {
            name: "io_uring_missing",
            when: "the operator has fixed io_uring, and QEMU is older than 5.0, or libvirt than 6.3.0, or QEMU itself \
                   has not said that it has it",
            then: "refused",
            why: "a version alone proves nothing: QEMU may be built without it",
            cost: None,
        },
        applies: |at| at.option() == Choice::Fixed(IoMode::IoUring) && io_uring(&at.case.facts).is_err(),
        decides: |at| io_uring(&at.case.facts).map(|()| Some(IoMode::IoUring)),
    },
    Rule {
        row: Row {
            name: "native_buffered",
            when: "the operator has fixed native, and the cache mode is neither none nor directsync",
            then: "refused",
            why: "QEMU opens no image so",
            cost: None,
        },
        applies: |at| at.option() == Choice::Fixed(IoMode::Native) && !at.cache.is_direct(),
        decides: |at| Err(IoPolicyError::NativeCached { cache: at.cache }),
    },
    Rule {
        row: Row {
            name: "operator_native_waits",
            when: "the operator has fixed native, and direct I/O is synchronous on the mount",
            then: "native",
            why: "the operator's word",
            cost: Some(Cost {
                loss: "the client does not negotiate asynchronous direct I/O, so each request stops the guest's event \
                       loop until it is done",
                remedy: "leave io_mode at auto, or have Quobyte's client negotiate asynchronous direct I/O",
            }),
        },
        applies: |at| {
            at.option() == Choice::Fixed(IoMode::Native) && at.case.direct_io() == Some(DirectIo::Synchronous)
        },
        decides: |_| Ok(Some(IoMode::Native)),
    },
    Rule {
        row: Row {
            name: "operator_io_uring",
            when: "the operator has fixed io_uring",
            then: "io_uring",
            why: "the operator's word",
            cost: Some(Cost {
                loss: "guests cannot migrate live to a host whose QEMU has no io_uring; on FUSE it gains nothing",
                remedy: "leave io_mode at auto",
            }),
        },
        applies: |at| at.option() == Choice::Fixed(IoMode::IoUring),
        decides: |_| Ok(Some(IoMode::IoUring)),
    },
    Rule {
        row: Row {
            name: "operator_io",
            when: "the operator has fixed native or threads",
            then: "that",
            why: "the operator's word",
            cost: None,
        },
        applies: |at| at.option() != Choice::Auto,
        decides: |at| match at.option() {
            Choice::Fixed(mode) => Ok(Some(mode)),
            Choice::Auto => Ok(None),
        },
    },
    Rule {
        row: Row {
            name: "io_old_qemu",
            when: "QEMU is older than 2.0.0",
            then: "not said",
            why: "Quobyte's threshold",
            cost: None,
        },
        applies: |at| at.case.has_old_qemu(),
        decides: |_| Ok(None),
    },
    Rule {
        row: Row {
            name: "buffered",
            when: "the cache mode is writeback or writethrough",
            then: "threads",
            why: "native needs O_DIRECT",
            cost: None,
        },
        applies: |at| !at.cache.is_direct(),
        decides: |_| Ok(Some(IoMode::Threads)),
    },
    Rule {
        row: Row {
            name: "synchronous",
            when: "direct I/O is synchronous on the mount",
            then: "threads",
            why: "native would do one request at a time and stop the guest's event loop for each",
            cost: Some(Cost {
                loss: "the client does not negotiate asynchronous direct I/O, so writes to one image wait for each other",
                remedy: "have Quobyte's client negotiate asynchronous direct I/O, then mount the volume anew",
            }),
        },
        applies: |at| at.case.direct_io() == Some(DirectIo::Synchronous),
        decides: |_| Ok(Some(IoMode::Threads)),
    },
    Rule {
        row: Row {
            name: "no_aio_slots",
            when: "fewer than 1024 slots for Linux AIO are left on the host",
            then: "threads",
            why: "QEMU needs 1024 for each event loop of a guest, and without them falls back to threads by itself",
            cost: Some(Cost {
                loss: "this host has no slots for Linux AIO left, so writes to one image wait for each other",
                remedy: "raise sysctl fs.aio-max-nr, by 1024 for each guest's event loop",
            }),
        },
        applies: |at| at.case.facts.aio.is_some_and(|slots| !slots.suffice()),
        decides: |_| Ok(Some(IoMode::Threads)),
    },
    Rule {
        row: Row {
            name: "asynchronous",
            when: "direct I/O is asynchronous on the mount",
            then: "native",
            why: "many requests are under way at once, and none stops the guest's event loop",
            cost: None,
        },
        applies: |at| at.case.direct_io() == Some(DirectIo::Asynchronous),
        decides: |_| Ok(Some(IoMode::Native)),
    },
    Rule {
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
    if let Some(found) = older(facts.host.qemu_version, IO_URING) {
        return Err(IoPolicyError::IoUringQemu { found });
    }
    if let Some(found) = older(facts.host.libvirt_version, IO_URING_LIBVIRT) {
        return Err(IoPolicyError::IoUringLibvirt { found });
    }
    match facts.host.io_uring {
        Some(true) => Ok(()),
        Some(false) => Err(IoPolicyError::IoUringUnproven { said: "this one does not" }),
        None => Err(IoPolicyError::IoUringUnproven { said: "this host's could not be asked" }),
    }
}
