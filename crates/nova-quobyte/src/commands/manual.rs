//! `completions` and `man`: what a shell and `man` are to be told of the command line.

use std::io;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use serde_json::json;

use crate::cli::{self, help};
use crate::error::Error;
use crate::output::Answer;

pub(super) fn completions(shell: Shell) -> Answer {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut cli::parser(), "nova-quobyte", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    Answer::new(json!({ "script": script }), script)
}

/// The man page of a subcommand, or of the command itself, or the names of all that have one.
///
/// # Errors
/// [`Error::Unprinted`]
pub(super) fn page(name: Option<&str>, list: bool) -> Result<Answer, Error> {
    let mut command = cli::parser();
    command.build();
    let subcommands: Vec<_> =
        command.get_subcommands().filter(|subcommand| help::has_page(subcommand)).collect();
    if list {
        let names: Vec<_> = subcommands.iter().map(|subcommand| subcommand.get_name().to_owned()).collect();
        let text = names.join("\n");
        return Ok(Answer::new(json!({ "pages": names }), text));
    }
    let subcommand = subcommands.into_iter().find(|subcommand| Some(subcommand.get_name()) == name).cloned();
    let (name, page) = subcommand.map_or(("", command), |page| (name.unwrap_or_default(), page));
    let mut text = Vec::new();
    render(page, name, &mut text).map_err(|source| Error::Unprinted { source })?;
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok(Answer::new(json!({ "page": text }), text))
}

fn render(page: Command, name: &str, text: &mut Vec<u8>) -> io::Result<()> {
    let full_name = if name.is_empty() { "nova-quobyte".to_owned() } else { format!("nova-quobyte-{name}") };
    let hide = |option: clap::Arg| {
        // They go with every subcommand, and the command's own page has them.
        if !name.is_empty() && help::is_configuration(&option) { option.hide(true) } else { option }
    };
    let page = page.mut_args(hide).display_name(full_name.clone());
    let man = Man::new(page).title(full_name.to_uppercase()).section("1");
    let man = man.source(concat!("nova-quobyte ", env!("CARGO_PKG_VERSION"))).manual("User Commands");
    man.render_title(text)?;
    man.render_name_section(text)?;
    man.render_synopsis_section(text)?;
    man.render_description_section(text)?;
    let mut roff = Roff::new();
    if let Some(examples) = help::examples(name) {
        roff.control("SH", ["EXAMPLES"]).control("nf", []);
        for line in examples.lines() {
            roff.text([roman(line)]);
        }
        roff.control("fi", []);
    }
    roff.to_writer(text)?;
    man.render_options_section(text)?;
    let mut roff = Roff::new();
    if name.is_empty() {
        man.render_subcommands_section(text)?;
        roff.control("SH", ["EXIT STATUS"]).text([roman(help::EXIT_CODES.replace('\n', " "))]);
        roff.control("SH", ["FILES"]);
        roff.text([roman("/etc/nova-quobyte/nova-quobyte.conf, /etc/nova/nova.conf, /run/nova-quobyte")]);
    } else {
        roff.control("SH", ["SEE ALSO"]);
        roff.text([roman("nova-quobyte(1), which has the options of the configuration and the exit codes")]);
    }
    roff.to_writer(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_has_examples_and_no_foreign_options() {
        let text = |name| page(name, false).unwrap().into_text();
        let names = page(None, true).unwrap().into_text();
        assert!(names.lines().count() > 5, "{names}");
        for name in names.lines() {
            let text = text(Some(name));
            assert!(text.contains(".SH EXAMPLES\n.nf\nnova\\-quobyte"), "{text}");
            assert!(!text.contains("probe\\-timeout"), "{text}");
        }
        let whole = text(None);
        for part in ["probe\\-timeout", "nova\\-quobyte\\-attach(1)", "EXIT STATUS", "/etc/nova"] {
            assert!(whole.contains(part), "{part}: {whole}");
        }
    }

    #[test]
    fn completions_know_every_subcommand() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = completions(shell).into_text();
            assert!(
                ["attach", "reconcile", "--exit-code"]
                    .iter()
                    .all(|word| script.contains(word.trim_start_matches('-')))
            );
        }
    }
}
