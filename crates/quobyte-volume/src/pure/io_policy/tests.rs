use proptest::prelude::{Just, Strategy, any, prop_assert, proptest};
use proptest::sample::select;

use strum::VariantArray as _;

use super::*;
use crate::error::Code;
use crate::pure::connection::{Export, ImageFormat, ImageName};

const QEMU_1_7: Version = Version::new(1, 7, 2);
const QEMU_2_0: Version = Version::new(2, 0, 0);
const QEMU_7_2: Version = Version::new(7, 2, 22);
const PLENTY: Option<AioSlots> = Some(AioSlots { used: 0, limit: 1 << 16 });

fn volume(format: ImageFormat) -> ConnectionInfo {
    let export = Export::parse("reg/vol").unwrap();
    ConnectionInfo::new(export, ImageName::parse("image").unwrap(), format)
}

fn saw(direct_io: DirectIo) -> Option<Probe> {
    Some(Probe { direct_io, reads: 0, nonblocking_reads: 0, errno: None })
}

/// A modern host with a mount that does as it should.
fn best() -> Facts {
    let mut host = HypervisorFacts::new(Some(QEMU_7_2));
    host.libvirt_version = Some(Version::new(9, 0, 0));
    host.io_uring = Some(true);
    Facts { hypervisor: host, probe: saw(DirectIo::Asynchronous), aio: PLENTY, raw_length: Some(1 << 30) }
}

fn with_qemu(version: Option<Version>) -> Facts {
    let mut facts = best();
    facts.hypervisor.qemu_version = version;
    facts
}

fn probed(direct_io: DirectIo) -> Facts {
    Facts { probe: saw(direct_io), ..best() }
}

fn unprobed() -> Facts {
    Facts { probe: None, ..best() }
}

fn options(cache: &str, io: &str) -> Result<IoOptions, ModeError> {
    Ok(IoOptions { cache: cache.parse()?, io: io.parse()?, physical_block_size: None })
}

/// Modes and rows for a raw image, or the error.
fn decided(facts: &Facts, cache: &str, io: &str) -> Result<[&'static str; 4], IoPolicyError> {
    let decision = Decision::make(&volume(ImageFormat::Raw), facts, &options(cache, io).unwrap())?;
    let io = decision.policy.io.map_or("-", IoMode::as_str);
    Ok([decision.policy.cache.as_str(), io, decision.cache_row.name, decision.io_row.name])
}

#[test]
fn default_policy_follows_qemu_and_probe() {
    let no_slots = AioSlots { used: 65_000, limit: 1 << 16 };
    for (facts, expected) in [
        (with_qemu(Some(QEMU_1_7)), ["writethrough", "-", "old_qemu", "io_old_qemu"]),
        (with_qemu(Some(QEMU_2_0)), ["none", "native", "direct_io", "asynchronous"]),
        (best(), ["none", "native", "direct_io", "asynchronous"]),
        (with_qemu(None), ["none", "native", "direct_io", "asynchronous"]),
        (Facts { aio: None, ..best() }, ["none", "native", "direct_io", "asynchronous"]),
        (probed(DirectIo::Synchronous), ["none", "threads", "direct_io", "synchronous"]),
        (probed(DirectIo::Refused), ["writeback", "threads", "no_direct_io", "buffered"]),
        (unprobed(), ["none", "native", "cache_unprobed", "io_unprobed"]),
        (Facts { aio: Some(no_slots), ..best() }, ["none", "threads", "direct_io", "no_aio_slots"]),
        (Facts { aio: Some(no_slots), ..unprobed() }, ["none", "threads", "cache_unprobed", "no_aio_slots"]),
    ] {
        assert_eq!(decided(&facts, "auto", "auto"), Ok(expected), "{facts:?}");
    }
}

#[test]
fn native_io_requires_1024_aio_slots() {
    for (used, expected) in [(64_512, "native"), (64_513, "threads"), (u64::MAX, "threads")] {
        let facts = Facts { aio: Some(AioSlots { used, limit: 1 << 16 }), ..best() };
        assert_eq!(decided(&facts, "auto", "auto").unwrap()[1], expected, "{used}");
    }
}

