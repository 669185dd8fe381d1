//! The rows that decide the cache mode.

use super::rule::{Cost, PolicyInput, PolicyRule, Row};
use crate::pure::connection::ImageFormat;
use crate::pure::io_policy::error::IoPolicyError;
use crate::pure::io_policy::mode::{Cache, Choice};

const OLD_QEMU: Cost = Cost {
    loss: "every write waits until it is on the volume",
    remedy: "run QEMU 2.0.0 or later",
    is_of_image: false,
};

const BUFFERED: Cost = Cost {
    loss: "guests write through this host's page cache, at a fraction of the speed, and live migration needs QEMU 4.0 \
           and libvirt 5.7.0 on both hosts",
    remedy: "leave cache_mode at auto",
    is_of_image: false,
};

pub(in crate::pure::io_policy) static CACHE_RULES: &[PolicyRule<PolicyInput, Cache>] = &[
    PolicyRule {
        row: Row {
            name: "shared_qcow2",
            when: "multiattach, and the format is qcow2",
            then: "refused",
            why: "QEMU keeps a qcow2 image's tables in memory, so two guests destroy it; libvirt requires raw",
            cost: None,
        },
        applies: |input| input.multiattach && input.format == ImageFormat::Qcow2,
        decides: |input| Err(IoPolicyError::SharedFormat { format: input.format }),
    },
    PolicyRule {
        row: Row {
            name: "shared_cached",
            when: "multiattach, and the operator or an old QEMU would have another cache mode than none",
            then: "refused",
            why: "the guests on other hosts would read stale data",
            cost: None,
        },
        applies: |input| input.multiattach && input.wanted_cache() != Cache::None,
        decides: |input| Err(IoPolicyError::SharedCache { cache: input.wanted_cache() }),
    },
    PolicyRule {
        row: Row {
            name: "shared_without_direct_io",
            when: "multiattach, and the mount refuses O_DIRECT",
            then: "refused",
            why: "only the page cache is left, and the guests on other hosts would read stale data",
            cost: None,
        },
        applies: |input| input.multiattach && input.refuses_direct_io(),
        decides: |_| Err(IoPolicyError::SharedWithoutDirectIo),
    },
    PolicyRule {
        row: Row {
            name: "direct_io_refused",
            when: "the operator has fixed none or directsync, and the mount refuses O_DIRECT",
            then: "refused",
            why: "QEMU could not open the image",
            cost: None,
        },
        applies: |input| {
            matches!(input.options.cache, Choice::Fixed(cache) if cache.is_direct())
                && input.refuses_direct_io()
        },
        decides: |input| Err(IoPolicyError::NoDirectIo { cache: input.wanted_cache() }),
    },
    PolicyRule {
        row: Row {
            name: "shared_odd_length",
            when: "multiattach, and the length of the raw image is no multiple of 4096 bytes",
            then: "refused",
            why: "QEMU opens no such image with O_DIRECT for writing: only the page cache is left",
            cost: None,
        },
        applies: |input| input.multiattach && input.odd_image_length().is_some(),
        decides: odd_length_error,
    },
    PolicyRule {
        row: Row {
            name: "direct_io_odd_length",
            when: "the operator has fixed none or directsync, and the length of the raw image is no multiple of 4096 bytes",
            then: "refused",
            why: "QEMU opens no such image with O_DIRECT for writing",
            cost: None,
        },
        applies: |input| {
            matches!(input.options.cache, Choice::Fixed(cache) if cache.is_direct())
                && input.odd_image_length().is_some()
        },
        decides: odd_length_error,
    },
    PolicyRule {
        row: Row {
            name: "operator_buffered",
            when: "the operator has fixed writeback or writethrough",
            then: "that",
            why: "the operator's word",
            cost: Some(BUFFERED),
        },
        applies: |input| matches!(input.options.cache, Choice::Fixed(cache) if !cache.is_direct()),
        decides: |input| Ok(input.wanted_cache()),
    },
    PolicyRule {
        row: Row {
            name: "operator_direct",
            when: "the operator has fixed none or directsync",
            then: "that",
            why: "the operator's word; directsync is for guests that never flush",
            cost: None,
        },
        applies: |input| input.options.cache != Choice::Auto,
        decides: |input| Ok(input.wanted_cache()),
    },
    PolicyRule {
        row: Row {
            name: "old_qemu",
            when: "QEMU is older than 2.0.0",
            then: "writethrough",
            why: "it does not learn which alignment O_DIRECT needs, so none fails where that is more than 512 bytes",
            cost: Some(OLD_QEMU),
        },
        applies: PolicyInput::has_old_qemu,
        decides: |_| Ok(Cache::Writethrough),
    },
    PolicyRule {
        row: Row {
            name: "no_direct_io",
            when: "the mount refuses O_DIRECT",
            then: "writeback",
            why: "nothing else works, and a guest's flushes are obeyed",
            cost: Some(Cost { remedy: "have Quobyte's client accept O_DIRECT", ..BUFFERED }),
        },
        applies: PolicyInput::refuses_direct_io,
        decides: |_| Ok(Cache::Writeback),
    },
    PolicyRule {
        row: Row {
            name: "odd_length",
            when: "the length of the raw image, or of the raw file below it, is no multiple of 4096 bytes",
            then: "writeback",
            why: "QEMU opens no such file with O_DIRECT for writing, and a guest's flushes are obeyed",
            cost: Some(Cost {
                remedy: "lengthen that file while no guest has it: truncate --size %4096; or, if it is a qcow2 image, declare it \
                         as one",
                is_of_image: true,
                ..BUFFERED
            }),
        },
        applies: |input| input.odd_length().is_some(),
        decides: |_| Ok(Cache::Writeback),
    },
    PolicyRule {
        row: Row {
            name: "direct_io",
            when: "O_DIRECT works on the mount",
            then: "none",
            why: "the fastest that keeps data over a loss of power, if the guest flushes; guests can migrate live",
            cost: None,
        },
        applies: |input| input.direct_io().is_some(),
        decides: |_| Ok(Cache::None),
    },
    PolicyRule {
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

fn odd_length_error(input: &PolicyInput) -> Result<Cache, IoPolicyError> {
    Err(IoPolicyError::OddLength {
        cache: input.wanted_cache(),
        length: input.odd_image_length().unwrap_or_default(),
    })
}
