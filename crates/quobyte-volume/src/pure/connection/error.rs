//! Why a connection_info is refused.

use crate::error::{Code, excerpt};

/// Why a `connection_info` is refused. Nothing has been done when this is returned.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The export cannot be used.
    #[error("export \"{export}\": {reason}")]
    Export {
        /// What was given, cleaned and cut.
        export: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// The image's name cannot be used.
    #[error("image name \"{name}\": {reason}")]
    Name {
        /// What was given, cleaned and cut.
        name: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// The declared format is not one this driver attaches.
    #[error("image format \"{format}\" is neither raw nor qcow2")]
    Format {
        /// What was given, cleaned and cut.
        format: String,
    },
    /// The site does not permit the format for a file that is no snapshot of another (option `volume_formats`).
    #[error("{file} is {format}, which volume_formats does not permit here")]
    FormatNotPermitted {
        /// The file.
        file: String,
        /// Its format, as it was declared.
        format: &'static str,
    },
    /// Another field cannot be used.
    #[error("connection_info {field} \"{value}\": {reason}")]
    Field {
        /// The field, as it stands in the JSON object.
        field: &'static str,
        /// What was given, cleaned and cut.
        value: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// A field is missing or of the wrong type. Its value, which may be a secret in the wrong place, is not kept.
    #[error("connection_info {field} is {found}; it should be {expected}")]
    Type {
        /// The field, as it stands in the JSON object.
        field: &'static str,
        /// What it is.
        found: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// It is longer or nests deeper than any that Cinder emits.
    #[error("connection_info is longer than 1 MiB or nests deeper than 127 levels")]
    TooLarge,
    /// The text is not JSON, or has a key twice in one object.
    #[error("connection_info is not JSON in which every key is given once")]
    Json(#[from] serde_json::Error),
}

impl ConnectionError {
    pub(super) fn format(format: &str) -> Self {
        Self::Format { format: excerpt(format) }
    }

    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Export { .. } => Code::InvalidExport,
            Self::Name { .. } => Code::InvalidName,
            Self::Format { .. } | Self::FormatNotPermitted { .. } => Code::UnsupportedFormat,
            Self::Field { .. } | Self::Type { .. } | Self::TooLarge | Self::Json(_) => {
                Code::InvalidConnection
            }
        }
    }
}
