use std::cell::Cell;
use std::io;

use image_corpus::{Content, Qcow2, at, extension, hostile, legitimate};
use proptest::prelude::*;

use super::*;

/// Content, and how much of it was asked for.
struct Watched<'a> {
    content: &'a Content,
    read: Cell<u64>,
    end: Cell<u64>,
}

impl<'a> Watched<'a> {
    fn new(content: &'a Content) -> Self {
        Self { content, read: Cell::new(0), end: Cell::new(0) }
    }
}

impl ReadAt for Watched<'_> {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.read.set(self.read.get() + buffer.len() as u64);
        self.end.set(self.end.get().max(offset + buffer.len() as u64));
        self.content.read_exact_at(buffer, offset)
    }
}

fn parse(image: impl Into<Content>) -> Result<ImageHeader, InspectError> {
    let content = image.into();
    ImageHeader::parse(&content, content.len())
}

fn violation(image: impl Into<Content>) -> Violation {
    match parse(image) {
        Err(InspectError::Violation(violation)) => violation,
        other => panic!("{other:?}"),
    }
}

#[test]
fn header_size_and_backing_file_are_parsed() {
    let header = parse(Qcow2::v3().u64(at::SIZE, 5 << 20).on("cache/base", "raw")).unwrap();
    assert_eq!(header.virtual_size, 5 << 20);
    let backing = header.backing.unwrap();
    assert_eq!((backing.name.to_string().as_str(), backing.format), ("cache/base", ImageFormat::Raw));
}

#[test]
fn violation_shows_offending_header_value() {
    for (image, value) in [
        (Qcow2::v3().u32(at::VERSION, 4), "4"),
        (Qcow2::v3().u32(at::CLUSTER_BITS, 63), "2^63 bytes"),
        (Qcow2::v3().feature(5).feature(63), "bits 0x8000000000000020"),
        (Qcow2::v3().feature(2), "feature bit 2"),
        (Qcow2::v3().bit(at::AUTOCLEAR_FEATURES, 1), "autoclear bit 1"),
        (Qcow2::v3().extension(extension::DATA_FILE, b"/etc/\x1b[2J\xff"), r"data file /etc/\u{1b}[2J�"),
        (Qcow2::v3().u32(at::CRYPT_METHOD, 2), "method 2"),
        (Qcow2::v3().u64(at::L1_TABLE_OFFSET, 0x3_0008), "8 bytes at 0x30008"),
        (Qcow2::v3().u64(at::SIZE, 1 << 62), "4611686018427387904 bytes"),
        (Qcow2::v3().on("/etc/shadow", "raw"), "/etc/shadow"),
        (Qcow2::v3().on("base", "vmdk"), "vmdk"),
        (Qcow2::v3().on_unknown_format("base"), "none"),
        (Qcow2::v3().put(0x8001, b"CD001"), "iso9660"),
    ] {
        assert_eq!(violation(image).value, value);
    }
}

#[test]
fn detected_format_is_named_in_violation() {
    let named = |name: &str| {
        let specimen = hostile::all().into_iter().find(|specimen| specimen.name == name).unwrap();
        violation(specimen.files[0].1.clone()).value
    };
    for (specimen, format) in [
        ("nothing_at_all", "empty"),
        ("zeroes", "raw or unknown"),
        ("version_1_is_qcow", "qcow"),
        ("qed", "qed"),
        ("vmdk_of_one_file", "vmdk"),
        ("vmdk_of_a_file_of_the_host", "vmdk"),
        ("vhd_on_a_parent", "vhd"),
        ("vhd_of_fixed_size", "vhd"),
        ("vhdx", "vhdx"),
        ("vdi", "vdi"),
        ("luks", "luks"),
        ("iso9660", "iso9660"),
        ("gpt", "gpt"),
        ("mbr", "mbr"),
    ] {
        assert_eq!(named(specimen), format, "{specimen}");
    }
}

#[test]
fn read_error_is_not_a_violation() {
    let content = Content::zeroes(100);
    assert!(matches!(ImageHeader::parse(&content, 4096), Err(InspectError::Read(_))));
}

#[test]
fn header_parse_reads_only_first_cluster() {
    for specimen in legitimate::of_bytes() {
        let content = &specimen.files[0].1;
        let watched = Watched::new(content);
        if ImageHeader::parse(&watched, content.len()).is_ok() {
            let has_bitmaps = specimen.name.contains("_bitmaps_of_");
            let is_repaired_with_snapshots = specimen.name == "dirty_with_300_snapshots";
            if has_bitmaps || is_repaired_with_snapshots {
                assert!(watched.read.get() < 1 << 20, "{}", specimen.name);
                continue;
            }
            let cluster_bits = content.read(23, 1).unwrap()[0];
            assert_eq!(watched.end.get(), 1 << cluster_bits, "{}", specimen.name);
        }
    }
}

/// Changes to a header and what is behind it, most of them to fields, some to any byte.
fn mutations() -> impl Strategy<Value = Vec<(usize, Vec<u8>)>> {
    let value = prop_oneof![
        Just(vec![0; 8]),
        Just(vec![0xff; 8]),
        (0..64_u32).prop_map(|bit| (1_u64 << bit).to_be_bytes().to_vec()),
        proptest::collection::vec(any::<u8>(), 1..8),
    ];
    let place = prop_oneof![(0..30_usize).prop_map(|word| 4 * word), 0..0x240_usize];
    proptest::collection::vec((place, value), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn accepted_mutated_headers_keep_the_rules(
        mutations in mutations(),
        is_v3 in any::<bool>(),
        backing in proptest::option::of("[a/.:-]{0,6}"),
    ) {
        let image = if is_v3 { Qcow2::v3() } else { Qcow2::v2() };
        let image = match &backing {
            Some(name) => image.on(name, "qcow2"),
            None => image,
        };
        let image = mutations.iter().fold(image, |image, (place, bytes)| image.put(*place, bytes));
        let content = Content::from(image);
        let watched = Watched::new(&content);
        let header = ImageHeader::parse(&watched, content.len());
        // A header is read twice over, once for its fields. No mutation makes a list of bitmaps or snapshots.
        prop_assert!(watched.read.get() <= (2 << 20) + 112);
        if let Ok(header) = header {
            // What any reader of the format would take for a reach beyond the file is not in an accepted header.
            let field = |offset, len| {
                let bytes = content.read(offset, len).unwrap();
                bytes.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte))
            };
            let is_v3 = field(4, 4) == 3;
            prop_assert_eq!(is_v3 && field(72, 8) & !0b11001 != 0, false);
            prop_assert_eq!(is_v3 && field(88, 8) & 2 != 0, false);
            prop_assert_eq!(field(32, 4), 0);
            prop_assert_eq!(field(8, 8) != 0, header.backing.is_some());
            prop_assert_eq!(field(24, 8), header.virtual_size);
            let l1_len = 8 * field(36, 4);
            prop_assert!(l1_len == 0 || field(40, 8) + l1_len <= content.len());
            prop_assert!(!content.read(0, 512).unwrap().windows(4).any(|bytes| bytes == b"DATA"));
        }
    }

    #[test]
    fn header_parsing_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..2048), claimed in any::<u64>()) {
        let source: &[u8] = &bytes;
        let _: Result<_, _> = ImageHeader::parse(&source, source.len() as u64);
        prop_assert!(ImageHeader::parse(&source, claimed.max(64 << 10)).is_err());
    }
}