#[test]
fn operator_choice_is_honoured() {
    let old = with_qemu(Some(QEMU_1_7));
    let sync = probed(DirectIo::Synchronous);
    for (facts, cache, io, expected) in [
        (best(), "none", "auto", ["none", "native", "operator_direct", "asynchronous"]),
        (sync, "directsync", "auto", ["directsync", "threads", "operator_direct", "synchronous"]),
        (best(), "writeback", "auto", ["writeback", "threads", "operator_buffered", "buffered"]),
        (best(), "writethrough", "auto", ["writethrough", "threads", "operator_buffered", "buffered"]),
        (best(), "auto", "native", ["none", "native", "direct_io", "operator_io"]),
        (sync, "auto", "native", ["none", "native", "direct_io", "operator_native_waits"]),
        (unprobed(), "auto", "native", ["none", "native", "cache_unprobed", "operator_io"]),
        (best(), "auto", "threads", ["none", "threads", "direct_io", "operator_io"]),
        (best(), "auto", "io_uring", ["none", "io_uring", "direct_io", "operator_io_uring"]),
        (
            best(),
            "writeback",
            "io_uring",
            ["writeback", "io_uring", "operator_buffered", "operator_io_uring"],
        ),
        (old, "none", "auto", ["none", "-", "operator_direct", "io_old_qemu"]),
        (old, "none", "native", ["none", "native", "operator_direct", "operator_io"]),
        (old, "auto", "threads", ["writethrough", "threads", "old_qemu", "operator_io"]),
    ] {
        assert_eq!(decided(&facts, cache, io), Ok(expected), "{facts:?} {cache} {io}");
    }
}

#[test]
fn impossible_operator_choice_is_refused() {
    let refused = probed(DirectIo::Refused);
    for (facts, cache, io) in [
        (best(), "writeback", "native"),
        (best(), "writethrough", "native"),
        (with_qemu(Some(QEMU_1_7)), "auto", "native"),
        (refused, "auto", "native"),
        (refused, "none", "auto"),
        (refused, "directsync", "threads"),
    ] {
        let error = decided(&facts, cache, io).expect_err(cache);
        assert_eq!(error.code(), Code::InvalidConfig, "{facts:?} {cache} {io}: {error}");
    }
    for (cache, io) in
        [("unsafe", "auto"), ("default", "auto"), ("None", "auto"), ("auto", "uring"), ("auto", "")]
    {
        let error = options(cache, io).expect_err(cache);
        assert_eq!(error.code(), Code::InvalidConfig, "{cache} {io}: {error}");
    }
}

#[test]
fn io_uring_requires_versions_and_qemu_check() {
    let uring = |change: fn(&mut HypervisorFacts)| {
        let mut facts = best();
        change(&mut facts.hypervisor);
        decided(&facts, "auto", "io_uring").map(|decided| decided[1])
    };
    assert_eq!(uring(|_| ()), Ok("io_uring"));
    assert_eq!(uring(|host| (host.qemu_version, host.libvirt_version) = (None, None)), Ok("io_uring"));
    assert_eq!(uring(|host| host.qemu_version = Some(Version::new(5, 0, 0))), Ok("io_uring"));
    assert_eq!(uring(|host| host.libvirt_version = Some(Version::new(6, 3, 0))), Ok("io_uring"));
    let (qemu, libvirt) = (Version::new(4, 2, 1), Version::new(6, 2, 0));
    assert_eq!(
        uring(|host| host.qemu_version = Some(Version::new(4, 2, 1))),
        Err(IoPolicyError::IoUringQemu { found: qemu })
    );
    assert_eq!(
        uring(|host| host.libvirt_version = Some(Version::new(6, 2, 0))),
        Err(IoPolicyError::IoUringLibvirt { found: libvirt })
    );
    for answer in [Some(false), None] {
        let mut facts = best();
        facts.hypervisor.io_uring = answer;
        let error = decided(&facts, "auto", "io_uring").unwrap_err();
        assert!(matches!(error, IoPolicyError::IoUringUnproven { .. }), "{error}");
    }
}

#[test]
fn odd_raw_length_is_not_opened_directly() {
    let of_length = |length| Facts { raw_length: Some(length), ..best() };
    // QEMU fills the last sector up.
    for length in [0, 4096, 4095, 3585, 2_052_096, 1 << 44] {
        let even = decided(&of_length(length), "auto", "auto").unwrap();
        assert_eq!(even[..2], ["none", "native"], "{length}");
    }
    for length in [1, 512, 3584, 4097, 2_048_512, (1 << 44) + 512] {
        let facts = of_length(length);
        let expected = ["writeback", "threads", "odd_length", "buffered"];
        assert_eq!(decided(&facts, "auto", "auto"), Ok(expected), "{length}");
        for cache in ["none", "directsync"] {
            let error = decided(&facts, cache, "auto").unwrap_err();
            assert_eq!(error.code(), Code::ImageRejected);
            assert!(error.to_string().contains("truncate --size %4096"), "{error}");
        }
        assert!(decided(&facts, "auto", "native").is_err(), "{length}");
        let operators = decided(&facts, "writethrough", "auto").unwrap();
        assert_eq!(operators[2], "operator_buffered");
        let old = Facts { hypervisor: with_qemu(Some(QEMU_1_7)).hypervisor, ..facts };
        assert_eq!(decided(&old, "auto", "auto").unwrap()[2], "old_qemu");
        let shared = ConnectionInfo { multiattach: true, ..volume(ImageFormat::Raw) };
        let error = Decision::make(&shared, &facts, &IoOptions::default()).unwrap_err();
        assert!(matches!(error, IoPolicyError::OddLength { .. }), "{error}");
        // An overlay on such a file.
        let overlay =
            |cache| Decision::make(&volume(ImageFormat::Qcow2), &facts, &options(cache, "auto").unwrap());
        assert_eq!(overlay("auto").unwrap().cache_row.name, "odd_length");
        assert_eq!(overlay("none").unwrap().cache_row.name, "operator_direct");
        let read_only = ConnectionInfo { access_mode: AccessMode::ReadOnly, ..volume(ImageFormat::Raw) };
        let decision = Decision::make(&read_only, &facts, &IoOptions::default()).unwrap();
        assert_eq!(decision.policy.cache, Cache::None, "nothing is written");
    }
}

