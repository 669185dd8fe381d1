//! The rules, row by row: in each table the first row that applies decides. docs/IO_POLICY.md shows the same rows.

use super::{
    Cache, CacheModeOption, Choice, DirectIo, Facts, IoMode, IoModeOption, IoOptions, IoPolicyError, Version,
};
use crate::connection::ImageFormat;

/// First QEMU that learns the alignment `O_DIRECT` needs.
const ALIGNED_DIRECT_IO: Version = Version::new(2, 0, 0);
/// First QEMU with io_uring.
pub(super) const IO_URING: Version = Version::new(5, 0, 0);
/// First libvirt that knows io_uring.
pub(super) const IO_URING_LIBVIRT: Version = Version::new(6, 3, 0);

/// One row of the rules, as it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Its name, which never changes its meaning.
    pub name: &'static str,
    /// When it applies.
    pub when: &'static str,
    /// What it decides.
    pub then: &'static str,
    /// Why.
    pub why: &'static str,
    /// What such a decision costs; `None` where it is the best there is.
    pub cost: Option<Cost>,
}

/// What a decision costs, and how to be rid of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Performance or safety that is lost.
    pub loss: &'static str,
    /// What an operator can do about it.
    pub remedy: &'static str,
}

/// A row that decides a `T`, given a `C`.
pub(super) struct Rule<C, T> {
    pub(super) row: Row,
    applies: fn(&C) -> bool,
    decides: fn(&C) -> Result<T, IoPolicyError>,
}

/// What a decision is about.
pub(super) struct Case {
    pub(super) format: ImageFormat,
    pub(super) multiattach: bool,
    pub(super) facts: Facts,
    pub(super) options: IoOptions,
}

impl Case {
    fn has_old_qemu(&self) -> bool {
        self.facts.host.qemu_version.is_some_and(|version| version < ALIGNED_DIRECT_IO)
    }

    fn direct_io(&self) -> Option<DirectIo> {
        self.facts.probe.map(|probe| probe.direct_io)
    }

    fn refuses_direct_io(&self) -> bool {
        self.direct_io() == Some(DirectIo::Refused)
    }

    /// The cache mode as far as it is known without a probe.
    fn wanted_cache(&self) -> Cache {
        match self.options.cache {
            CacheModeOption::Fixed(cache) => cache,
            CacheModeOption::Auto if self.has_old_qemu() => Cache::Writethrough,
            CacheModeOption::Auto => Cache::None,
        }
    }
}

/// The same once the cache mode has been decided.
pub(super) struct Cached {
    pub(super) case: Case,
    pub(super) cache: Cache,
}

impl Cached {
    fn option(&self) -> IoModeOption {
        self.case.options.io
    }
}

/// The first row of `rules` that applies, and what it decides. The last row of each table always applies.
pub(super) fn first<C, T>(
    rules: &'static [Rule<C, T>],
    case: &C,
) -> Result<(T, &'static Row), IoPolicyError> {
    let rule = rules.iter().find(|rule| (rule.applies)(case)).unwrap_or(&rules[rules.len() - 1]);
    Ok(((rule.decides)(case)?, &rule.row))
}

/// The rows that decide the cache mode, in the order they are tried.
pub fn cache_rows() -> impl Iterator<Item = &'static Row> {
    CACHE.iter().map(|rule| &rule.row)
}

/// The rows that decide the I/O mode once the cache mode is known, in the order they are tried.
pub fn io_rows() -> impl Iterator<Item = &'static Row> {
    IO.iter().map(|rule| &rule.row)
}

const OLD_QEMU: Cost =
    Cost { loss: "every write waits until it is on the volume", remedy: "run QEMU 2.0.0 or later" };

const BUFFERED: Cost = Cost {
    loss: "guests write through this host's page cache, at a fraction of the speed, and live migration needs QEMU 4.0 \
           and libvirt 5.7.0 on both hosts",
    remedy: "leave cache_mode at auto",
};

