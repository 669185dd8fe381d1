//! Extensions that do not lie one behind the other up to an end.

use crate::{Qcow2, Specimen, at, extension};

pub(super) fn all() -> Vec<Specimen> {
    let claiming = |len| Qcow2::v3().extension_claiming(extension::UNKNOWN, len, b"");
    let refused = |name, image| Specimen::refused(name, "header_extension", image);
    vec![
        refused("extension_of_4_gib", claiming(u32::MAX)),
        refused("extension_whose_padding_overflows", claiming(u32::MAX - 7)),
        refused("extension_longer_than_the_cluster", claiming(0x1_0000)),
        refused("extension_to_the_end_of_the_cluster", claiming(0x1_0000 - 112)),
        refused("extension_into_the_backing_name", claiming(0x200 - 112 + 1).on_unknown_format(b"base")),
        refused("extensions_up_to_the_backing_name", claiming(0x200 - 112).on_unknown_format(b"base")),
        refused("extensions_without_an_end", {
            let image = Qcow2::v3();
            (104..0x1_0000).step_by(8).fold(image, |image, place| image.u32(place, extension::UNKNOWN))
        }),
        refused("end_mark_with_a_length", Qcow2::v3().extension(0, b"1234")),
        refused("version_2_end_mark_where_version_3_has_a_data_file", Qcow2::v2().extension(0, b"1234")),
        refused("bitmaps_of_no_bytes", Qcow2::v3().extension(extension::BITMAPS, b"")),
        refused("bitmaps_of_25_bytes", Qcow2::v3().extension(extension::BITMAPS, &[1; 25])),
        refused(
            "version_2_extension_of_4_gib",
            Qcow2::v2().extension_claiming(extension::UNKNOWN, u32::MAX, b""),
        ),
        refused(
            "backing_name_that_cuts_an_extension_head",
            Qcow2::v3()
                .extension(extension::UNKNOWN, b"")
                .u64(at::BACKING_FILE_OFFSET, 116)
                .u32(at::BACKING_FILE_SIZE, 4),
        ),
    ]
}