#[test]
fn extended_length_can_be_opened_directly() {
    for length in [0, 1, 4095, 4096, 2_048_512, u64::MAX - 5000] {
        let extended = direct_io_length(length);
        assert!(extended >= length && extended.is_multiple_of(4096), "{length}");
    }
    assert_eq!(direct_io_length(u64::MAX), u64::MAX, "QEMU refuses that");
}

#[test]
fn discard_follows_connection_info() {
    let mut info = volume(ImageFormat::Qcow2);
    for (discard, expected) in [(false, None), (true, Some(Discard::Unmap))] {
        info.discard = discard;
        let decision = Decision::make(&info, &best(), &IoOptions::default()).unwrap();
        assert_eq!(decision.policy.discard, expected);
    }
}

#[test]
fn volume_block_size_overrides_operator() {
    let mut info = volume(ImageFormat::Raw);
    let mut options = IoOptions { physical_block_size: "4096".parse().ok(), ..IoOptions::default() };
    let size = |info: &ConnectionInfo, options: &IoOptions| {
        Decision::make(info, &best(), options).unwrap().policy.block_size.physical
    };
    assert_eq!(size(&info, &options), Some(4096));
    info.block_size.physical = Some(512);
    assert_eq!(size(&info, &options), Some(512));
    (info.block_size.physical, options.physical_block_size) = (None, None);
    assert_eq!(size(&info, &options), None);
    for text in ["0", "256", "1000", "4194304", "4k", "-512", ""] {
        let error = text.parse::<PhysicalBlockSize>().expect_err(text);
        assert_eq!(error.code(), Code::InvalidConfig);
    }
}

#[test]
fn multiattach_requires_raw_and_cache_none() {
    let decide = |format, facts: &Facts, cache: &str| {
        let info = ConnectionInfo { multiattach: true, ..volume(format) };
        let decision = Decision::make(&info, facts, &options(cache, "auto").unwrap());
        decision.map(|it| (it.policy.cache, it.policy.shareable)).map_err(|error| error.code())
    };
    let (raw, old) = (ImageFormat::Raw, with_qemu(Some(QEMU_1_7)));
    assert_eq!(decide(raw, &best(), "auto"), Ok((Cache::None, true)));
    assert_eq!(decide(raw, &unprobed(), "auto"), Ok((Cache::None, true)));
    assert_eq!(decide(raw, &best(), "writeback"), Err(Code::InvalidConfig));
    assert_eq!(decide(raw, &best(), "directsync"), Err(Code::InvalidConfig));
    assert_eq!(decide(raw, &probed(DirectIo::Refused), "auto"), Err(Code::InvalidConfig));
    assert_eq!(decide(raw, &old, "auto"), Err(Code::InvalidConfig));
    assert_eq!(decide(raw, &old, "none"), Ok((Cache::None, true)));
    assert_eq!(decide(ImageFormat::Qcow2, &best(), "auto"), Err(Code::InvalidConnection));
}

#[test]
fn policy_costs_carry_a_remedy() {
    let costs = |facts: &Facts, cache: &str, io: &str| -> Vec<_> {
        let options = options(cache, io).unwrap();
        let decision = Decision::make(&volume(ImageFormat::Raw), facts, &options).unwrap();
        decision.costs().map(|(row, _)| row.name).collect()
    };
    assert_eq!(costs(&best(), "auto", "auto"), [""; 0]);
    assert_eq!(costs(&probed(DirectIo::Synchronous), "auto", "auto"), ["synchronous"]);
    assert_eq!(costs(&probed(DirectIo::Refused), "auto", "auto"), ["no_direct_io"]);
    assert_eq!(costs(&best(), "writeback", "io_uring"), ["operator_buffered", "operator_io_uring"]);
    for row in cache_rows().chain(io_rows()) {
        assert!(row.cost.is_none_or(|cost| !cost.loss.is_empty() && !cost.remedy.is_empty()), "{}", row.name);
    }
}

