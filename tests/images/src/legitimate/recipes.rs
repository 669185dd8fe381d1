//! Images as Cinder's Quobyte driver, QEMU and operators make them, by the same commands.

/// How an image is made, to be run by a shell in the share's directory.
#[derive(Debug, Clone, Copy)]
pub struct Recipe {
    /// A name of its own, in `snake_case`.
    pub name: &'static str,
    /// The declared format, `raw` or `qcow2`.
    pub format: &'static str,
    /// Commands, one a line. What they make is called `volume`, its snapshots `volume.1` and on; the last one made is
    /// handed over.
    pub script: &'static str,
    /// The path of the file that is handed over.
    pub top: &'static str,
    /// The files in its chain.
    pub layers: usize,
    /// The size of its disk in bytes.
    pub virtual_size: u64,
}

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

const fn volume(name: &'static str, script: &'static str, virtual_size: u64) -> Recipe {
    Recipe { name, format: "qcow2", script, top: "volume", layers: 1, virtual_size }
}

const fn chain(name: &'static str, top: &'static str, layers: usize, script: &'static str) -> Recipe {
    Recipe { top, layers, ..volume(name, script, GIB) }
}

/// All of them.
#[must_use]
pub fn all() -> Vec<Recipe> {
    [&raw_volumes()[..], &CINDER_CHAINS, &QEMU_OPTIONS, &QEMU_HISTORIES].concat()
}

fn raw_volumes() -> Vec<Recipe> {
    [
        volume("sparse_raw_volume", "truncate -s 1G volume", GIB),
        volume("allocated_raw_volume", "fallocate -l 8MiB volume", 8 * MIB),
        volume("raw_volume_by_qemu_img", "qemu-img create -f raw $PWD/volume 1G", GIB),
        volume(
            "raw_volume_with_a_qcow2_in_it",
            "qemu-img create -f qcow2 $PWD/volume 1G
            truncate -s 8M volume",
            8 * MIB,
        ),
    ]
    .map(|recipe| Recipe { format: "raw", ..recipe })
    .into()
}

