//! The file that an overlay outside every share names below itself. Such an image is none of ours to judge: only
//! whether it leads onto a share is of interest.

use serde_json::Value;

use super::source::ReadAt;

/// The longest name of a backing file that qcow2 permits, in bytes.
const MAX_NAME: u32 = 1023;

/// The type of the header extension that names an external data file.
const DATA_FILE: u32 = 0x4441_5441;

/// The most header extensions that are looked at, and the longest name of a data file.
const MAX_EXTENSIONS: usize = 32;

/// The paths that a qcow2 image names beside itself: the file below it first, and the one that holds its data. They are
/// absolute or seen from its own directory. Nothing for a file that is no qcow2 image or stands alone.
pub(crate) fn named_paths(image: &dyn ReadAt) -> NamedPaths {
    NamedPaths { backing: backing_paths(image).into_iter().next(), data: data_file(image) }
}

/// What an image names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct NamedPaths {
    /// The file below it.
    pub(crate) backing: Option<String>,
    /// The file that holds its data.
    pub(crate) data: Option<String>,
}

fn data_file(image: &dyn ReadAt) -> Option<String> {
    let number = |offset: u64| {
        let mut bytes = [0; 4];
        image.read_exact_at(&mut bytes, offset).ok()?;
        Some(u32::from_be_bytes(bytes))
    };
    if number(0)? != u32::from_be_bytes(*b"QFI\xfb") || number(4)? < 3 {
        return None;
    }
    let mut offset = u64::from(number(100)?);
    for _ in 0..MAX_EXTENSIONS {
        let (kind, length) = (number(offset)?, number(offset + 4)?);
        match kind {
            0 => return None,
            DATA_FILE if (1..=MAX_NAME).contains(&length) => {
                let mut name = vec![0; usize::try_from(length).ok()?];
                image.read_exact_at(&mut name, offset + 8).ok()?;
                return String::from_utf8(name).ok();
            }
            _ => offset += 8 + u64::from(length.next_multiple_of(8)),
        }
    }
    None
}

fn backing_paths(image: &dyn ReadAt) -> Vec<String> {
    let Some(name) = backing_name(image) else { return Vec::new() };
    let Some(json) = name.strip_prefix("json:") else {
        return vec![name.strip_prefix("file:").map(str::to_owned).unwrap_or(name)];
    };
    let mut paths = Vec::new();
    if let Ok(value) = serde_json::from_str(json) {
        collect_file_names(&value, &mut paths);
    }
    paths
}

fn backing_name(image: &dyn ReadAt) -> Option<String> {
    let mut header = [0; 20];
    image.read_exact_at(&mut header, 0).ok()?;
    let offset = u64::from_be_bytes(header[8..16].try_into().ok()?);
    let length = u32::from_be_bytes(header[16..20].try_into().ok()?);
    if !header.starts_with(b"QFI\xfb") || offset == 0 || !(1..=MAX_NAME).contains(&length) {
        return None;
    }
    let mut name = vec![0; usize::try_from(length).ok()?];
    image.read_exact_at(&mut name, offset).ok()?;
    String::from_utf8(name).ok()
}

/// Every `filename` in QEMU's description of a block device.
fn collect_file_names(value: &Value, paths: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                match value {
                    Value::String(path) if key.ends_with("filename") => paths.push(path.clone()),
                    value => collect_file_names(value, paths),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect_file_names(value, paths)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    struct Bytes(Vec<u8>);

    impl ReadAt for Bytes {
        fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
            let start = usize::try_from(offset).map_err(io::Error::other)?;
            let end = start.checked_add(buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            buffer.copy_from_slice(self.0.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        }
    }

    fn overlay(name: &str) -> Bytes {
        let mut bytes = b"QFI\xfb\0\0\0\x03".to_vec();
        bytes.extend(64_u64.to_be_bytes());
        bytes.extend(u32::try_from(name.len()).unwrap().to_be_bytes());
        bytes.resize(64, 0);
        bytes.extend(name.as_bytes());
        Bytes(bytes)
    }

    #[test]
    fn backing_name_is_found_in_every_spelling() {
        assert_eq!(backing_paths(&overlay("/m/base")), ["/m/base"]);
        assert_eq!(backing_paths(&overlay("file:base")), ["base"]);
        let json = r#"json:{"driver":"qcow2","file":{"driver":"file","filename":"/m/base"}}"#;
        assert_eq!(backing_paths(&overlay(json)), ["/m/base"]);
    }

    #[test]
    fn data_file_is_found_behind_other_extensions() {
        let mut image = overlay("/m/base");
        image.0.resize(104, 0);
        image.0[100..104].copy_from_slice(&104_u32.to_be_bytes());
        for (kind, text) in [(0xe279_2aca, "raw"), (DATA_FILE, "/m/data"), (0, "")] {
            image.0.extend(kind.to_be_bytes());
            image.0.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
            image.0.extend(text.as_bytes());
            image.0.resize(image.0.len().next_multiple_of(8), 0);
        }
        let named = named_paths(&image);
        assert_eq!((named.backing.as_deref(), named.data.as_deref()), (Some("/m/base"), Some("/m/data")));
        assert_eq!(named_paths(&overlay("/m/base")).data, None);
    }

    #[test]
    fn file_without_backing_has_no_paths() {
        let mut torn = overlay("/m/base");
        torn.0.truncate(66);
        for file in [Bytes(Vec::new()), Bytes(vec![0; 512]), overlay(""), torn, overlay("json:{")] {
            assert!(backing_paths(&file).is_empty());
        }
    }
}
