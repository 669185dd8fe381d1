//! Features that change what the rest of the file means, and where its data is.

use crate::{Qcow2, Specimen, at, extension};

pub(super) fn all() -> Vec<Specimen> {
    let on_shadow = |image: Qcow2| image.extension(extension::DATA_FILE, b"/etc/shadow");
    let crypt = |method| Qcow2::v3().u32(at::CRYPT_METHOD, method);
    let compression = |kind: u8| Qcow2::v3().header_length(112).put(at::COMPRESSION_TYPE, &[kind]);
    let refused = Specimen::refused;
    vec![
        refused("feature_5", "incompatible_feature", Qcow2::v3().feature(5)),
        refused("feature_32", "incompatible_feature", Qcow2::v3().feature(32)),
        refused("feature_63", "incompatible_feature", Qcow2::v3().feature(63)),
        refused("marked_corrupt", "corrupt", Qcow2::v3().feature(1)),
        refused("marked_corrupt_and_dirty", "corrupt", Qcow2::v3().feature(1).feature(0)),
        refused("data_file", "external_data_file", on_shadow(Qcow2::v3().feature(2))),
        refused("data_file_bit_alone", "external_data_file", Qcow2::v3().feature(2)),
        refused("data_file_name_alone", "external_data_file", on_shadow(Qcow2::v3())),
        refused("data_file_name_in_version_2", "external_data_file", on_shadow(Qcow2::v2())),
        refused(
            "data_file_name_of_no_bytes",
            "external_data_file",
            Qcow2::v3().extension(extension::DATA_FILE, b""),
        ),
        refused(
            "data_file_by_json",
            "external_data_file",
            Qcow2::v3()
                .feature(2)
                .extension(extension::DATA_FILE, br#"json:{"driver":"file","filename":"/etc/shadow"}"#),
        ),
        refused(
            "data_file_name_behind_other_extensions",
            "external_data_file",
            on_shadow(Qcow2::v3().extension(extension::UNKNOWN, b"12345").extension(extension::UNKNOWN, b"")),
        ),
        refused(
            "raw_data_file",
            "external_data_file",
            on_shadow(Qcow2::v3().feature(2).bit(at::AUTOCLEAR_FEATURES, 1)),
        ),
        refused("raw_data_file_bit_alone", "external_data_file", Qcow2::v3().bit(at::AUTOCLEAR_FEATURES, 1)),
        refused("zstd_without_its_feature", "compression_type", compression(1)),
        refused("compression_feature_with_zlib", "compression_type", compression(0).feature(3)),
        refused("compression_of_type_2", "compression_type", compression(2).feature(3)),
        refused("compression_of_type_255", "compression_type", compression(255)),
        refused(
            "compression_feature_in_a_header_too_short_for_it",
            "compression_type",
            Qcow2::v3().feature(3),
        ),
        refused("encrypted_by_aes", "encryption", crypt(1)),
        refused("encrypted_by_luks", "encryption", crypt(2)),
        refused("encrypted_by_method_3", "encryption", crypt(3)),
        refused(
            "encryption_header_alone",
            "encryption",
            Qcow2::v3().extension(extension::ENCRYPTION, &[0; 16]),
        ),
        refused("version_2_encrypted_by_aes", "encryption", Qcow2::v2().u32(at::CRYPT_METHOD, 1)),
    ]
}
