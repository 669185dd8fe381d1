//! What help and man pages say beyond the options: an example for everything that people type.

use clap::{Arg, Command};

/// The heading of the options that say how and where.
pub(super) const CONFIGURATION: &str = "Configuration";

/// Lines to copy, by subcommand; those of the whole command have no name.
const EXAMPLES: [(&str, &str); 15] = [
    (
        "",
        "\
nova-quobyte attach web1 quobyte://registry.example.com/volumes/disk1.raw
nova-quobyte status
nova-quobyte detach web1 disk1.raw
nova-quobyte reconcile",
    ),
    (
        "connect",
        "\
nova-quobyte connect --instance web1 quobyte://registry.example.com/volumes/disk1.raw
nova-quobyte connect --instance web1 --connection-info volume.json --json",
    ),
    (
        "disconnect",
        "\
nova-quobyte disconnect --instance web1 quobyte://registry.example.com/volumes/disk1.raw
nova-quobyte disconnect --instance 9f4c1d9e-0c3b-4f3e-8f0e-5b1f6d0c2a77 --connection-info volume.json",
    ),
    ("disk-xml", "nova-quobyte disk-xml quobyte://registry.example.com/volumes/disk1.raw --target vdb"),
    ("explain", "nova-quobyte explain quobyte://registry.example.com/volumes/disk1.raw"),
    (
        "attach",
        "\
nova-quobyte attach web1 quobyte://registry.example.com/volumes/disk1.raw
nova-quobyte attach web1 registry.example.com/volumes/disk2 --format qcow2 --target vdc",
    ),
    (
        "detach",
        "\
nova-quobyte detach web1 vdb
nova-quobyte detach web1 disk1.raw",
    ),
    (
        "status",
        "\
nova-quobyte status
nova-quobyte status --exit-code >/dev/null || echo 'see nova-quobyte status'",
    ),
    (
        "reconcile",
        "\
nova-quobyte reconcile --dry-run
nova-quobyte reconcile",
    ),
    (
        "run",
        "\
nova-quobyte run --export quobyte://registry.example.com/volumes -- ls -l
nova-quobyte run --export quobyte://registry.example.com/volumes -- qemu-img create -f raw disk1.raw 10G",
    ),
    ("config", "nova-quobyte config show"),
    ("config show", "nova-quobyte config show --json"),
    ("completions", "nova-quobyte completions bash >~/.local/share/bash-completion/completions/nova-quobyte"),
    ("hook", "nova-quobyte hook web1 prepare begin -"),
    ("man", "nova-quobyte man attach | man --local-file -"),
];

/// The examples of a subcommand, or of the command itself.
pub(crate) fn examples(subcommand: &str) -> Option<&'static str> {
    EXAMPLES.iter().find(|(name, _)| *name == subcommand).map(|(_, examples)| *examples)
}

/// Has `--help` begin with examples, and tells exit codes at its end.
pub(super) fn add_examples(command: Command, above: &str) -> Command {
    let is_whole = command.get_name() == "nova-quobyte";
    let name = if is_whole { String::new() } else { format!("{above}{}", command.get_name()) };
    let below = if is_whole { String::new() } else { format!("{name} ") };
    let command = match examples(&name) {
        None => command,
        Some(examples) => {
            let about = command.get_long_about().or(command.get_about());
            let about = about.map(ToString::to_string).unwrap_or_default();
            let indented: String = examples.lines().map(|line| format!("\n  {line}")).collect();
            command.long_about(format!("{about}\n\nExamples:{indented}"))
        }
    };
    let command = if is_whole { command.after_long_help(EXIT_CODES) } else { command };
    command.mut_subcommands(|subcommand| add_examples(subcommand, &below))
}

/// Shortens `-h` to what a person looks up every day, and lists the options of the configuration once, in the command's own
/// `--help`: every subcommand takes them. Without that the built `command` repeats them in each.
pub(super) fn shorten(command: Command) -> Command {
    command
        .mut_args(|option| if is_configuration(&option) { option.hide_short_help(true) } else { option })
        .after_help("nova-quobyte --help has examples, exit codes and the options of the configuration.")
        .mut_subcommands(shorten_subcommand)
}

fn shorten_subcommand(subcommand: Command) -> Command {
    const AFTER_HELP: &str = "\
Options that say where and how, such as --config, go with every command: see nova-quobyte --help.";
    subcommand
        .mut_args(|option| if is_configuration(&option) { option.hide(true) } else { option })
        .after_help(AFTER_HELP)
        .mut_subcommands(shorten_subcommand)
}

/// Whether a subcommand has a man page.
pub(crate) fn has_page(subcommand: &Command) -> bool {
    !subcommand.is_hide_set() && subcommand.get_name() != "help"
}

/// Whether an option says how and where, as every subcommand takes it.
pub(crate) fn is_configuration(option: &Arg) -> bool {
    option.get_help_heading() == Some(CONFIGURATION)
}

/// What each exit status means.
pub(crate) const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 internal, 2 usage, 3 invalid input, 4 mount, 5 time, 6 image, 7 in use, 8 libvirt, 9 state,
10 host exhausted, 11 --exit-code was given and something needs a person.
With --json an error is {\"error\":{\"code\":…,\"message\":…}}; its code never changes its meaning.";
