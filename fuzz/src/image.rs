//! Images that a tenant wrote.

use std::collections::BTreeSet;
use std::path::Component;

use quobyte_volume::pure::connection::ImageFormat;
use quobyte_volume::pure::image::{
    ChainError, Identity, ImageHeader, MAX_LAYERS, Opened, RelativePath, walk,
};
use quobyte_volume::pure::kernel_mount::Device;

use crate::encoding::{File, decode_files};

/// A header that is accepted is qcow2's, of a file that needs no key and no other file but the one it names.
///
/// # Panics
/// When it is not.
pub fn header(input: &[u8]) {
    let Some(file) = File::decode(input) else { return };
    if let Ok(header) = ImageHeader::parse(&file, file.len) {
        assert_standalone_qcow2(&file);
        if let Some(backing) = header.backing {
            assert_plain_path(&backing.name);
        }
    }
}

/// What the description of the format says of a file that is qcow2 and stands on its own.
fn assert_standalone_qcow2(file: &File<'_>) {
    let byte = |offset| file.byte(offset);
    assert_eq!([0, 1, 2, 3].map(byte), *b"QFI\xfb");
    let version = u32::from_be_bytes([4, 5, 6, 7].map(byte));
    assert!(matches!(version, 2 | 3), "version {version}");
    assert_eq!([32, 33, 34, 35].map(byte), [0; 4], "encrypted");
    if version == 3 {
        let features = u64::from_be_bytes([72, 73, 74, 75, 76, 77, 78, 79].map(byte));
        assert_eq!(features & !0b1_1001, 0, "features {features:#b}");
    }
    assert!(file.len >= 1 << byte(23), "the first cluster is not there");
}

pub(crate) fn assert_plain_path(path: &RelativePath) {
    let text = path.to_string();
    assert!(path.as_path().components().all(|part| matches!(part, Component::Normal(_))), "{text}");
    assert!(!text.starts_with('-') && !text.contains([':', ',', '\0', '\n']), "{text}");
}

/// A chain that is accepted is of as many different files as it has layers, raw at most at its end, each found by a
/// plain path; and of whatever chain no file is opened twice in a row without end.
///
/// # Panics
/// When it is not.
pub fn chain(input: &[u8]) {
    let files = decode_files(input);
    let Some(start) = files.first().and_then(|(name, _)| RelativePath::parse(name).ok()) else { return };
    let mut open_count = 0;
    let walked = walk(start, ImageFormat::Qcow2, &mut |path| {
        open_count += 1;
        let index = files.iter().position(|(name, _)| *name == path.to_string()).ok_or(())?;
        let (_, file) = files[index];
        let identity = Identity { device: Device { major: 0, minor: 1 }, inode: index as u64, btime: None };
        Ok::<_, ()>(Opened { identity, size: file.len, content: Box::new(file) })
    });
    assert!(open_count <= MAX_LAYERS + 1, "{open_count} files opened");
    match walked {
        Ok(layers) => {
            let inodes: BTreeSet<_> = layers.iter().map(|layer| layer.identity.inode).collect();
            assert_eq!(inodes.len(), layers.len());
            assert_eq!(open_count, layers.len());
            let is_qcow2 = |format| format == ImageFormat::Qcow2;
            assert!(layers.iter().rev().skip(1).all(|layer| is_qcow2(layer.format)), "{layers:?}");
            layers.iter().for_each(|layer| assert_plain_path(&layer.path));
        }
        Err(ChainError::Refused { violation, .. }) => {
            assert!(!violation.to_string().contains(char::is_control), "{violation:?}");
        }
        Err(ChainError::Unreadable { .. } | ChainError::Open(())) => {}
    }
}