/// The documentation's table of `rows`.
fn table(rows: impl Iterator<Item = &'static Row>) -> String {
    let heading = "| row | when | then | because |\n|---|---|---|---|\n".to_owned();
    let rows = rows.map(|row| format!("| `{}` | {} | {} | {} |\n", row.name, row.when, row.then, row.why));
    heading + &rows.collect::<String>()
}

#[test]
fn io_policy_doc_lists_every_row() {
    let page = include_str!("../../../../../docs/IO_POLICY.md");
    let costs = cache_rows().chain(io_rows()).filter_map(|row| {
        let cost = row.cost?;
        Some(format!("| `{}` | {} | {} |\n", row.name, cost.loss, cost.remedy))
    });
    let costs = "| row | costs | remedy |\n|---|---|---|\n".to_owned() + &costs.collect::<String>();
    for table in [table(cache_rows()), table(io_rows()), costs] {
        assert!(page.contains(&table), "docs/IO_POLICY.md has to have this table:\n{table}");
    }
}

#[test]
fn cache_and_io_mode_names_round_trip() {
    for mode in Cache::OURS {
        assert_eq!(mode.to_string().parse(), Ok(Choice::Fixed(mode)));
    }
    for &mode in IoMode::VARIANTS {
        assert_eq!(mode.to_string().parse(), Ok(Choice::Fixed(mode)));
    }
    assert_eq!(CacheModeOption::Auto.to_string().parse(), Ok(CacheModeOption::Auto));
}

fn any_facts() -> impl Strategy<Value = Facts> {
    let qemu = select(vec![None, Some(QEMU_1_7), Some(QEMU_2_0), Some(QEMU_7_2)]);
    let probe =
        select(vec![None, saw(DirectIo::Refused), saw(DirectIo::Synchronous), saw(DirectIo::Asynchronous)]);
    let aio = select(vec![None, PLENTY, Some(AioSlots { used: 1, limit: 1024 })]);
    let raw_length = select(vec![None, Some(1 << 30), Some(2_048_512)]);
    (qemu, any::<Option<bool>>(), probe, aio, raw_length).prop_map(
        |(qemu, io_uring, probe, aio, raw_length)| {
            let mut facts = with_qemu(qemu);
            facts.hypervisor.io_uring = io_uring;
            Facts { probe, aio, raw_length, ..facts }
        },
    )
}

fn any_options() -> impl Strategy<Value = IoOptions> {
    let cache = select(Cache::OURS.to_vec()).prop_map(Choice::Fixed);
    let io = select(IoMode::VARIANTS.to_vec()).prop_map(Choice::Fixed);
    let cache = proptest::prop_oneof![Just(Choice::Auto), cache];
    let io = proptest::prop_oneof![Just(Choice::Auto), io];
    (cache, io).prop_map(|(cache, io)| IoOptions { cache, io, physical_block_size: None })
}

proptest! {
    #[test]
    fn policy_is_never_refused_by_qemu_or_libvirt(
        facts in any_facts(),
        options in any_options(),
        multiattach in any::<bool>(),
        format in select(vec![ImageFormat::Raw, ImageFormat::Qcow2]),
    ) {
        let info = ConnectionInfo { multiattach, ..volume(format) };
        let Ok(Decision { policy, .. }) = Decision::make(&info, &facts, &options) else { return Ok(()) };
        prop_assert!(policy.io != Some(IoMode::Native) || policy.cache.is_direct());
        prop_assert!(policy.io != Some(IoMode::IoUring) || facts.hypervisor.io_uring == Some(true));
        prop_assert!(!policy.cache.is_direct() || facts.probe != saw(DirectIo::Refused));
        let is_odd = format == ImageFormat::Raw && facts.raw_length == Some(2_048_512);
        prop_assert!(!policy.cache.is_direct() || !is_odd);
        prop_assert!(!policy.shareable || (policy.cache, format) == (Cache::None, ImageFormat::Raw));
    }

    #[test]
    fn refusal_before_mount_is_final(
        facts in any_facts(),
        options in any_options(),
        multiattach in any::<bool>(),
    ) {
        let info = ConnectionInfo { multiattach, ..volume(ImageFormat::Raw) };
        let before = Decision::make(&info, &Facts::from(facts.hypervisor), &options);
        prop_assert!(before.is_ok() || Decision::make(&info, &facts, &options).is_err());
    }
}
