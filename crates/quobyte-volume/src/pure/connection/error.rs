//! Why a connection_info is refused.

use crate::error::Code;

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
    /// The text is not JSON, lacks a field or has one of the wrong type or twice.
    #[error("connection_info is not the object Cinder's Quobyte driver emits")]
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
            Self::Field { .. } | Self::Json(_) => Code::InvalidConnection,
        }
    }
}

/// A peer's text as it may stand in a message: control characters escaped, cut after 80 characters.
pub(crate) fn excerpt(text: &str) -> String {
    const MAX_CHARS: usize = 80;
    let mut shown: String = text.chars().take(MAX_CHARS).flat_map(char::escape_debug).collect();
    if text.chars().nth(MAX_CHARS).is_some() {
        shown.push('…');
    }
    shown
}
