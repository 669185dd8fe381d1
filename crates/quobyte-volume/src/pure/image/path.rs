//! Where a layer of an image is: a path that cannot leave its directory.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::violation::{Rule, Violation};
use crate::pure::connection::{ConnectionError, ImageName, VolumeId};

/// Longest path in bytes, as long as the name of a backing file may be in qcow2.
const PATH_MAX: usize = 1023;

/// A file strictly beneath a directory: one or more plain names, joined by single slashes.
///
/// Each part keeps the rules of [`ImageName`], so the path can be neither absolute nor lead upwards, nor be taken for
/// an option, a QEMU protocol or two options of one argument. It may still meet a symbolic link: whoever opens it must
/// not follow one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RelativePath(String);

impl RelativePath {
    /// Parses a path as a qcow2 image names its backing file.
    ///
    /// # Errors
    /// A [`Violation`] of [`Rule::BackingName`] that shows the whole path.
    pub fn parse(text: &str) -> Result<Self, Violation> {
        let names: Result<Vec<_>, ConnectionError> = text.split('/').map(ImageName::parse).collect();
        if names.is_err() || text.len() > PATH_MAX {
            return Err(Violation::new(Rule::BackingName, &text));
        }
        Ok(Self(text.to_owned()))
    }

    /// The path that `name` stands for in the file at this path: QEMU looks for a backing file in its overlay's
    /// directory.
    pub(super) fn resolve(&self, name: &Self) -> Result<Self, Violation> {
        match self.0.rsplit_once('/') {
            Some((directory, _)) => Self::parse(&format!("{directory}/{name}")),
            None => Ok(name.clone()),
        }
    }

    /// The volume that Cinder has named the file for, if it has.
    pub(super) fn volume(&self) -> Option<VolumeId> {
        self.0.rsplit('/').next().and_then(VolumeId::in_file_name)
    }

    /// The path, relative.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl From<&ImageName> for RelativePath {
    fn from(name: &ImageName) -> Self {
        Self(name.as_str().to_owned())
    }
}

impl TryFrom<String> for RelativePath {
    type Error = Violation;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<RelativePath> for String {
    fn from(path: RelativePath) -> Self {
        path.0
    }
}

impl fmt::Display for RelativePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Component;

    use super::*;

    #[test]
    fn cinder_backing_names_are_accepted() {
        for text in [
            "volume-1331538d-1111-4222-8333-0123456789ab",
            "volume-1331538d-1111-4222-8333-0123456789ab.9a8b7c6d-1111-4222-8333-0123456789ab",
            "volume-1331538d-1111-4222-8333-0123456789ab.tmp-snap-9a8b7c6d-1111-4222-8333-0123456789ab",
            "volume_from_snapshot_cache/9a8b7c6d-1111-4222-8333-0123456789ab",
            "a/b/c",
        ] {
            assert_eq!(RelativePath::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn unsafe_backing_names_are_refused() {
        for text in [
            "",
            ".",
            "..",
            "/",
            "/etc/shadow",
            "../x",
            "a/../../x",
            "a/./b",
            "./a",
            "a//b",
            "a/",
            "-a",
            "a/-b",
            "a,file.filename=/etc/shadow",
            "json:{\"driver\":\"file\"}",
            "nbd://host/x",
            "http://host/x",
            "file:/etc/shadow",
            "fd:3",
            "a\\b",
            "a\0b",
            "a\nb",
            &"n".repeat(256),
            &"n/".repeat(512),
        ] {
            let violation = RelativePath::parse(text).expect_err(text);
            assert_eq!(violation.rule, Rule::BackingName, "{text:?}");
        }
    }

    #[test]
    fn backing_name_is_relative_to_overlay() {
        let resolved = |overlay: &str, name: &str| {
            let name = RelativePath::parse(name).unwrap();
            RelativePath::parse(overlay).unwrap().resolve(&name).map(String::from)
        };
        assert_eq!(resolved("a", "b").unwrap(), "b");
        assert_eq!(resolved("a", "c/b").unwrap(), "c/b");
        assert_eq!(resolved("c/a", "b").unwrap(), "c/b");
        assert_eq!(resolved("c/a", "d/b").unwrap(), "c/d/b");
        let deep = format!("{}a", "n/".repeat(500));
        assert_eq!(resolved(&deep, &deep).unwrap_err().rule, Rule::BackingName);
    }

    proptest::proptest! {
        #[test]
        fn parsed_path_has_plain_components(text in "[a./,:-]{0,12}") {
            if let Ok(path) = RelativePath::parse(&text) {
                let is_plain = |component| matches!(component, Component::Normal(_));
                proptest::prop_assert!(path.as_path().components().all(is_plain));
                proptest::prop_assert!(!text.contains([':', ',']));
            }
        }
    }
}
