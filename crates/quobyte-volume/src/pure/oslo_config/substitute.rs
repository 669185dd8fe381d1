//! `$name`, `${name}` and `${group.name}` in a value stand for other options' values, `$$` and `\$` for a dollar.

use super::known::{DEFAULT, Default, Kind, KnownOption, is_known_group, known_option};
use super::{OsloConfig, number};

/// Longest value that substitution may make, in bytes.
const MAX_VALUE_LEN: usize = 64 * 1024;

/// How often options may be put in places of others for one value.
const MAX_SUBSTITUTIONS: usize = 1000;

/// How deep options may refer to others: there are not as many, so one that does refers to itself.
const MAX_DEPTH: usize = 32;

/// Why a value cannot be made.
pub(super) type Reason = String;

impl OsloConfig {
    /// The value of an option of `group`, given as it stands in the file.
    pub(super) fn substitute(&self, group: &str, raw: &str) -> Result<String, Reason> {
        let mut substitution = Substitution { config: self, left: MAX_SUBSTITUTIONS };
        substitution.text(group, raw, 0)
    }
}

struct Substitution<'a> {
    config: &'a OsloConfig,
    left: usize,
}

impl Substitution<'_> {
    fn text(&mut self, group: &str, raw: &str, depth: usize) -> Result<String, Reason> {
        let raw = raw.replace(r"\$", "$$");
        let mut value = String::new();
        let mut rest = raw.as_str();
        while let Some((before, after)) = rest.split_once('$') {
            value.push_str(before);
            rest = match reference(after) {
                Reference::Dollar(behind) => {
                    value.push('$');
                    behind
                }
                Reference::Option(name, behind) => {
                    value.push_str(&self.referred(group, name, depth)?);
                    behind
                }
                Reference::Nothing => {
                    value.push('$');
                    after
                }
            };
            if value.len() > MAX_VALUE_LEN {
                return Err("becomes longer than 64 KiB by the options it refers to".to_owned());
            }
        }
        value.push_str(rest);
        Ok(value)
    }

    /// The value of the option that `name` stands for in an option of `group`.
    fn referred(&mut self, group: &str, name: &str, depth: usize) -> Result<String, Reason> {
        self.left = self.left.checked_sub(1).ok_or("refers to too many options")?;
        if depth == MAX_DEPTH {
            return Err("refers to itself".to_owned());
        }
        let found = match name.split_once('.') {
            Some((group, name)) => known_option(group, name).filter(|option| is_known_group(option.group)),
            None if is_known_group(name) => None,
            None => known_option(group, name).or_else(|| known_option(DEFAULT, name)),
        };
        let unknown = || format!("refers to {}, whose value is not known here", crate::error::excerpt(name));
        let option = found.ok_or_else(unknown)?;
        let raw = match (self.config.raw(option.group, option.name), &option.default) {
            (Some(raw), _) => raw,
            (None, Default::Text(default)) => default,
            (None, Default::Nothing) => return Ok(String::new()),
            (None, Default::Unknown) => return Err(unknown()),
        };
        let text = self.text(option.group, raw, depth + 1)?;
        written(option, text)
    }
}

/// A value as Python writes it.
fn written(option: &KnownOption, text: String) -> Result<String, Reason> {
    let number = match option.kind {
        Kind::Text => return Ok(text),
        _ if number::trim(&text).is_empty() => return Ok(String::new()),
        Kind::Float => number::float(&text).map(|number| format!("{number:?}")),
        Kind::Integer => number::integer(&text).map(|number| number.to_string()),
    };
    number.ok_or_else(|| format!("refers to {}, which is no number", option.name))
}

/// What follows a dollar.
enum Reference<'a> {
    /// Another one, and what is behind it.
    Dollar(&'a str),
    /// An option's name, and what is behind it.
    Option(&'a str, &'a str),
    /// Neither: the dollar stands for itself.
    Nothing,
}

fn reference(after: &str) -> Reference<'_> {
    if let Some(behind) = after.strip_prefix('$') {
        return Reference::Dollar(behind);
    }
    match after.strip_prefix('{') {
        None => match name_len(after) {
            0 => Reference::Nothing,
            len => Reference::Option(&after[..len], &after[len..]),
        },
        Some(braced) => {
            let len = name_len(braced);
            match braced[len..].strip_prefix('}') {
                Some(behind) if len > 0 => Reference::Option(&braced[..len], behind),
                _ => Reference::Nothing,
            }
        }
    }
}

/// The length of the name that text starts with. Names that differ in case are names, too, though none is an option's.
fn name_len(text: &str) -> usize {
    // Python's letters without regard to case.
    let is_letter =
        |c: char| c.is_ascii_alphabetic() || matches!(c, '\u{130}' | '\u{131}' | '\u{17f}' | '\u{212a}');
    let is_first = |c: char| c == '_' || is_letter(c);
    let is_further = |c: char| is_first(c) || c == '.' || c.is_ascii_digit();
    if !text.starts_with(is_first) {
        return 0;
    }
    text.find(|c| !is_further(c)).unwrap_or(text.len())
}
