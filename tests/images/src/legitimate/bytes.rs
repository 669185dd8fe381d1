//! Images that no tool at hand makes any more, or yet, and those that only look dangerous.

use crate::{Content, Qcow2, Specimen, VOLUME, Verdict, at, extension};

/// All of them.
#[must_use]
pub fn all() -> Vec<Specimen> {
    let accepted = |name, image: Qcow2| {
        Specimen::of_files(name, Verdict::Accepted { layers: 1 }, [(VOLUME, image.into())])
    };
    let on_base = |name, image: Qcow2, base: Content| {
        let files = [(VOLUME, image.into()), ("base", base)];
        Specimen::of_files(name, Verdict::Accepted { layers: 2 }, files)
    };
    let mut all = vec![
        accepted("plain_version_2", Qcow2::v2()),
        accepted("plain_version_3", Qcow2::v3()),
        accepted("closed_by_a_crash", Qcow2::v3().feature(0)),
        accepted("unknown_compatible_feature", Qcow2::v3().bit(at::COMPATIBLE_FEATURES, 63)),
        accepted("unknown_autoclear_feature", Qcow2::v3().bit(at::AUTOCLEAR_FEATURES, 63)),
        accepted("unknown_header_fields", Qcow2::v3().header_length(128).put(112, &[7; 16])),
        accepted("unknown_extension", Qcow2::v3().extension(extension::UNKNOWN, b"12345")),
        accepted(
            "version_2_with_an_extension_where_version_3_has_marks",
            Qcow2::v2().extension(extension::UNKNOWN, &[0xff; 32]),
        ),
        accepted(
            "format_of_a_backing_file_that_is_gone",
            Qcow2::v3().extension(extension::BACKING_FORMAT, b"raw"),
        ),
        accepted("largest_disk_of_its_l1_table", Qcow2::v3().u64(at::SIZE, 512 << 20)),
        accepted("disk_of_no_bytes", Qcow2::v3().u64(at::SIZE, 0).u32(at::L1_SIZE, 0)),
        accepted("bitmaps_that_an_old_qemu_left_behind", {
            let image = Qcow2::v3().bitmaps(0, u64::MAX, 1);
            image.u64(at::AUTOCLEAR_FEATURES, 0)
        }),
        accepted("guest_data_where_an_iso9660_starts", {
            let small_clusters = Qcow2::v3().u32(at::CLUSTER_BITS, 12);
            small_clusters.put(0x8001, b"CD001")
        }),
        accepted("guest_data_that_looks_like_an_iso9660", Qcow2::v3().put(0x1_8001, b"CD001")),
        on_base(
            "version_2_with_a_format_where_version_3_has_features",
            Qcow2::v2().on("base", "qcow2"),
            Qcow2::v2().into(),
        ),
        on_base(
            "raw_base_that_looks_like_a_hostile_qcow2",
            Qcow2::v3().on("base", "raw"),
            Qcow2::v3().on("/etc/shadow", "raw").into(),
        ),
        on_base("raw_base_of_no_bytes", Qcow2::v3().on("base", "raw"), Content::zeroes(0)),
        Specimen::of_files(
            "image_that_a_person_named_on_a_volume",
            Verdict::Accepted { layers: 2 },
            [("disk", Qcow2::v3().on(VOLUME, "qcow2").into()), (VOLUME, Qcow2::v3().into())],
        ),
        on_longest_name(),
        deep(200),
    ];
    all.extend(crate::costly::legitimate());
    all.extend(declared_raw());
    all
}

/// A backing file's name as long as it may be, and as far behind as it fits.
fn on_longest_name() -> Specimen {
    let name = vec!["n".repeat(255); 4].join("/");
    let len = u32::try_from(name.len()).expect("it is 1023");
    let end_of_cluster = 0x1_0000;
    let image = Qcow2::v3()
        .extension(extension::BACKING_FORMAT, b"raw")
        .u64(at::BACKING_FILE_OFFSET, u64::from(end_of_cluster - len))
        .u32(at::BACKING_FILE_SIZE, len)
        .put((end_of_cluster - len) as usize, name.as_bytes());
    let files = [(VOLUME, image.into()), (&name, Content::zeroes(1 << 20))];
    Specimen::of_files("longest_name_at_the_end_of_its_cluster", Verdict::Accepted { layers: 2 }, files)
}

/// What a guest may write to the start of its raw disk.
fn declared_raw() -> Vec<Specimen> {
    let disk = Content::zeroes(4 << 20);
    [
        ("raw_disk_of_zeroes", disk.clone()),
        ("raw_disk_of_no_bytes", Content::zeroes(0)),
        ("raw_disk_with_gpt", disk.clone().with(0x1fe, &b"\x55\xaaEFI PART"[..])),
        ("raw_disk_that_is_an_iso9660", disk.clone().with(0x8001, &b"CD001"[..])),
        ("raw_disk_that_is_luks", disk.clone().with(0, &b"LUKS\xba\xbe\0\x01"[..])),
        ("raw_disk_that_is_qed", disk.with(0, &b"QED\0"[..])),
        ("raw_disk_that_is_a_hostile_qcow2", Qcow2::v3().feature(2).on("/etc/shadow", "raw").into()),
    ]
    .map(|(name, content)| {
        let files = [(VOLUME, content)];
        let specimen = Specimen::of_files(name, Verdict::Accepted { layers: 1 }, files);
        Specimen { format: "raw", ..specimen }
    })
    .into()
}

/// A volume with all its snapshots: so many files, each on the next.
#[must_use]
pub fn deep(layers: usize) -> Specimen {
    let name = |layer| format!("{VOLUME}.{layer}");
    let files = (1..=layers).map(|layer| {
        let image = Qcow2::v3();
        let is_last = layer == layers;
        let image = if is_last { image } else { image.on(name(layer + 1), "qcow2") };
        // A file of its tables alone, since there are many.
        (name(layer), Content::from(image).cut(4 * 0x1_0000))
    });
    Specimen {
        name: "as_deep_as_libvirt_follows",
        format: "qcow2",
        files: files.collect(),
        verdict: Verdict::Accepted { layers },
    }
}