pub(super) static CACHE: &[Rule<Case, Cache>] = &[
    Rule {
        row: Row {
            name: "shared_qcow2",
            when: "multiattach, and the format is qcow2",
            then: "refused",
            why: "QEMU keeps a qcow2 image's tables in memory, so two guests destroy it; libvirt requires raw",
            cost: None,
        },
        applies: |case| case.multiattach && case.format == ImageFormat::Qcow2,
        decides: |case| Err(IoPolicyError::SharedFormat { format: case.format }),
    },
    Rule {
        row: Row {
            name: "shared_cached",
            when: "multiattach, and the operator or an old QEMU would have another cache mode than none",
            then: "refused",
            why: "the guests on other hosts would read stale data",
            cost: None,
        },
        applies: |case| case.multiattach && case.wanted_cache() != Cache::None,
        decides: |case| Err(IoPolicyError::SharedCache { cache: case.wanted_cache() }),
    },
    Rule {
        row: Row {
            name: "shared_without_direct_io",
            when: "multiattach, and the mount refuses O_DIRECT",
            then: "refused",
            why: "only the page cache is left, and the guests on other hosts would read stale data",
            cost: None,
        },
        applies: |case| case.multiattach && case.refuses_direct_io(),
        decides: |_| Err(IoPolicyError::SharedWithoutDirectIo),
    },
    Rule {
        row: Row {
            name: "direct_io_refused",
            when: "the operator has fixed none or directsync, and the mount refuses O_DIRECT",
            then: "refused",
            why: "QEMU could not open the image",
            cost: None,
        },
        applies: |case| {
            matches!(case.options.cache, Choice::Fixed(cache) if cache.is_direct())
                && case.refuses_direct_io()
        },
        decides: |case| Err(IoPolicyError::NoDirectIo { cache: case.wanted_cache() }),
    },
    Rule {
        row: Row {
            name: "operator_buffered",
            when: "the operator has fixed writeback or writethrough",
            then: "that",
            why: "the operator's word",
            cost: Some(BUFFERED),
        },
        applies: |case| matches!(case.options.cache, Choice::Fixed(cache) if !cache.is_direct()),
        decides: |case| Ok(case.wanted_cache()),
    },
    Rule {
        row: Row {
            name: "operator_direct",
            when: "the operator has fixed none or directsync",
            then: "that",
            why: "the operator's word; directsync is for guests that never flush",
            cost: None,
        },
        applies: |case| case.options.cache != Choice::Auto,
        decides: |case| Ok(case.wanted_cache()),
    },
    Rule {
        row: Row {
            name: "old_qemu",
            when: "QEMU is older than 2.0.0",
            then: "writethrough",
            why: "it does not learn which alignment O_DIRECT needs, so none fails where that is more than 512 bytes",
            cost: Some(OLD_QEMU),
        },
        applies: Case::has_old_qemu,
        decides: |_| Ok(Cache::Writethrough),
    },
    Rule {
        row: Row {
            name: "no_direct_io",
            when: "the mount refuses O_DIRECT",
            then: "writeback",
            why: "nothing else works, and a guest's flushes are obeyed",
            cost: Some(Cost { remedy: "have Quobyte's client accept O_DIRECT", ..BUFFERED }),
        },
        applies: Case::refuses_direct_io,
        decides: |_| Ok(Cache::Writeback),
    },
    Rule {
        row: Row {
            name: "direct_io",
            when: "O_DIRECT works on the mount",
            then: "none",
            why: "the fastest that keeps data over a loss of power, if the guest flushes; guests can migrate live",
            cost: None,
        },
        applies: |case| case.direct_io().is_some(),
        decides: |_| Ok(Cache::None),
    },
    Rule {
        row: Row {
            name: "cache_unprobed",
            when: "the mount could not be probed",
            then: "none",
            why: "as Nova does",
            cost: None,
        },
        applies: |_| true,
        decides: |_| Ok(Cache::None),
    },
];

pub(super) static IO: &[Rule<Cached, Option<IoMode>>] = &[
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
                loss: "guests cannot migrate live to a host whose QEMU has no io_uring, and gain nothing on FUSE",
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
            when: "the mount could not be probed",
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
