//! The rules an image must keep, and the breach of one.

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

use crate::error::{Code, excerpt};

/// A rule that every image given to a guest keeps. Its name never changes its meaning; new rules may be added.
///
/// Where a rule has a limit it is QEMU's own, but for [`Rule::OpenCost`]: an image beyond it could not be opened anyway,
/// and an image within it that QEMU's tools made is accepted.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, strum::Display, strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum Rule {
    /// A layer is reached without following a link, and lies on the share itself.
    LeadsAway,
    /// A layer is a regular file.
    NotRegularFile,
    /// A file that Cinder names as a snapshot's is qcow2, so it is not declared as raw.
    SnapshotDeclaredRaw,
    /// An image declared as qcow2 starts as qcow2 does.
    NotQcow2,
    /// The file is as long as its own header says at least.
    Truncated,
    /// The version is 2 or 3.
    Version,
    /// A cluster is between 512 bytes and 2 MiB, and 16 KiB at least with extended L2 entries.
    ClusterSize,
    /// The header is 104 bytes at least, a multiple of 8, and ends in the first cluster.
    HeaderLength,
    /// Nobody may open an image with an incompatible feature they do not know.
    IncompatibleFeature,
    /// QEMU has not marked the image as corrupt.
    Corrupt,
    /// All data is in the file itself: a data file's name could be any file of the host (CVE-2024-32498).
    ExternalDataFile,
    /// The compression is zlib or zstd, and the feature bit agrees.
    CompressionType,
    /// A reference count has 64 bits at most.
    RefcountWidth,
    /// The image is not encrypted: nobody here has its key.
    Encryption,
    /// Header extensions lie one behind the other up to an end marker, each of a sane length.
    HeaderExtension,
    /// The refcount table is there, in the file, aligned, and 8 MiB at most.
    RefcountTable,
    /// The active L1 table is in the file, aligned, and 32 MiB at most.
    L1Table,
    /// The snapshot table is in the file, aligned, and of 65,536 snapshots at most.
    SnapshotTable,
    /// The bitmap directory is in the file, aligned, and of 65,535 bitmaps at most.
    BitmapDirectory,
    /// The L1 table has room for the virtual size.
    VirtualSize,
    /// Opening a chain does not take QEMU more than a host can spare: memory, reads, or the repair of a dirty image.
    OpenCost,
    /// Whoever looks for another format does not find one in the header's cluster.
    SecondFormat,
    /// The backing file is a path beneath the overlay's directory, and nothing else: no absolute path, no `..`, no
    /// protocol, no `json:` (CVE-2015-5163, CVE-2024-4467).
    BackingName,
    /// The backing file's format is written down, once, and is raw or qcow2 (CVE-2014-0134): else it would be guessed.
    BackingFormat,
    /// What Cinder names as a volume's file is on no other volume's file.
    AnotherVolume,
    /// No layer of a chain is a layer below itself.
    ChainLoop,
    /// A chain has [`MAX_LAYERS`](super::MAX_LAYERS) layers at most.
    ChainDepth,
    /// A layer is the file that was there when the volume was connected.
    Swapped,
}

impl Rule {
    /// The rule's name, in `snake_case`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// What is wrong with an image that breaks the rule; a message says it after "the image".
    const fn description(self) -> &'static str {
        match self {
            Self::LeadsAway => "is a symbolic link, or lies outside its share",
            Self::NotRegularFile => "is not a regular file",
            Self::SnapshotDeclaredRaw => "is declared as raw and named as a snapshot's file",
            Self::NotQcow2 => "is declared as qcow2 and is not",
            Self::Truncated => "ends before its header does",
            Self::Version => "is of an unknown version of qcow2",
            Self::ClusterSize => "has clusters of a size that cannot be",
            Self::HeaderLength => "has a header of a length that cannot be",
            Self::IncompatibleFeature => "uses a feature that is not known",
            Self::Corrupt => "is marked as corrupt",
            Self::ExternalDataFile => "keeps its data in another file",
            Self::CompressionType => "is compressed in a way that is not known",
            Self::RefcountWidth => "has reference counts that are too wide",
            Self::Encryption => "is encrypted",
            Self::HeaderExtension => "has malformed header extensions",
            Self::RefcountTable => "has its refcount table where none can be",
            Self::L1Table => "has its L1 table where none can be",
            Self::SnapshotTable => "has its snapshot table where none can be",
            Self::BitmapDirectory => "has its bitmap directory where none can be",
            Self::VirtualSize => "claims a size that its L1 table has no room for",
            Self::OpenCost => "would cost too much to open",
            Self::SecondFormat => "can be read as another format as well",
            Self::BackingName => "names a backing file that is not plainly beneath its own directory",
            Self::BackingFormat => "does not say once that its backing file is raw or qcow2",
            Self::AnotherVolume => "is another volume's",
            Self::ChainLoop => "is below itself in its chain of backing files",
            Self::ChainDepth => "has too many backing files",
            Self::Swapped => "is not the file it was when the volume was connected",
        }
    }

    /// The stable code of an error that reports a breach.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::NotQcow2 | Self::SnapshotDeclaredRaw => Code::FormatMismatch,
            _ => Code::ImageRejected,
        }
    }
}

/// A rule an image breaks, and by what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("the image {} (rule {rule}: {value})", rule.description())]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// What stands in the image instead, cleaned and cut: it may be shown and logged as it is.
    pub value: String,
}

impl Violation {
    pub(crate) fn new(rule: Rule, value: &dyn fmt::Display) -> Self {
        Self { rule, value: excerpt(&value.to_string()) }
    }

    /// A violation of `rule` by `value`, unless the rule `holds`.
    pub(super) fn check(holds: bool, rule: Rule, value: &dyn fmt::Display) -> Result<(), Self> {
        if holds { Ok(()) } else { Err(Self::new(rule, value)) }
    }

    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.rule.code()
    }
}

/// Why an image's header could not be vouched for.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The image breaks a rule.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// The image cannot be read, which says nothing of what is in it.
    #[error("the image cannot be read")]
    Read(#[from] io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_is_serialised_as_displayed() {
        let violation = Violation::new(Rule::ExternalDataFile, &"x");
        let json = serde_json::to_value(&violation).unwrap();
        assert_eq!(json["rule"], Rule::ExternalDataFile.as_str());
        assert_eq!(serde_json::from_value::<Violation>(json).unwrap(), violation);
    }

    #[test]
    fn violation_message_has_rule_and_value() {
        let violation = Violation::new(Rule::BackingName, &"/etc/passwd\n\u{1b}[2J");
        assert_eq!(
            violation.to_string(),
            "the image names a backing file that is not plainly beneath its own directory \
             (rule backing_name: /etc/passwd\\n\\u{1b}[2J)"
        );
    }

    #[test]
    fn long_violation_value_is_truncated() {
        let violation = Violation::new(Rule::BackingName, &"x".repeat(1023));
        assert_eq!(violation.value.chars().count(), 81);
    }

    #[test]
    fn not_qcow2_is_a_format_mismatch() {
        assert_eq!(Rule::NotQcow2.code(), Code::FormatMismatch);
        assert_eq!(Rule::Version.code(), Code::ImageRejected);
    }
}
