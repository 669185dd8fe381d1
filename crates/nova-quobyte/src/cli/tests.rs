//! What the command line takes, and what its help says.

use super::*;

#[test]
fn clap_definition_is_valid() {
    Cli::command().debug_assert();
}

#[test]
fn attach_takes_connection_info_or_image() {
    let accepts = |arguments: &str| {
        Cli::try_parse_from(["nova-quobyte", "attach", "vm"].into_iter().chain(arguments.split(' '))).is_ok()
    };
    assert!(accepts("--connection-info -"));
    assert!(accepts("--export r/v --name n --format raw"));
    assert!(!accepts("--target vdb"));
    assert!(!accepts("--export r/v --name n"));
    assert!(!accepts("--name n --format raw"));
    assert!(!accepts("--connection-info - --export r/v --name n --format raw"));
    assert!(!accepts("--connection-info - --format raw"));
    assert!(!accepts("--format raw"));
}

#[test]
fn subcommand_help_hides_configuration_options() {
    let whole = help(&["--help"]);
    let one = help(&["detach", "--help"]);
    for (option, is_listed) in [("--mount-timeout", false), ("--timeout", true), ("--json", true)] {
        assert_eq!(
            one.contains(&format!(" {option} ")) || one.contains(&format!(" {option}\n")),
            is_listed,
            "{one}"
        );
    }
    assert!(whole.contains("--mount-timeout") && one.contains("nova-quobyte --help"), "{one}");
    command().try_get_matches_from(["nova-quobyte", "status", "--mount-timeout", "7"]).unwrap();
}

#[test]
fn seconds_are_positive_and_bounded() {
    assert_eq!(seconds("0.5").unwrap(), Duration::from_millis(500));
    for text in ["0", "-1", "x", "NaN", "inf", "1e9", ""] {
        assert!(seconds(text).is_err(), "{text}");
    }
}

#[test]
fn image_format_is_given_or_named() {
    let volume = |words: &str| {
        let words = ["nova-quobyte", "attach", "vm"].into_iter().chain(words.split(' '));
        parse_from(words).map(|cli| cli.command.volume().unwrap().declared_format().map(str::to_owned))
    };
    assert_eq!(volume("r/v/disk.raw").unwrap().as_deref(), Some("raw"));
    assert_eq!(volume("r/v/disk.qcow2").unwrap().as_deref(), Some("qcow2"));
    assert_eq!(volume("r/v/disk.raw --format qcow2").unwrap().as_deref(), Some("qcow2"));
    for words in ["r/v/disk", "r/v/disk.img", "r/v.raw/disk"] {
        let error = volume(words).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MissingRequiredArgument, "{words}");
        assert!(error.to_string().contains("--format raw"), "{error}");
    }
    for words in [
        "r/v/d.raw --connection-info -",
        "r/v/d.raw --export r/v --name n --format raw",
        "r/v/d.raw --name n",
    ] {
        volume(words).unwrap_err();
    }
}

/// The help that these words print, in as many columns wherever the test runs.
fn help(words: &[&str]) -> String {
    let words = ["nova-quobyte"].iter().chain(words);
    command().term_width(100).try_get_matches_from(words).unwrap_err().to_string()
}

#[test]
fn help_is_as_it_was_read_last() {
    insta::assert_snapshot!("short", help(&["-h"]));
    insta::assert_snapshot!("long", help(&["--help"]));
    let command = command();
    let names = command.get_subcommands().map(clap::Command::get_name).filter(|name| *name != "help");
    for name in names {
        insta::assert_snapshot!(name.replace('-', "_"), help(&[name, "--help"]));
    }
}

#[test]
fn short_help_fits_a_screen() {
    assert!(help(&["-h"]).lines().count() <= 40, "{}", help(&["-h"]));
}

#[test]
fn every_subcommand_has_examples_that_parse() {
    for command in command().get_subcommands().filter(|command| command.get_name() != "help") {
        let examples = help::examples(command.get_name()).unwrap_or_else(|| panic!("{}", command.get_name()));
        for line in examples.lines() {
            let words: Vec<_> = line.split(' ').take_while(|word| !word.starts_with(['>', '|'])).collect();
            parse_from(&words).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }
}
