//! The value that each option has, and where it is from: for whoever wonders why.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::file::ConfigFiles;
use crate::error::Error;

/// Where an option's value is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    CommandLine,
    Environment(&'static str),
    File(PathBuf),
    Default,
}

/// An option's value.
#[derive(Debug, Clone)]
pub(crate) struct OptionValue {
    pub(crate) name: &'static str,
    /// As a configuration file has it, and null where there is none.
    pub(crate) value: Value,
    pub(crate) source: Source,
}

/// Chooses each option's value, and remembers where it is from.
pub(super) struct Chooser<'a> {
    pub(super) files: &'a ConfigFiles,
    pub(super) values: Vec<OptionValue>,
}

impl Chooser<'_> {
    /// The value that was given, else that of the files.
    ///
    /// # Errors
    /// When the files have a value that cannot be used, and none was given.
    pub(super) fn optional<T: Clone>(
        &mut self,
        name: &'static str,
        given: Option<&T>,
        in_files: impl FnOnce(&ConfigFiles) -> Result<Option<T>, Error>,
        show: impl FnOnce(&T) -> Value,
    ) -> Result<Option<T>, Error> {
        let (value, source) = match given {
            Some(value) => (Some(value.clone()), Source::CommandLine),
            None => match in_files(self.files)? {
                Some(value) => (Some(value), self.file_source(name)),
                None => (None, Source::Default),
            },
        };
        self.values.push(OptionValue { name, value: value.as_ref().map_or(Value::Null, show), source });
        Ok(value)
    }

    /// The same, with a default.
    ///
    /// # Errors
    /// As [`Chooser::optional`].
    pub(super) fn required<T: Clone>(
        &mut self,
        name: &'static str,
        given: Option<&T>,
        in_files: impl FnOnce(&ConfigFiles) -> Result<Option<T>, Error>,
        default: T,
        show: impl Fn(&T) -> Value,
    ) -> Result<T, Error> {
        let value = self.optional(name, given, in_files, &show)?.unwrap_or(default);
        if let Some(last) = self.values.last_mut() {
            last.value = show(&value);
        }
        Ok(value)
    }

    /// Has the option that was chosen last show the default that stands for it elsewhere.
    pub(super) fn show_default(&mut self, default: Value) {
        if let Some(OptionValue { value: value @ Value::Null, .. }) = self.values.last_mut() {
            *value = default;
        }
    }

    fn file_source(&self, name: &str) -> Source {
        self.files.origin(name).map(Path::to_owned).map_or(Source::Default, Source::File)
    }
}
