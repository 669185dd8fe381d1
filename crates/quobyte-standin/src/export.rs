//! The first positional: `[quobyte://]host[:port][,host…]/[volume]`.

use std::path::{Component, Path};

/// Where a volume is: the registries that know it, and its name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RequestedExport {
    registries: String,
    volume: String,
}

impl RequestedExport {
    /// Parses an export; `None` where the text has no registry, no slash, or leads out of a store.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix("quobyte://").unwrap_or(text);
        let (registries, volume) = text.split_once('/')?;
        let volume = volume.strip_suffix('/').unwrap_or(volume);
        let hosts_named = registries.split(',').all(|host| !host.is_empty());
        let plain = !text.contains(|c: char| c.is_whitespace() || c.is_control());
        let beneath = Path::new(volume).components().all(|part| matches!(part, Component::Normal(_)));
        (hosts_named && plain && beneath && !registries.starts_with('-'))
            .then(|| Self { registries: registries.to_owned(), volume: volume.to_owned() })
    }

    /// The registries, as given.
    pub(crate) fn registries(&self) -> &str {
        &self.registries
    }

    /// The volume's name; empty for the root above all volumes.
    pub(crate) fn volume(&self) -> &str {
        &self.volume
    }

    /// The source in the mount table. A comma would end the mount option, so the client writes `|`.
    pub(crate) fn source(&self) -> String {
        format!("quobyte@{}/{}", self.registries, self.volume).replace(',', "|")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_source_joins_registries_with_bars() {
        for (text, source) in [
            ("quobyte://host/vol", "quobyte@host/vol"),
            ("h1:7861,h2/vol/", "quobyte@h1:7861|h2/vol"),
            ("host/", "quobyte@host/"),
            ("host/user#group@vol", "quobyte@host/user#group@vol"),
            ("host/tenant/vol", "quobyte@host/tenant/vol"),
            ("host/a,b", "quobyte@host/a|b"),
        ] {
            assert_eq!(RequestedExport::parse(text).unwrap().source(), source, "{text}");
        }
    }

    #[test]
    fn invalid_export_is_refused() {
        for text in
            ["", "host", "/vol", "h1,,h2/vol", "host/../vol", "host//vol", "host/a b", "quobyte://", "-o/vol"]
        {
            assert_eq!(RequestedExport::parse(text), None, "{text}");
        }
    }
}
