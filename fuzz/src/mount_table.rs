//! What the kernel shows, part of which is a peer's word: the source of a FUSE mount.

use quobyte_volume::pure::kernel_mount::MountInfo;

/// In a mount table that is understood something is on top wherever anything is mounted, and only there.
///
/// # Panics
/// When it is not.
pub fn mount_table(input: &[u8]) {
    let Ok(table) = MountInfo::parse(input) else { return };
    for entry in &table {
        let top = MountInfo::top(&table, &entry.mount_point);
        assert!(top.is_none_or(|top| top.mount_point == entry.mount_point), "{entry:?}: {top:?}");
        let is_alone = table.iter().filter(|other| other.mount_point == entry.mount_point).count() == 1;
        assert!(!is_alone || top == Some(entry), "{entry:?}: {top:?}");
    }
    let lines = input.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
    assert_eq!(table.len(), lines);
}
