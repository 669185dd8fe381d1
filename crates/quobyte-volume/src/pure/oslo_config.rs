//! Configuration files such as nova.conf, read as oslo.config reads them, so that the command and Nova find the same
//! values in the same file.
//!
//! A library for INI files does not do: the crates that there are trim, nest, unquote or pass over lines in ways of their
//! own, and none substitutes options as oslo.config does. Two things differ from it on purpose: environment variables
//! (`OS_LIBVIRT__…`) are not looked at, as those of nova-compute are not the caller's, and an option may only refer to the
//! few of Nova's that are known here. Either way something is refused that Nova takes, and never read otherwise.

mod error;
mod known;
mod number;
mod parse;
mod substitute;

use std::collections::BTreeMap;

pub use self::error::OsloConfigError;
pub use self::parse::MAX_CONFIG_LEN;

/// Options by their group and name, as text that nothing is substituted in yet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OsloConfig(BTreeMap<String, BTreeMap<String, String>>);

impl OsloConfig {
    /// Parses one file.
    ///
    /// # Errors
    /// [`OsloConfigError::Syntax`] and [`OsloConfigError::NoText`].
    pub fn parse(file: &[u8]) -> Result<Self, OsloConfigError> {
        parse::parse(file).map(Self)
    }

    /// Takes over what a later file sets.
    pub fn override_with(&mut self, later: Self) {
        for (group, options) in later.0 {
            self.0.entry(group).or_default().extend(options);
        }
    }

    /// The names of all options that are set in a group.
    pub fn names(&self, group: &str) -> impl Iterator<Item = &str> {
        self.0.get(group).into_iter().flat_map(|options| options.keys()).map(String::as_str)
    }

    /// An option's value as it stands in the file.
    #[must_use]
    pub fn raw(&self, group: &str, name: &str) -> Option<&str> {
        self.0.get(group)?.get(name).map(String::as_str)
    }

    /// An option's value, with those that it refers to in their places.
    ///
    /// # Errors
    /// [`OsloConfigError::Value`] where that is not possible.
    pub fn text(&self, group: &'static str, name: &'static str) -> Result<Option<String>, OsloConfigError> {
        let Some(raw) = self.raw(group, name) else { return Ok(None) };
        self.substitute(group, raw).map(Some).map_err(|reason| OsloConfigError::value(name, raw, reason))
    }

    /// The same for a number; an empty one is as good as none.
    ///
    /// # Errors
    /// [`OsloConfigError::Value`] for what is no number, too.
    pub fn float(&self, group: &'static str, name: &'static str) -> Result<Option<f64>, OsloConfigError> {
        self.number(group, name, number::float, "is not a number")
    }

    /// The same for a whole number.
    ///
    /// # Errors
    /// [`OsloConfigError::Value`] for what is no whole number of 64 bits, too.
    pub fn integer(&self, group: &'static str, name: &'static str) -> Result<Option<i64>, OsloConfigError> {
        self.number(group, name, number::integer, "is not a whole number")
    }

    fn number<T>(
        &self,
        group: &'static str,
        name: &'static str,
        parse: fn(&str) -> Option<T>,
        reason: &'static str,
    ) -> Result<Option<T>, OsloConfigError> {
        let Some(text) = self.text(group, name)? else { return Ok(None) };
        if number::trim(&text).is_empty() {
            return Ok(None);
        }
        match parse(&text) {
            Some(number) => Ok(Some(number)),
            None => Err(OsloConfigError::value(name, &text, reason)),
        }
    }

    /// The items of a list, which are joined by commas.
    ///
    /// # Errors
    /// Those of [`OsloConfig::text`].
    pub fn list(
        &self,
        group: &'static str,
        name: &'static str,
    ) -> Result<Option<Vec<String>>, OsloConfigError> {
        let Some(text) = self.text(group, name)? else { return Ok(None) };
        let items = match number::trim(&text).trim_end_matches(',') {
            "" => Vec::new(),
            items => items.split(',').map(|item| number::trim(item).to_owned()).collect(),
        };
        Ok(Some(items))
    }
}

#[cfg(test)]
mod tests;
