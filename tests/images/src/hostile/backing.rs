//! Backing files beyond the share, and backing files of a format that somebody would have to guess.

use crate::{Content, Qcow2, Specimen, VOLUME, Verdict, at, extension};

pub(super) fn all() -> Vec<Specimen> {
    [names(), places(), formats()].concat()
}

/// A name, over a file that would be found by it if it were accepted.
fn named(name: &'static str, text: impl AsRef<[u8]>) -> Specimen {
    Specimen::refused(name, "backing_name", Qcow2::v3().on(text, "raw"))
}

fn names() -> Vec<Specimen> {
    vec![
        named("on_a_file_of_the_host", "/etc/hostname"),
        named("on_a_device_of_the_host", "/dev/sda"),
        named("on_two_slashes", "//etc/hostname"),
        named("on_the_directory_above", "../base"),
        named("on_the_directory_above_by_a_detour", "cache/../../base"),
        named("on_another_users_volume_by_its_mount", "../93ebb11c53e18e5d2fa3ca60f647e18c/base"),
        named("on_the_process_own_files", "/proc/self/fd/3"),
        named("on_its_own_directory", "."),
        named("on_the_directory_above_itself", ".."),
        named("on_a_name_of_no_bytes", ""),
        named("on_json", r#"json:{"driver":"file","filename":"/etc/hostname"}"#),
        named("on_json_of_a_share", r#"json:{"file.driver":"nbd","file.host":"192.0.2.1"}"#),
        named("on_nbd", "nbd://192.0.2.1/disk"),
        named("on_a_socket_by_nbd", "nbd:unix:/run/libvirt/libvirt-sock"),
        named("on_http", "http://192.0.2.1/disk"),
        named("on_https", "https://192.0.2.1/disk"),
        named("on_ssh", "ssh://root@192.0.2.1/disk"),
        named("on_a_protocol_for_files", "file:/etc/hostname"),
        named("on_a_descriptor", "fd:3"),
        named("on_a_directory_as_fat", "fat:rw:/etc"),
        named("on_a_debugging_protocol", "blkdebug::/etc/hostname"),
        named("on_a_relative_protocol", "file:base"),
        named("on_another_option", "base,file.filename=/etc/hostname"),
        named("on_an_option", "-drive"),
        named("on_a_name_with_nul", "base\0/../../etc/hostname"),
        named("on_a_name_of_two_lines", "base\n/etc/hostname"),
        named("on_a_name_that_is_not_text", b"base\xff"),
        named("on_a_component_of_256_bytes", "n".repeat(256)),
    ]
}

/// Names whose length or place is wrong.
fn places() -> Vec<Specimen> {
    let placed = |name, offset, len| {
        let image = Qcow2::v3()
            .on("base", "raw")
            .u64(at::BACKING_FILE_OFFSET, offset)
            .u32(at::BACKING_FILE_SIZE, len);
        Specimen::refused(name, "backing_name", image)
    };
    vec![
        named("on_a_name_of_1024_bytes", "n".repeat(1024)),
        placed("on_a_name_of_4_gib", 0x200, u32::MAX),
        placed("on_a_name_behind_the_end", 1 << 40, 4),
        placed("on_a_name_at_the_end_of_all_numbers", u64::MAX, 4),
        placed("on_a_name_in_the_second_cluster", 0x1_0000, 4),
        placed("on_a_name_across_the_first_cluster", 0xfffe, 4),
        placed("on_a_name_in_the_header", 8, 4),
        placed("on_a_name_in_the_magic", 1, 3),
    ]
}

fn formats() -> Vec<Specimen> {
    let refused = |name, image: Qcow2| {
        let files = [(VOLUME, image.into()), ("base", Content::zeroes(1 << 20))];
        Specimen::of_files(name, Verdict::Refused("backing_format"), files)
    };
    let format = |format| Qcow2::v3().on("base", format);
    vec![
        refused("on_an_unknown_format", Qcow2::v3().on_unknown_format("base")),
        refused("on_an_unknown_format_in_version_2", Qcow2::v2().on_unknown_format("base")),
        refused("on_vmdk", format("vmdk")),
        refused("on_luks", format("luks")),
        refused("on_a_format_in_capitals", format("QCOW2")),
        refused("on_a_format_of_no_bytes", format("")),
        refused("on_a_format_with_nul", format("raw\0")),
        refused("on_a_format_that_is_a_protocol", format("nbd")),
        refused("on_a_format_that_is_a_driver_of_files", format("file")),
        refused(
            "on_two_formats",
            Qcow2::v3().extension(extension::BACKING_FORMAT, b"raw").on("base", "qcow2"),
        ),
        refused("on_a_format_behind_the_end_mark", {
            let image = Qcow2::v3().extension(0, b"").extension(extension::BACKING_FORMAT, b"raw");
            image.on_unknown_format("base")
        }),
        refused("on_a_format_behind_the_name", {
            let image = Qcow2::v3().on_unknown_format("base");
            image.u32(0x210, extension::BACKING_FORMAT).u32(0x214, 3).put(0x218, b"raw")
        }),
    ]
}