/// Snapshots and volumes made from snapshots.
const CINDER_CHAINS: [Recipe; 11] = [
    chain(
        "snapshot_of_a_raw_volume",
        "volume.1",
        2,
        r#"truncate -s 1G volume
        qemu-img create -f qcow2 -o backing_file="$PWD/volume",backing_fmt=raw $PWD/volume.1 1G
        qemu-img rebase -u -f qcow2 -b volume -F raw $PWD/volume.1"#,
    ),
    chain(
        "snapshot_of_a_qcow2_volume",
        "volume.1",
        2,
        r#"qemu-img create -f qcow2 -o preallocation=metadata $PWD/volume 1073741824
        qemu-img create -f qcow2 -o backing_file="$PWD/volume",backing_fmt=qcow2 $PWD/volume.1 1G
        qemu-img rebase -u -f qcow2 -b volume -F qcow2 $PWD/volume.1"#,
    ),
    chain(
        "twelve_snapshots",
        "volume.12",
        13,
        r#"qemu-img create -f qcow2 -o preallocation=metadata $PWD/volume.0 1G
        for n in $(seq 12); do
            qemu-img create -f qcow2 -o backing_file="$PWD/volume.$((n - 1))",backing_fmt=qcow2 $PWD/volume.$n 1G
            qemu-img rebase -u -f qcow2 -b volume.$((n - 1)) -F qcow2 $PWD/volume.$n
        done"#,
    ),
    chain(
        "volume_on_a_cached_snapshot",
        "volume",
        2,
        "mkdir volume_from_snapshot_cache
        qemu-img create -f qcow2 $PWD/source 1G
        qemu-img convert -f qcow2 -O qcow2 $PWD/source $PWD/volume_from_snapshot_cache/9a8b7c6d
        qemu-img create -f qcow2 -o backing_file=volume_from_snapshot_cache/9a8b7c6d,backing_fmt=qcow2 $PWD/volume 1G",
    ),
    chain(
        "snapshot_of_a_volume_on_a_cached_snapshot",
        "volume.1",
        3,
        r#"mkdir volume_from_snapshot_cache
        qemu-img create -f qcow2 $PWD/volume_from_snapshot_cache/9a8b7c6d 1G
        qemu-img create -f qcow2 -o backing_file=volume_from_snapshot_cache/9a8b7c6d,backing_fmt=qcow2 $PWD/volume 1G
        qemu-img create -f qcow2 -o backing_file="$PWD/volume",backing_fmt=qcow2 $PWD/volume.1 1G
        qemu-img rebase -u -f qcow2 -b volume -F qcow2 $PWD/volume.1"#,
    ),
    chain(
        "copy_of_a_cached_snapshot",
        "volume",
        1,
        "mkdir volume_from_snapshot_cache
        qemu-img create -f qcow2 $PWD/volume_from_snapshot_cache/9a8b7c6d 1G
        cp volume_from_snapshot_cache/9a8b7c6d volume
        fallocate -l 8M volume",
    ),
    chain(
        "clone_of_a_snapshot",
        "volume",
        1,
        "truncate -s 1G source
        qemu-img create -f qcow2 -b source -F raw $PWD/source.1
        qemu-img convert -f qcow2 -O qcow2 $PWD/source.1 $PWD/volume",
    ),
    chain(
        "last_snapshot_deleted",
        "volume",
        1,
        "qemu-img create -f qcow2 $PWD/volume 1G
        qemu-img create -f qcow2 -b volume -F qcow2 $PWD/volume.1
        qemu-io -f qcow2 -c 'write 0 1M' volume.1
        qemu-img commit -f qcow2 $PWD/volume.1
        rm volume.1",
    ),
    chain(
        "middle_snapshot_deleted",
        "volume.2",
        2,
        "qemu-img create -f qcow2 $PWD/volume 1G
        qemu-img create -f qcow2 -b volume -F qcow2 $PWD/volume.1
        qemu-img create -f qcow2 -b volume.1 -F qcow2 $PWD/volume.2
        qemu-img commit -f qcow2 $PWD/volume.1
        qemu-img rebase -u -f qcow2 -b volume -F qcow2 $PWD/volume.2
        rm volume.1",
    ),
    chain(
        "snapshot_extended",
        "volume.1",
        2,
        "qemu-img create -f qcow2 $PWD/volume 512M
        qemu-img create -f qcow2 -b volume -F qcow2 $PWD/volume.1
        qemu-img resize -f qcow2 $PWD/volume.1 1G",
    ),
    chain(
        "snapshot_taken_by_nova",
        "volume.tmp-snap-9a8b7c6d",
        2,
        r#"truncate -s 1G volume
        qemu-img create -f qcow2 -o backing_file="$PWD/volume",backing_fmt=raw $PWD/volume.tmp-snap-9a8b7c6d 1G
        qemu-img rebase -u -f qcow2 -b volume -F raw $PWD/volume.tmp-snap-9a8b7c6d"#,
    ),
];

/// Everything that may be asked of `qemu-img create`.
const QEMU_OPTIONS: [Recipe; 14] = [
    volume(
        "volume_of_cinder",
        "qemu-img create -f qcow2 -o preallocation=metadata $PWD/volume 1073741824",
        GIB,
    ),
    volume("plain_volume", "qemu-img create -f qcow2 $PWD/volume 1G", GIB),
    volume("allocated_volume", "qemu-img create -f qcow2 -o preallocation=falloc $PWD/volume 8M", 8 * MIB),
    volume("written_volume", "qemu-img create -f qcow2 -o preallocation=full $PWD/volume 8M", 8 * MIB),
    volume("version_2_by_qemu_img", "qemu-img create -f qcow2 -o compat=0.10 $PWD/volume 1G", GIB),
    volume("clusters_of_512_bytes", "qemu-img create -f qcow2 -o cluster_size=512 $PWD/volume 1G", GIB),
    volume("clusters_of_4_kib", "qemu-img create -f qcow2 -o cluster_size=4k $PWD/volume 1G", GIB),
    volume("clusters_of_2_mib", "qemu-img create -f qcow2 -o cluster_size=2M $PWD/volume 1G", GIB),
    volume("extended_l2_entries", "qemu-img create -f qcow2 -o extended_l2=on $PWD/volume 1G", GIB),
    volume("refcounts_of_1_bit", "qemu-img create -f qcow2 -o refcount_bits=1 $PWD/volume 1G", GIB),
    volume("refcounts_of_64_bits", "qemu-img create -f qcow2 -o refcount_bits=64 $PWD/volume 1G", GIB),
    volume("lazy_refcounts", "qemu-img create -f qcow2 -o lazy_refcounts=on $PWD/volume 1G", GIB),
    volume("disk_of_64_tib", "qemu-img create -f qcow2 $PWD/volume 64T", 64 << 40),
    volume("disk_of_no_bytes_by_qemu_img", "qemu-img create -f qcow2 $PWD/volume 0", 0),
];

