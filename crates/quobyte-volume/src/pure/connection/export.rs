//! The export: which registries, which volume.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::error::ConnectionError;
use crate::error::excerpt;

/// Longest export accepted, in bytes. libvirt reads the mount table in lines of 1 KiB, and the export stands in
/// such a line beside the mount path.
pub const MAX_EXPORT_LEN: usize = 512;

const SCHEME: &str = "quobyte://";

/// A Quobyte export in its one normal form, `host[:port][,host[:port]…]/volume`.
///
/// The scheme and trailing slashes are gone, so that `quobyte://reg/vol/` and `reg/vol` are one export; the order of
/// the registries is kept, as Nova and Cinder derive the mount path from it. Parsing is the only way to make one, so
/// an `Export` never looks like an option of the client and never names anything but a volume.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Export(String);

impl Export {
    /// Parses an export as an operator or Cinder writes it.
    ///
    /// # Errors
    /// [`ConnectionError::Export`] for one that is empty, longer than [`MAX_EXPORT_LEN`], starts with `-`, contains
    /// white space, a control character, a backslash or `|`, has an empty or malformed registry, no volume part, or
    /// a part that is `.` or `..`.
    pub fn parse(text: &str) -> Result<Self, ConnectionError> {
        let normal = text.strip_prefix(SCHEME).unwrap_or(text).trim_end_matches('/');
        match syntax_error(normal) {
            None => Ok(Self(normal.to_owned())),
            Some(reason) => Err(ConnectionError::Export { export: excerpt(text), reason }),
        }
    }

    /// The normal form, which is also what the client is given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How the kernel's mount table names the mount: Quobyte's client puts `quobyte@` in front and shows commas
    /// as `|`, since a comma would end a mount option.
    #[must_use]
    pub fn mount_source(&self) -> String {
        format!("quobyte@{}", self.0.replace(',', "|"))
    }
}

impl TryFrom<String> for Export {
    type Error = ConnectionError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Export> for String {
    fn from(export: Export) -> Self {
        export.0
    }
}

impl fmt::Display for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a normalised export cannot be used.
fn syntax_error(export: &str) -> Option<&'static str> {
    if export.is_empty() {
        return Some("it is empty");
    }
    if export.len() > MAX_EXPORT_LEN {
        return Some("it is longer than 512 bytes");
    }
    if export.starts_with('-') {
        return Some("it starts with '-'");
    }
    // A backslash starts an octal escape in the mount table, and `|` stands there for a comma: either would make the
    // table's source ambiguous.
    if export.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '\\' | '|')) {
        return Some("it contains white space, a control character, '\\' or '|'");
    }
    if export.strip_prefix("quobyte:").is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit())) {
        return Some("quobyte: is followed by two slashes, as in quobyte://host/volume");
    }
    let Some((registries, volume)) = export.split_once('/') else {
        return Some("it has no volume part");
    };
    if !registries.split(',').all(is_registry) {
        return Some("a registry is not host[:port]");
    }
    if volume.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Some("a part of the volume's path is empty, '.' or '..'");
    }
    None
}

/// A registry is a host name, an IPv4 address or a bracketed IPv6 address, with or without a port.
fn is_registry(registry: &str) -> bool {
    let (host, port) = match registry.rsplit_once(':') {
        Some((host, port)) if !registry.ends_with(']') => (host, Some(port)),
        _ => (registry, None),
    };
    let host_is_valid = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            host.starts_with(|c: char| c.is_ascii_alphanumeric())
                && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
                && !host.contains("..")
        }
    };
    host_is_valid
        && port.is_none_or(|port| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheme_and_trailing_slash_are_normalised() {
        for text in ["reg/vol", "reg/vol/", "quobyte://reg/vol", "quobyte://reg/vol///"] {
            assert_eq!(Export::parse(text).unwrap().as_str(), "reg/vol", "{text}");
        }
    }

    #[test]
    fn valid_exports_are_accepted_unchanged() {
        for text in [
            "quobyte-host/openstack-volumes",
            "10.138.0.31,10.138.0.41,10.138.0.29/testvolume",
            "reg-1.example.com:7861,reg-2.example.com:7861/vol",
            "[fd00::1]:7861,[fd00::2]/vol",
            "reg/user#group@vol",
            "reg/tenant/vol",
            "reg/.hidden-vol",
        ] {
            assert_eq!(Export::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn registry_order_is_part_of_the_export() {
        assert_ne!(Export::parse("a,b/vol").unwrap(), Export::parse("b,a/vol").unwrap());
    }

    #[test]
    fn mount_source_shows_commas_as_bars() {
        assert_eq!(Export::parse("quobyte://a:7861,b/vol").unwrap().mount_source(), "quobyte@a:7861|b/vol");
    }

    #[test]
    fn invalid_exports_are_refused() {
        let long = format!("reg/{}", "v".repeat(64 * 1024));
        for text in [
            "",
            "/",
            "quobyte://",
            "reg",
            "reg/",
            "/vol",
            "-c/etc/x",
            "--help",
            "--version/x",
            "-x",
            "reg/a b",
            "reg /vol",
            "reg/vol\n",
            "reg/vol\0",
            "reg/v\u{85}ol",
            "reg\\040/vol",
            "host/../vol",
            "../../..",
            "reg/..",
            "reg/.",
            "reg//vol",
            "a,,b/vol",
            ",a/vol",
            "a,-b/vol",
            "a|b/vol",
            "reg:port/vol",
            "reg:/vol",
            "reg:99999/vol",
            "[fd00::zz]/vol",
            "quobyte://quobyte://h/v",
            "http://h/v",
            &long,
        ] {
            let error = Export::parse(text).expect_err(text);
            assert_eq!(error.code().as_str(), "invalid_export", "{text:?}");
        }
    }

    #[test]
    fn missing_scheme_slash_is_reported() {
        for text in ["quobyte:/reg/vol", "quobyte:reg/vol", "quobyte:/vol"] {
            let error = Export::parse(text).unwrap_err().to_string();
            assert!(error.contains("quobyte://host/volume"), "{error}");
        }
        Export::parse("quobyte:7861/vol").unwrap();
    }

    proptest::proptest! {
        #[test]
        fn export_parsing_is_idempotent(text in "\\PC*") {
            if let Ok(export) = Export::parse(&text) {
                proptest::prop_assert_eq!(&Export::parse(export.as_str()).unwrap(), &export);
                proptest::prop_assert!(!export.mount_source().contains(','));
            }
        }
    }
}
