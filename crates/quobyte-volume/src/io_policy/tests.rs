use super::*;
use crate::connection::{Export, ImageName};

const QEMU_1_7: HostFacts = HostFacts::new(Some(QemuVersion::new(1, 7, 2)));
const QEMU_2_0: HostFacts = HostFacts::new(Some(QemuVersion::new(2, 0, 0)));
const QEMU_7_2: HostFacts = HostFacts::new(Some(QemuVersion::new(7, 2, 22)));
const UNKNOWN: HostFacts = HostFacts::new(None);

fn volume(format: ImageFormat) -> ConnectionInfo {
    let export = Export::parse("reg/vol").unwrap();
    ConnectionInfo::new(export, ImageName::parse("image").unwrap(), format)
}

/// The policy for a raw image as `cache` and `io`, or the error.
fn modes(host: &HostFacts, cache: &str, io: &str) -> Result<String, IoPolicyError> {
    let options = IoOptions { cache: cache.parse()?, io: io.parse()? };
    let policy = IoPolicy::decide(&volume(ImageFormat::Raw), host, &options)?;
    let io = policy.io.map_or("-", IoMode::as_str);
    Ok(format!("{} {io}", policy.cache))
}

#[test]
fn left_alone_the_policy_turns_at_qemu_2_0_0_and_unknown_counts_as_modern() {
    for (host, expected) in [
        (QEMU_1_7, "writethrough -"),
        (QEMU_2_0, "none native"),
        (QEMU_7_2, "none native"),
        (UNKNOWN, "none native"),
    ] {
        assert_eq!(modes(&host, "auto", "auto").unwrap(), expected, "{host:?}");
    }
}

#[test]
fn an_operators_choice_is_taken_and_the_other_mode_follows_it() {
    for (host, cache, io, expected) in [
        (QEMU_7_2, "none", "auto", "none native"),
        (QEMU_7_2, "directsync", "auto", "directsync native"),
        (QEMU_7_2, "writeback", "auto", "writeback threads"),
        (QEMU_7_2, "writethrough", "auto", "writethrough threads"),
        (QEMU_7_2, "auto", "native", "none native"),
        (QEMU_7_2, "auto", "threads", "none threads"),
        (QEMU_7_2, "auto", "io_uring", "none io_uring"),
        (UNKNOWN, "auto", "io_uring", "none io_uring"),
        (QEMU_7_2, "directsync", "native", "directsync native"),
        (QEMU_7_2, "writeback", "threads", "writeback threads"),
        (QEMU_1_7, "none", "auto", "none -"),
        (QEMU_1_7, "none", "native", "none native"),
        (QEMU_1_7, "auto", "threads", "writethrough threads"),
    ] {
        assert_eq!(modes(&host, cache, io).unwrap(), expected, "{host:?} {cache} {io}");
    }
}

#[test]
fn a_choice_that_cannot_work_is_refused_as_configuration() {
    for (host, cache, io) in [
        (QEMU_7_2, "writeback", "native"),
        (QEMU_7_2, "writethrough", "native"),
        (QEMU_1_7, "auto", "native"),
        (QEMU_2_0, "auto", "io_uring"),
        (QEMU_7_2, "unsafe", "auto"),
        (QEMU_7_2, "default", "auto"),
        (QEMU_7_2, "None", "auto"),
        (QEMU_7_2, "auto", "uring"),
        (QEMU_7_2, "auto", ""),
    ] {
        let error = modes(&host, cache, io).expect_err(cache);
        assert_eq!(error.code(), Code::InvalidConfig, "{host:?} {cache} {io}: {error}");
    }
}

#[test]
fn discards_reach_the_volume_only_where_the_connection_says_so() {
    let mut info = volume(ImageFormat::Qcow2);
    for (discard, expected) in [(false, None), (true, Some(Discard::Unmap))] {
        info.discard = discard;
        let policy = IoPolicy::decide(&info, &UNKNOWN, &IoOptions::default()).unwrap();
        assert_eq!(policy.discard, expected);
    }
}

#[test]
fn a_shared_image_is_raw_and_uncached_or_refused() {
    let decide = |format, host: &HostFacts, cache: &str| {
        let info = ConnectionInfo { multiattach: true, ..volume(format) };
        let options = IoOptions { cache: cache.parse().unwrap(), io: Choice::Auto };
        IoPolicy::decide(&info, host, &options).map(|policy| policy.cache).map_err(|error| error.code())
    };
    let raw = ImageFormat::Raw;
    assert_eq!(decide(raw, &QEMU_7_2, "auto"), Ok(Cache::None));
    assert_eq!(decide(raw, &QEMU_7_2, "writeback"), Err(Code::InvalidConfig));
    assert_eq!(decide(raw, &QEMU_7_2, "directsync"), Err(Code::InvalidConfig));
    assert_eq!(decide(raw, &QEMU_1_7, "auto"), Err(Code::InvalidConfig));
    assert_eq!(decide(raw, &QEMU_1_7, "none"), Ok(Cache::None));
    assert_eq!(decide(ImageFormat::Qcow2, &QEMU_7_2, "auto"), Err(Code::InvalidConnection));
}

#[test]
fn every_mode_is_read_back_from_the_word_it_is_shown_as() {
    for mode in Cache::ALL {
        assert_eq!(mode.to_string().parse(), Ok(Choice::Fixed(mode)));
    }
    for mode in IoMode::ALL {
        assert_eq!(mode.to_string().parse(), Ok(Choice::Fixed(mode)));
    }
    assert_eq!(CacheModeOption::Auto.to_string().parse(), Ok(CacheModeOption::Auto));
}