/// What may have happened to an image before it is handed over.
const QEMU_HISTORIES: [Recipe; 16] = [
    volume(
        "written_to",
        "qemu-img create -f qcow2 $PWD/volume 1G
        qemu-io -f qcow2 -c 'write -P 1 0 1M' -c 'write -P 2 1000M 64k' volume",
        GIB,
    ),
    volume(
        "killed_while_it_was_written",
        "qemu-img create -f qcow2 -o lazy_refcounts=on $PWD/volume 1G
        qemu-io -f qcow2 -c 'write 0 1M' -c abort volume || [ $? -eq 134 ]",
        GIB,
    ),
    volume(
        "compressed_with_zlib",
        "truncate -s 8M source
        qemu-img convert -f raw -O qcow2 -c $PWD/source $PWD/volume",
        8 * MIB,
    ),
    volume(
        "compressed_with_zstd",
        "truncate -s 8M source
        qemu-img convert -f raw -O qcow2 -c -o compression_type=zstd $PWD/source $PWD/volume",
        8 * MIB,
    ),
    volume(
        "extended",
        "qemu-img create -f qcow2 -o preallocation=metadata $PWD/volume 512M
        qemu-img resize -f qcow2 $PWD/volume 1G",
        GIB,
    ),
    volume(
        "extended_until_its_l1_table_moved",
        "qemu-img create -f qcow2 $PWD/volume 1G
        qemu-io -f qcow2 -c 'write 0 64k' volume
        qemu-img resize -f qcow2 $PWD/volume 8T",
        8 << 40,
    ),
    volume(
        "shrunk",
        "qemu-img create -f qcow2 $PWD/volume 2G
        qemu-img resize -f qcow2 --shrink $PWD/volume 1G",
        GIB,
    ),
    volume(
        "internal_snapshots",
        "qemu-img create -f qcow2 $PWD/volume 1G
        image=driver=qcow2,file.driver=file,file.filename=$PWD/volume
        for n in $(seq 20); do qemu-img snapshot --image-opts -c $n $image; done",
        GIB,
    ),
    volume(
        "internal_snapshot_deleted",
        "qemu-img create -f qcow2 $PWD/volume 1G
        image=driver=qcow2,file.driver=file,file.filename=$PWD/volume
        qemu-img snapshot --image-opts -c 1 $image
        qemu-img snapshot --image-opts -d 1 $image",
        GIB,
    ),
    volume(
        "persistent_bitmaps",
        "qemu-img create -f qcow2 $PWD/volume 1G
        qemu-img bitmap --add -f qcow2 $PWD/volume daily
        qemu-img bitmap --add -f qcow2 $PWD/volume weekly",
        GIB,
    ),
    volume(
        "bitmap_removed",
        "qemu-img create -f qcow2 $PWD/volume 1G
        qemu-img bitmap --add -f qcow2 $PWD/volume daily
        qemu-img bitmap --remove -f qcow2 $PWD/volume daily",
        GIB,
    ),
    volume(
        "upgraded_to_version_3",
        "qemu-img create -f qcow2 -o compat=0.10 $PWD/volume 1G
        qemu-img amend -f qcow2 -o compat=1.1 $PWD/volume",
        GIB,
    ),
    volume(
        "downgraded_to_version_2",
        "qemu-img create -f qcow2 $PWD/volume 1G
        qemu-img amend -f qcow2 -o compat=0.10 $PWD/volume",
        GIB,
    ),
    volume(
        "flattened",
        "qemu-img create -f qcow2 $PWD/source 1G
        qemu-img create -f qcow2 -b source -F qcow2 $PWD/volume
        qemu-img rebase -f qcow2 -b '' $PWD/volume",
        GIB,
    ),
    volume(
        "repaired",
        "qemu-img create -f qcow2 -o lazy_refcounts=on $PWD/volume 1G
        qemu-io -f qcow2 -c 'write 0 1M' -c abort volume || [ $? -eq 134 ]
        qemu-img check -f qcow2 -r all $PWD/volume",
        GIB,
    ),
    chain(
        "version_2_on_version_2",
        "volume.1",
        2,
        "qemu-img create -f qcow2 -o compat=0.10 $PWD/volume 1G
        qemu-img create -f qcow2 -o compat=0.10 -b volume -F qcow2 $PWD/volume.1",
    ),
];
