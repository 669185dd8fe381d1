//! Files of other formats that are declared as qcow2.

use crate::{Content, Specimen};

pub(super) fn all() -> Vec<Specimen> {
    let refused = |name, content| Specimen::refused(name, "not_qcow2", content);
    let starting = |bytes: &[u8]| Content::zeroes(4 << 20).with(0, bytes);
    let at = |offset, bytes: &[u8]| Content::zeroes(4 << 20).with(offset, bytes);
    let flat_on_shadow = b"# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n\
        createType=\"monolithicFlat\"\n\nRW 8 FLAT \"/etc/shadow\" 0\n";
    vec![
        refused("nothing_at_all", Content::zeroes(0)),
        refused("one_byte", Content::zeroes(1)),
        refused("zeroes", Content::zeroes(4 << 20)),
        refused("a_script", starting(b"#!/bin/sh\nexec sh\n")),
        refused("magic_in_the_second_sector", at(512, b"QFI\xfb\0\0\0\x03")),
        refused("magic_the_other_way_round", starting(b"\xfbIFQ\x03\0\0\0")),
        refused("qed", starting(b"QED\0\0\0\x01\0")),
        refused("vmdk_of_one_file", starting(b"KDMV\x01\0\0\0").with(0x200, &flat_on_shadow[..])),
        refused("vmdk_of_a_file_of_the_host", starting(flat_on_shadow)),
        refused("vmdk_of_an_old_esx", starting(b"COWD\x01\0\0\0")),
        refused("vmdk_with_another_footer", {
            let footer = [&b"KDMV\x01\0\0\0"[..], &[0; 504]].concat();
            starting(b"KDMV\x03\0\0\0").with(56, u64::MAX.to_le_bytes()).with((4 << 20) - 1024, footer)
        }),
        refused("vhd_that_grows", starting(b"conectix").with(60, 3_u32.to_be_bytes())),
        refused("vhd_on_a_parent", starting(b"conectix").with(60, 4_u32.to_be_bytes())),
        refused("vhd_of_fixed_size", at((4 << 20) - 512, b"conectix")),
        refused("vhdx", starting(b"vhdxfile")),
        refused("vhdx_on_a_parent", starting(b"vhdxfile").with(0x3_0000, &b"regi"[..])),
        refused("vdi", at(0x40, b"\x7f\x10\xda\xbe")),
        refused("luks", starting(b"LUKS\xba\xbe\0\x01")),
        refused("parallels", starting(b"WithoutFreeSpace")),
        refused("iso9660", at(0x8001, b"CD001")),
        refused("gpt", at(0x1fe, b"\x55\xaa").with(0x200, &b"EFI PART"[..])),
        refused("mbr", at(0x1fe, b"\x55\xaa")),
    ]
}
