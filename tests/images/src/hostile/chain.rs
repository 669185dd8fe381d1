//! Chains that are wrong only below the file that is handed over.

use crate::{Content, Qcow2, Specimen, VOLUME, Verdict, extension};

const OTHER_VOLUME: &str = "volume-0f6ad1de-57d1-4f3a-a7be-3e0c3b2a9d44";
const OTHERS_SNAPSHOT: &str =
    "volume-0f6ad1de-57d1-4f3a-a7be-3e0c3b2a9d44.9a8b7c6d-1111-4222-8333-0123456789ab";

pub(super) fn all() -> Vec<Specimen> {
    let refused = |name, rule, files: &[(&str, Qcow2)]| {
        let files = files.iter().map(|(path, image)| (*path, Content::from(image.clone())));
        Specimen::of_files(name, Verdict::Refused(rule), files)
    };
    let on = |name, format| Qcow2::v3().on(name, format);
    vec![
        refused("on_itself", "chain_loop", &[(VOLUME, on(VOLUME, "qcow2"))]),
        refused("on_itself_as_raw", "chain_loop", &[(VOLUME, on(VOLUME, "raw"))]),
        refused(
            "on_a_file_that_is_on_it",
            "chain_loop",
            &[(VOLUME, on("base", "qcow2")), ("base", on(VOLUME, "qcow2"))],
        ),
        refused(
            "on_a_loop_further_down",
            "chain_loop",
            &[(VOLUME, on("a", "qcow2")), ("a", on("b", "qcow2")), ("b", on("a", "qcow2"))],
        ),
        refused(
            "base_with_a_data_file",
            "external_data_file",
            &[
                (VOLUME, on("base", "qcow2")),
                ("base", Qcow2::v3().feature(2).extension(extension::DATA_FILE, b"/etc/shadow")),
            ],
        ),
        refused(
            "base_on_a_file_of_the_host",
            "backing_name",
            &[(VOLUME, on("base", "qcow2")), ("base", on("/etc/shadow", "raw"))],
        ),
        refused(
            "base_on_an_unknown_format",
            "backing_format",
            &[(VOLUME, on("base", "qcow2")), ("base", Qcow2::v3().on_unknown_format("deeper"))],
        ),
        refused(
            "base_in_a_directory_on_a_file_above_it",
            "backing_name",
            &[(VOLUME, on("cache/base", "qcow2")), ("cache/base", on("../top", "raw"))],
        ),
        refused(
            "base_that_is_corrupt",
            "corrupt",
            &[(VOLUME, on("base", "qcow2")), ("base", Qcow2::v3().feature(1))],
        ),
        Specimen::of_files(
            "base_that_is_raw_and_declared_as_qcow2",
            Verdict::Refused("not_qcow2"),
            [(VOLUME, on("base", "qcow2").into()), ("base", Content::zeroes(1 << 20))],
        ),
        Specimen::of_files("base_that_is_not_there", Verdict::Missing, [(VOLUME, on("base", "raw").into())]),
        Specimen::of_files(
            "base_that_is_beside_its_overlays_directory",
            Verdict::Missing,
            [
                (VOLUME, on("cache/base", "qcow2").into()),
                ("cache/base", on("deeper", "raw").into()),
                ("deeper", Content::zeroes(1 << 20)),
            ],
        ),
        Specimen::of_files(
            "base_that_is_not_there_and_looks_like_a_way_out",
            Verdict::Missing,
            [(VOLUME, on("%2e%2e%2fbase", "raw").into()), ("base", Content::zeroes(1 << 20))],
        ),
        refused(
            "on_another_volume",
            "another_volume",
            &[(VOLUME, on(OTHER_VOLUME, "qcow2")), (OTHER_VOLUME, Qcow2::v3())],
        ),
        refused(
            "on_another_volumes_snapshot_by_a_detour",
            "another_volume",
            &[
                (VOLUME, on("base", "qcow2")),
                ("base", on(OTHERS_SNAPSHOT, "qcow2")),
                (OTHERS_SNAPSHOT, Qcow2::v3()),
            ],
        ),
        deep(300),
        deep(201),
    ]
}

/// So many files, each on the next.
fn deep(layers: usize) -> Specimen {
    let mut specimen = crate::legitimate::deep(layers);
    specimen.name = if layers == 201 { "chain_of_201_files" } else { "chain_of_300_files" };
    specimen.verdict = Verdict::Refused("chain_depth");
    specimen
}
