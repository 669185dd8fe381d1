//! The rows that decide the cache mode.

use super::{Case, Cost, Row, Rule};
use crate::pure::connection::ImageFormat;
use crate::pure::io_policy::{Cache, Choice, IoPolicyError};

const OLD_QEMU: Cost =
    Cost { loss: "every write waits until it is on the volume", remedy: "run QEMU 2.0.0 or later" };

const BUFFERED: Cost = Cost {
    loss: "guests write through this host's page cache, at a fraction of the speed, and live migration needs QEMU 4.0 \
           and libvirt 5.7.0 on both hosts",
    remedy: "leave cache_mode at auto",
};

pub(in crate::pure::io_policy) static CACHE: &[Rule<Case, Cache>] = &[
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
            when: "the mount was not probed, or cannot be",
            then: "none",
            why: "as Nova does",
            cost: None,
        },
        applies: |_| true,
        decides: |_| Ok(Cache::None),
    },
];
