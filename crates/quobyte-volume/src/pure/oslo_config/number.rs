//! Numbers and blanks as Python takes them.

/// Whether Python's `str.strip()` takes the character away.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

pub(super) fn trim(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// What `float()` makes of text. Of digits it takes more than the ten of ASCII.
pub(super) fn float(text: &str) -> Option<f64> {
    without_underscores(trim_number(text))?.parse().ok()
}

/// What `int()` makes of it.
pub(super) fn integer(text: &str) -> Option<i64> {
    without_underscores(trim_number(text))?.parse().ok()
}

/// Text without the blanks that a number may have around it: of ASCII's, those of C alone.
fn trim_number(text: &str) -> &str {
    text.trim_matches(|c: char| if c.is_ascii() { matches!(c, ' ' | '\t'..='\r') } else { is_space(c) })
}

/// Digits may be grouped by single underscores.
fn without_underscores(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let is_digit =
        |index: Option<usize>| index.and_then(|index| bytes.get(index)).is_some_and(u8::is_ascii_digit);
    let is_between_digits = |index: usize| is_digit(index.checked_sub(1)) && is_digit(Some(index + 1));
    let are_all = text.match_indices('_').all(|(index, _)| is_between_digits(index));
    are_all.then(|| text.replace('_', ""))
}
