//! The client configuration: `key=value` lines and bare flags. What the stand-in has no use for is passed over,
//! certificate blocks included.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// A parsed configuration file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Config {
    entries: Vec<(String, String)>,
}

impl Config {
    /// Reads `named`, which must exist, else the user's file, else the machine's, else nothing.
    pub(crate) fn load(named: Option<&Path>) -> Result<Self, (PathBuf, io::Error)> {
        if let Some(path) = named {
            return std::fs::read_to_string(path)
                .map(|text| Self::parse(&text))
                .map_err(|error| (path.to_owned(), error));
        }
        let user = std::env::home_dir().map(|home| home.join(".quobyte/client.cfg"));
        for path in user.into_iter().chain([PathBuf::from("/etc/quobyte/client.cfg")]) {
            match std::fs::read_to_string(&path) {
                Ok(text) => return Ok(Self::parse(&text)),
                // A home that is another user's, as under setpriv(1), counts as one without a file.
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => {}
                Err(error) => return Err((path, error)),
            }
        }
        Ok(Self::default())
    }

    fn parse(text: &str) -> Self {
        let entries = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| line.split_once('=').unwrap_or((line, "")))
            .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
            .collect();
        Self { entries }
    }

    /// The value of `key`; the last one where it is given twice, empty for a bare flag.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.entries.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// Names and values of the keys that start with `prefix`, in the order of the file.
    pub(crate) fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.entries.iter().filter_map(move |(key, value)| Some((key.strip_prefix(prefix)?, value.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_keys_and_flags_are_parsed() {
        let config = Config::parse(
            "# comment\nregistry=a,b\nstore = /srv/one\nmulti-tenant\n<ca>\nMIIB==\n</ca>\nstore=/srv/two\nstandin.fault=eio\n",
        );
        assert_eq!(config.get("store"), Some("/srv/two"));
        assert_eq!(config.get("multi-tenant"), Some(""));
        assert_eq!(config.get("absent"), None);
        assert_eq!(config.with_prefix("standin.").collect::<Vec<_>>(), [("fault", "eio")]);
    }

    #[test]
    fn missing_config_file_is_an_error() {
        let path = Path::new("/nonexistent/client.cfg");
        assert_eq!(Config::load(Some(path)).unwrap_err().0, path);
    }
}
