//! Lengths, versions and cluster sizes that cannot be.

use crate::{Content, Qcow2, Specimen, at};

pub(super) fn all() -> Vec<Specimen> {
    let cut = |len| Content::from(Qcow2::v3()).cut(len);
    let version = |version| Qcow2::v3().u32(at::VERSION, version);
    let cluster_bits = |bits| Qcow2::v3().u32(at::CLUSTER_BITS, bits);
    let length = |len| Qcow2::v3().u32(at::HEADER_LENGTH, len);
    let refcount_order = |order| Qcow2::v3().u32(at::REFCOUNT_ORDER, order);
    let refused = Specimen::refused;
    vec![
        Specimen::refused("magic_alone", "truncated", cut(4)),
        Specimen::refused("cut_in_the_header", "truncated", cut(100)),
        Specimen::refused("cut_before_the_end_of_the_first_cluster", "truncated", cut(0xffff)),
        refused("version_0", "version", version(0)),
        refused("version_1_is_qcow", "not_qcow2", version(1)),
        refused("version_4", "version", version(4)),
        refused("version_of_all_ones", "version", version(u32::MAX)),
        refused("clusters_of_1_byte", "cluster_size", cluster_bits(0)),
        refused("clusters_of_256_bytes", "cluster_size", cluster_bits(8)),
        refused("clusters_of_4_mib", "cluster_size", cluster_bits(22)),
        refused("clusters_of_8_eib", "cluster_size", cluster_bits(63)),
        refused("clusters_wider_than_a_word", "cluster_size", cluster_bits(64)),
        refused("cluster_bits_of_all_ones", "cluster_size", cluster_bits(u32::MAX)),
        refused("small_clusters_with_extended_l2", "cluster_size", cluster_bits(13).feature(4)),
        refused("header_of_0_bytes", "header_length", length(0)),
        refused("header_as_long_as_version_2", "header_length", length(72)),
        refused("header_of_100_bytes", "header_length", length(100)),
        refused("header_of_105_bytes", "header_length", length(105)),
        refused("header_of_108_bytes", "header_length", length(108)),
        refused("header_longer_than_the_cluster", "header_length", length(0x1_0008)),
        refused("header_of_nearly_4_gib", "header_length", length(0xffff_fff8)),
        refused("refcounts_of_128_bits", "refcount_width", refcount_order(7)),
        refused("refcounts_wider_than_a_word", "refcount_width", refcount_order(64)),
        refused("refcount_order_of_all_ones", "refcount_width", refcount_order(u32::MAX)),
    ]
}
