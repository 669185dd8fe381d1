//! What Nova makes of a decision: `[libvirt] disk_cachemodes` of nova.conf goes before every volume driver's word.

use super::mode::{Cache, IoMode};
use super::table::{Cost, Row};

static NAMED: Row = Row {
    name: "nova_disk_cachemodes",
    when: "[libvirt] disk_cachemodes names a mode for files",
    then: "that",
    why: "Nova puts it in the place of every volume driver's",
    cost: None,
};

static NAMED_BUFFERED: Row = Row {
    name: "nova_disk_cachemodes_buffered",
    cost: Some(Cost {
        loss: "guests write through this host's page cache, at a fraction of the speed, and live migration needs QEMU 4.0 \
               and libvirt 5.7.0 on both hosts",
        remedy: "name no mode for files in [libvirt] disk_cachemodes",
        is_of_image: false,
    }),
    ..NAMED
};

static NAMED_UNSAFE: Row = Row {
    name: "nova_disk_cachemodes_unsafe",
    cost: Some(Cost {
        loss: "what guests have flushed is lost with this host",
        remedy: "name no mode for files in [libvirt] disk_cachemodes",
        is_of_image: false,
    }),
    ..NAMED
};

static NATIVE_BUFFERED: Row = Row {
    name: "nova_native_buffered",
    when: "[libvirt] disk_cachemodes leaves native without O_DIRECT",
    then: "threads",
    why: "QEMU opens no image so",
    cost: None,
};

/// The mode that an option `disk_cachemodes` with these items names for files. Of several the last counts, and Nova
/// passes over those that it does not know.
#[must_use]
pub fn nova_cache_mode<S: AsRef<str>>(items: &[S]) -> Option<Cache> {
    let modes = items.iter().filter_map(|item| match item.as_ref().split_once('=')? {
        ("file", "default") => Some(Cache::Default),
        ("file", "unsafe") => Some(Cache::Unsafe),
        ("file", mode) => mode.parse().ok(),
        _ => None,
    });
    modes.last()
}

/// The rows of the modes that a disk has once Nova has put `cache` in place, and its I/O mode: the cache mode's, and the I/O
/// mode's if that is another then.
pub(super) fn nova_rows(cache: Cache, io: Option<IoMode>) -> (&'static Row, Option<(IoMode, &'static Row)>) {
    let cache_row = match cache {
        Cache::None | Cache::Directsync => &NAMED,
        Cache::Writeback | Cache::Writethrough | Cache::Default => &NAMED_BUFFERED,
        Cache::Unsafe => &NAMED_UNSAFE,
    };
    let loses_native = io == Some(IoMode::Native) && !cache.is_direct();
    (cache_row, loses_native.then_some((IoMode::Threads, &NATIVE_BUFFERED)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::connection::{ConnectionInfo, Export, ImageFormat, ImageName};
    use crate::pure::io_policy::{Decision, Facts, IoOptions};

    #[test]
    fn last_known_file_mode_counts() {
        for (items, mode) in [
            (&[][..], None),
            (&["block=none", "network=writeback"], None),
            (&["file=writeback", "file=none"], Some(Cache::None)),
            (&["file=none", "file=fast", "file", "file=", "File=writeback"], Some(Cache::None)),
            (&["file=unsafe"], Some(Cache::Unsafe)),
            (&["file=default"], Some(Cache::Default)),
            (&["file=directsync=x"], None),
        ] {
            assert_eq!(nova_cache_mode(items), mode, "{items:?}");
        }
    }

    #[test]
    fn options_of_ours_have_none_of_novas_own_modes() {
        for (mode, word) in [(Cache::Unsafe, "unsafe"), (Cache::Default, "default")] {
            assert_eq!((mode.as_str(), mode.to_string().as_str()), (word, word));
            word.parse::<Cache>().unwrap_err();
        }
        for mode in Cache::OURS {
            assert_eq!(mode.as_str().parse(), Ok(mode));
        }
    }

    #[test]
    fn nova_cache_mode_goes_before_the_decision() {
        let (export, name) = (Export::parse("r/v").unwrap(), ImageName::parse("n").unwrap());
        let mut info = ConnectionInfo::new(export, name, ImageFormat::Raw);
        let mut modes = |cache, multiattach| {
            info.multiattach = multiattach;
            let decision = Decision::make(&info, &Facts::default(), &IoOptions::default()).unwrap();
            let policy = decision.with_nova_cache(cache).policy;
            (policy.cache, policy.io.unwrap())
        };
        for (cache, io) in [
            (Cache::None, IoMode::Native),
            (Cache::Directsync, IoMode::Native),
            (Cache::Writeback, IoMode::Threads),
            (Cache::Writethrough, IoMode::Threads),
            (Cache::Default, IoMode::Threads),
            (Cache::Unsafe, IoMode::Threads),
        ] {
            assert_eq!(modes(Some(cache), false), (cache, io));
            assert_eq!(modes(Some(cache), true), (Cache::None, IoMode::Native));
        }
        assert_eq!(modes(None, false), (Cache::None, IoMode::Native));
    }
}
