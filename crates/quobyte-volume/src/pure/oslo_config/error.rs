//! Why a configuration cannot be used.

use crate::error::{Code, excerpt};

/// Why a configuration cannot be used. No value is quoted but that of an option that was asked for: a configuration has
/// passwords in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OsloConfigError {
    /// The file is not of oslo.config's form, and Nova would not start with it.
    #[error("line {line}: {reason}")]
    Syntax {
        /// The line, counted from 1.
        line: usize,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// The file is no text, or too long.
    #[error("it {reason}")]
    NoText {
        /// The rule it breaks.
        reason: &'static str,
    },
    /// An option's value cannot be used.
    #[error("{name} = \"{value}\" {reason}")]
    Value {
        /// The option.
        name: &'static str,
        /// Its value as it stands in the file, cleaned and cut.
        value: String,
        /// The rule it breaks.
        reason: String,
    },
}

impl OsloConfigError {
    /// The error of an option's value.
    #[must_use]
    pub fn value(name: &'static str, value: &str, reason: impl Into<String>) -> Self {
        Self::Value { name, value: excerpt(value), reason: reason.into() }
    }

    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        Code::InvalidConfig
    }
}
