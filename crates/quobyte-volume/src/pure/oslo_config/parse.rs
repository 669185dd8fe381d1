//! The lines of a file.

use std::collections::BTreeMap;

use super::error::OsloConfigError;
use super::known::DEFAULT;
use super::number::{is_space, trim};

/// Longest file, in bytes. Nova's sample with all its options has half a million.
pub const MAX_CONFIG_LEN: usize = 4 << 20;

type Groups = BTreeMap<String, BTreeMap<String, String>>;

/// Parses a file: `[group]`, `name = value` or `name: value`, lines that start with a blank and go on with the value
/// before, and comments, which start with `#` or `;` in the first column.
pub(super) fn parse(file: &[u8]) -> Result<Groups, OsloConfigError> {
    if file.len() > MAX_CONFIG_LEN {
        return Err(OsloConfigError::NoText { reason: "is longer than 4 MiB" });
    }
    let text = std::str::from_utf8(file).map_err(|_| OsloConfigError::NoText { reason: "is not UTF-8" })?;
    // As Python reads text, any of the usual line ends is one.
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut reader = Reader::default();
    for (index, line) in text.split('\n').enumerate() {
        reader
            .read(line.trim_end_matches(is_space))
            .map_err(|reason| OsloConfigError::Syntax { line: index + 1, reason })?;
    }
    reader.flush().map_err(|reason| OsloConfigError::Syntax { line: text.split('\n').count(), reason })?;
    Ok(reader.groups)
}

#[derive(Default)]
struct Reader {
    groups: Groups,
    group: Option<String>,
    /// The option whose value may go on, and the value's lines.
    open: Option<(String, Vec<String>)>,
}

impl Reader {
    fn read(&mut self, line: &str) -> Result<(), &'static str> {
        if line.starts_with([' ', '\t']) {
            let (_, lines) = self.open.as_mut().ok_or("it goes on with a value, and there is none")?;
            lines.push(line.trim_start_matches(is_space).to_owned());
            return Ok(());
        }
        self.flush()?;
        if line.is_empty() || line.starts_with(['#', ';']) {
            return Ok(());
        }
        if let Some(rest) = line.strip_prefix('[') {
            let group = rest.strip_suffix(']').ok_or("the name of a section does not end with ]")?;
            if group.is_empty() {
                return Err("the name of a section is empty");
            }
            let group = if group == DEFAULT { group.to_owned() } else { group.to_lowercase() };
            self.group = Some(group);
            return Ok(());
        }
        let (name, value) = line.split_once(['=', ':']).ok_or("it has neither = nor :")?;
        let name = trim(name);
        if name.is_empty() {
            return Err("the name of an option is empty");
        }
        self.open = Some((name.to_owned(), vec![unquoted(trim(value)).to_owned()]));
        Ok(())
    }

    /// Puts the open value into its group; of one that is given twice the later counts.
    fn flush(&mut self) -> Result<(), &'static str> {
        let Some((name, lines)) = self.open.take() else { return Ok(()) };
        let group = self.group.clone().ok_or("before it is an option that is in no section")?;
        self.groups.entry(group).or_default().insert(name, lines.join("\n"));
        Ok(())
    }
}

/// The value without the quotes around it. One that is a single quote counts as both of them.
fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(rest) = value.strip_prefix(quote)
            && value.ends_with(quote)
        {
            return rest.strip_suffix(quote).unwrap_or("");
        }
    }
    value
}
