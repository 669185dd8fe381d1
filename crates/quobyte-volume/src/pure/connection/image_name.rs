//! The image's name: one plain file directly in the volume.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::error::ConnectionError;
use crate::error::excerpt;
use crate::pure::guest_path::has_refused_character;

/// Longest file name Linux and Quobyte keep, in bytes.
const NAME_MAX: usize = 255;

/// How the files are called that a probe of a mount makes beside its images (docs/IO_POLICY.md).
pub(crate) const PROBE_FILE_PREFIX: &str = ".nova-quobyte-probe";

/// A file name: one path component, and nothing that a program further on could take for more than that.
///
/// Not even as a relative name can it leave its directory, be read as an option, as a QEMU protocol (`nbd:…`,
/// `json:…`) or as two options of one QEMU argument (a comma).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageName(String);

impl ImageName {
    /// Parses the name of an image file.
    ///
    /// # Errors
    /// [`ConnectionError::Name`] for a name that is empty, `.` or `..`, is longer than 255 bytes, starts with `-`, or
    /// contains a slash, a backslash, a comma, a colon, a control character, or U+FFFE or U+FFFF, which cannot stand
    /// in the XML that libvirt is given.
    pub fn parse(text: &str) -> Result<Self, ConnectionError> {
        let reason = if text.is_empty() || matches!(text, "." | "..") {
            "it names no file"
        } else if text.len() > NAME_MAX {
            "it is longer than 255 bytes"
        } else if text.starts_with('-') {
            "it starts with '-'"
        } else if text
            .chars()
            .any(|c| c.is_control() || matches!(c, '/' | '\\' | ',' | ':' | '\u{fffe}' | '\u{ffff}'))
        {
            "it contains '/', '\\', ',', ':', a control character or one that XML cannot hold"
        } else {
            return Ok(Self(text.to_owned()));
        };
        Err(ConnectionError::Name { name: excerpt(text), reason })
    }

    /// Checks that a guest's AppArmor profile can name the file, and that no probe of a mount makes files of that name. A
    /// volume that was connected all the same can be disconnected, so this is no part of what makes a name.
    ///
    /// # Errors
    /// [`ConnectionError::Name`]
    pub(crate) fn check_for_guest(&self) -> Result<(), ConnectionError> {
        let reason = if has_refused_character(&self.0) {
            "it contains one of * ? [ ] { } \", which AppArmor takes for a pattern or the end of a name, or a character that \
             QEMU refuses"
        } else if self.0.starts_with(PROBE_FILE_PREFIX) {
            "files of that name are made and removed to probe a mount"
        } else {
            return Ok(());
        };
        Err(ConnectionError::Name { name: excerpt(&self.0), reason })
    }

    /// The name as it stands in the volume's directory.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ImageName {
    type Error = ConnectionError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<ImageName> for String {
    fn from(name: ImageName) -> Self {
        name.0
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_image_names_are_accepted() {
        for text in [
            "volume-1331538d-1111-4222-8333-0123456789ab",
            "volume-1331538d-1111-4222-8333-0123456789ab.9a8b7c6d-1111-4222-8333-0123456789ab",
            "my disk.qcow2",
            "größe.raw",
            ".hidden",
            "x.nova-quobyte-probe",
            "a..b",
        ] {
            assert_eq!(ImageName::parse(text).unwrap().as_str(), text);
        }
        assert!(ImageName::parse(&"n".repeat(NAME_MAX)).is_ok());
    }

    #[test]
    fn invalid_image_names_are_refused() {
        for text in [
            "",
            ".",
            "..",
            "../x",
            "/etc/passwd",
            "a/../b",
            "sub/file",
            "a\0b",
            "a\nb",
            "\u{7f}",
            "a\u{fffe}",
            "a\u{ffff}",
            "-x",
            "--help",
            "json:{\"driver\":\"raw\"}",
            "nbd://host/x",
            "nbd:host",
            "a,file=x",
            "a\\b",
            &"n".repeat(NAME_MAX + 1),
        ] {
            let error = ImageName::parse(text).expect_err(text);
            assert_eq!(error.code().as_str(), "invalid_name", "{text:?}");
        }
    }

    #[test]
    fn names_of_probe_files_are_for_no_guest() {
        for text in [".nova-quobyte-probe", ".nova-quobyte-probe-0123456789abcdef0123456789abcdef"] {
            let name = ImageName::parse(text).expect("one that is on record can be disconnected");
            assert_eq!(name.check_for_guest().unwrap_err().code().as_str(), "invalid_name", "{text:?}");
        }
        ImageName::parse("x.nova-quobyte-probe").unwrap().check_for_guest().unwrap();
    }

    proptest::proptest! {
        #[test]
        fn parsed_image_name_stays_in_directory(text in "\\PC*") {
            if let Ok(name) = ImageName::parse(&text) {
                let path = std::path::Path::new("/mnt").join(name.as_str());
                proptest::prop_assert_eq!(path.parent(), Some(std::path::Path::new("/mnt")));
            }
        }
    }
}
