//! What standard output is, as far as it decides how an answer looks: a person's terminal has a width and colours, a pipe has
//! neither.

use std::io::{self, IsTerminal};

use rustix::termios::tcgetwinsize;

/// How an answer is to look.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Terminal {
    /// How many columns a line may have; `None` where nobody reads lines by their width.
    pub(crate) width: Option<u16>,
    /// Whether colours are shown and wanted.
    pub(crate) has_colours: bool,
}

/// What is said of a word by its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    Good,
    Doubtful,
    Bad,
}

impl Terminal {
    /// What standard output is.
    pub(crate) fn of_output() -> Self {
        let output = io::stdout();
        if !output.is_terminal() {
            return Self::default();
        }
        let width = tcgetwinsize(&output).ok().map(|size| size.ws_col).filter(|width| *width > 0);
        Self { width: Some(width.unwrap_or(80)), has_colours: wants_colours() }
    }

    /// The word in its colour, where there are any.
    pub(crate) fn paint(self, word: &str, colour: Colour) -> String {
        let code = match colour {
            Colour::Good => 32,
            Colour::Doubtful => 33,
            Colour::Bad => 31,
        };
        if self.has_colours { format!("\x1b[{code}m{word}\x1b[0m") } else { word.to_owned() }
    }
}

/// Whether a terminal may be shown colours: <https://no-color.org>.
pub(crate) fn wants_colours() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !is_set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}
