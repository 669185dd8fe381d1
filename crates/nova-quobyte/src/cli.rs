//! The command line.

pub(crate) mod help;
mod volume;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use quobyte_volume::host::Launcher;
use quobyte_volume::pure::disk::{Bus, TargetDev};
use quobyte_volume::pure::image::VolumeFormats;
use quobyte_volume::pure::io_policy::{CacheModeOption, IoModeOption, PhysicalBlockSize};

use self::help::CONFIGURATION;
pub(crate) use self::volume::{Image, Volume};

/// Attach VM images on a Quobyte volume to libvirt guests.
///
/// An image is a raw or qcow2 file directly on a Quobyte volume. The volume is mounted by Quobyte's own client as the
/// user that runs this command, once for all images on it, and unmounted when the last of them is disconnected.
#[derive(Debug, Parser)]
#[command(name = "nova-quobyte", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) options: GlobalOptions,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What a subcommand does is decided by its own arguments; these say how and where.
#[derive(Debug, Args)]
#[command(next_help_heading = CONFIGURATION)]
pub(crate) struct GlobalOptions {
    /// Read options from a file as Nova does, such as nova.conf: [libvirt] quobyte_mount_point_base, quobyte_client_cfg
    /// and disk_cachemodes, [quobyte] for the others, with underscores. Given several times, a later file wins. Without it the files
    /// count that $NOVA_QUOBYTE_CONFIG names, joined by colons, else /etc/nova-quobyte/nova-quobyte.conf, else
    /// /etc/nova/nova.conf
    // Not global: of those, clap keeps what stands behind the subcommand and drops what stands before it.
    #[arg(long, value_name = "FILE", action = ArgAction::Append)]
    pub(crate) config: Vec<PathBuf>,
    /// Mount volumes below this directory [default: /var/lib/nova/mnt]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) quobyte_mount_point_base: Option<PathBuf>,
    /// Hand this configuration file to mount.quobyte
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) quobyte_client_cfg: Option<PathBuf>,
    /// Keep records and locks in this directory, which must be this user's own [default: /run/nova-quobyte]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Have mount.quobyte started by: systemd-system, systemd-user, direct (this process) or auto, the first of them that
    /// is set up here [default: auto]
    #[arg(long, global = true, value_name = "LAUNCHER")]
    pub(crate) launcher: Option<Launcher>,
    /// Give mount.quobyte this many seconds [default: 60]
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) mount_timeout: Option<Duration>,
    /// Give a mounted volume this many seconds to answer [default: 5]
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) probe_timeout: Option<Duration>,
    /// Wait this many seconds for another operation on the same volume [default: 120]
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) lock_timeout: Option<Duration>,
    /// Give each call of libvirt's this many seconds. libvirt itself waits up to 30 for another operation on a domain
    /// [default: 40]
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) libvirt_timeout: Option<Duration>,
    /// Fix the I/O mode: auto, native, threads or io_uring [default: auto]
    #[arg(long, global = true, value_name = "MODE")]
    pub(crate) io_mode: Option<IoModeOption>,
    /// Fix the cache mode: auto, none, directsync, writeback or writethrough [default: auto]
    #[arg(long, global = true, value_name = "MODE")]
    pub(crate) cache_mode: Option<CacheModeOption>,
    /// Have guests align to this many bytes where a volume's connection_info does not say [default: not said]
    #[arg(long, global = true, value_name = "BYTES")]
    pub(crate) physical_block_size: Option<PhysicalBlockSize>,
    /// Permit volumes only these formats, of raw and qcow2. Snapshots that Cinder has named, volume-UUID.SNAPSHOT, may
    /// have either [default: raw,qcow2]
    #[arg(long, global = true, value_name = "FORMATS")]
    pub(crate) volume_formats: Option<VolumeFormats>,
    /// Ask this libvirt
    #[arg(
        long,
        global = true,
        value_name = "URI",
        env = "LIBVIRT_DEFAULT_URI",
        hide_env_values = true,
        default_value = "qemu:///system"
    )]
    pub(crate) connect_uri: String,
    /// What names it.
    #[arg(skip)]
    pub(crate) connect_uri_source: Option<ValueSource>,
    /// Answer with one JSON value on standard output
    #[arg(long, global = true, help_heading = "Output")]
    pub(crate) json: bool,
    /// Log more on standard error; twice for debugging
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Output")]
    pub(crate) verbose: u8,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Mount a volume, check its image and keep it mounted for a guest
    Connect {
        /// The guest's name or UUID; a guest that libvirt does not know yet, or no more, has its UUID alone
        #[arg(long, value_name = "GUEST")]
        instance: String,
        #[command(flatten)]
        volume: Volume,
    },
    /// Let go of a guest's volume, and unmount it when no guest is left
    Disconnect {
        /// The guest's name or UUID; a guest that libvirt does not know yet, or no more, has its UUID alone
        #[arg(long, value_name = "GUEST")]
        instance: String,
        #[command(flatten)]
        image: Image,
        /// Disconnect even what the guest itself still has, which then stays on record until the guest has released it;
        /// and take the mount away even if it hangs or files on it are open, as long as nobody is on record; given twice,
        /// whoever uses it
        #[arg(long, action = ArgAction::Count)]
        force: u8,
    },
    /// Print the libvirt <disk> of a volume
    DiskXml {
        #[command(flatten)]
        volume: Volume,
        /// The disk's name in the domain, such as vdb
        #[arg(long, value_name = "DEV")]
        target: TargetDev,
        #[command(flatten)]
        bus: BusOption,
    },
    /// Tell which cache and I/O mode a volume's disk gets, and why
    ///
    /// Nothing is mounted, and nothing put on record.
    Explain {
        #[command(flatten)]
        volume: Volume,
    },
    /// Connect a volume and add it to a domain, running or not
    // clap would put what is required first.
    #[command(
        override_usage = "nova-quobyte attach [OPTIONS] <DOMAIN> <IMAGE|--connection-info <FILE>|--export <URL>>"
    )]
    Attach {
        /// The domain's name or UUID
        domain: String,
        #[command(flatten)]
        volume: Volume,
        /// The disk's name in the domain; the next free one if not given
        #[arg(long, value_name = "DEV")]
        target: Option<TargetDev>,
        #[command(flatten)]
        bus: BusOption,
    },
    /// Take a disk out of a domain, then disconnect its volume
    Detach {
        /// The domain's name or UUID
        domain: String,
        /// The disk: its name in the domain, such as vdb, the file name of its image, or the image's URL
        disk: String,
        /// Give a running guest this many seconds to let go of the disk
        #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "60")]
        timeout: Duration,
    },
    /// List the volumes that are connected and how their mounts and disks are
    ///
    /// A line for each volume with the state of its mount, and below it one for each disk of a guest.
    Status {
        /// Show UUIDs of guests and paths, too
        #[arg(long)]
        wide: bool,
        /// End with 11 where a mount or a disk needs a person
        #[arg(long)]
        exit_code: bool,
    },
    /// Mend what a crash has left
    ///
    /// Mounts again what guests need, unmounts what nobody needs, and names what is neither.
    Reconcile {
        /// Only tell what would be done
        #[arg(long)]
        dry_run: bool,
        /// Leave it to one that runs already, which does it once more then
        #[arg(long, hide = true, conflicts_with_all = ["dry_run", "exit_code"])]
        in_turn: bool,
        /// End with 11 where something is left that needs a person, or with --dry-run where there is anything to do
        #[arg(long)]
        exit_code: bool,
    },
    /// Connect the volumes of a guest that starts: libvirt runs this as its hook, with the domain's description on standard
    /// input
    #[command(hide = true)]
    Hook {
        /// The domain's name
        guest: String,
        /// What happens to it
        operation: String,
        /// At which point
        sub_operation: String,
        /// What else libvirt says
        #[arg(allow_hyphen_values = true)]
        extra: Vec<String>,
    },
    /// Run a command in a volume
    ///
    /// The volume is mounted, unless it is, and stays so while the command runs. The command starts in the volume's root,
    /// whose path is in $NOVA_QUOBYTE_MOUNT, with this command's streams; its exit status becomes this command's. Afterwards
    /// the volume is unmounted unless a guest or somebody else needs it.
    Run {
        /// The volume: [quobyte://]host[:port][,host…]/volume
        #[arg(long, value_name = "URL")]
        export: String,
        /// The command and its arguments
        #[arg(last = true, required = true, value_name = "COMMAND")]
        command: Vec<OsString>,
    },
    /// Tell what is configured
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Print a shell's completions
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print a man page
    #[command(hide = true)]
    Man {
        /// The subcommand that it is of; of the command itself if not given
        #[arg(value_parser = page_name)]
        page: Option<String>,
        /// Print the names of all subcommands that have one
        #[arg(long, conflicts_with = "page")]
        list: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show each option's value and where it is from
    Show,
}

impl Command {
    /// Whether the answer is all that the command is for: it changes nothing.
    pub(crate) fn is_query(&self) -> bool {
        match self {
            Self::DiskXml { .. }
            | Self::Explain { .. }
            | Self::Status { .. }
            | Self::Config { .. }
            | Self::Completions { .. }
            | Self::Man { .. } => true,
            Self::Reconcile { dry_run, .. } => *dry_run,
            Self::Connect { .. }
            | Self::Disconnect { .. }
            | Self::Attach { .. }
            | Self::Detach { .. }
            | Self::Run { .. }
            | Self::Hook { .. } => false,
        }
    }

    /// The image that it is to connect or to look at.
    fn volume(&self) -> Option<&Volume> {
        match self {
            Self::Connect { volume, .. }
            | Self::DiskXml { volume, .. }
            | Self::Explain { volume }
            | Self::Attach { volume, .. } => Some(volume),
            _ => None,
        }
    }

    /// Whether it may start a client.
    pub(crate) fn may_mount(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Attach { .. } | Self::Run { .. } | Self::Hook { .. } => true,
            Self::Reconcile { dry_run, .. } => !dry_run,
            Self::Disconnect { .. }
            | Self::DiskXml { .. }
            | Self::Explain { .. }
            | Self::Detach { .. }
            | Self::Status { .. }
            | Self::Config { .. }
            | Self::Completions { .. }
            | Self::Man { .. } => false,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct BusOption {
    /// The disk's bus: virtio, scsi, sata, ide or usb. Without it the bus follows the name: virtio for vd, scsi for sd, ide
    /// for hd [default: virtio]
    #[arg(long, value_name = "BUS")]
    pub(crate) bus: Option<Bus>,
}

/// Parses the command line.
///
/// # Errors
/// clap's, with whether JSON was asked for: help and version are among them.
pub(crate) fn parse() -> Result<Cli, (bool, clap::Error)> {
    parse_from(std::env::args_os())
        .map_err(|error| (std::env::args_os().any(|argument| argument == "--json"), error))
}

/// Parses words as a command line.
pub(crate) fn parse_from<I>(words: I) -> Result<Cli, clap::Error>
where
    I: IntoIterator,
    I::Item: Into<OsString> + Clone,
{
    let mut command = command();
    let matches = command.try_get_matches_from_mut(words)?;
    let mut cli = Cli::from_arg_matches(&matches)?;
    cli.options.connect_uri_source = matches.value_source("connect_uri");
    add_configs_behind(&mut cli.options.config, &matches);
    if cli.command.volume().is_some_and(Volume::lacks_format) {
        let message =
            "the image's name does not end with .raw or .qcow2: give --format raw or --format qcow2";
        return Err(command.error(ErrorKind::MissingRequiredArgument, message));
    }
    Ok(cli)
}

/// Adds the files that stand behind a subcommand, and behind the one below that.
fn add_configs_behind(configs: &mut Vec<PathBuf>, matches: &ArgMatches) {
    let Some((_, behind)) = matches.subcommand() else { return };
    configs.extend(behind.get_many::<PathBuf>(CONFIG).into_iter().flatten().cloned());
    add_configs_behind(configs, behind);
}

const CONFIG: &str = "config";

/// The command line. Its subcommands take the configuration's options, but only the top-level help lists them.
pub(crate) fn command() -> clap::Command {
    let mut command = help::add_examples(parser(), "");
    // build() copies the global options to the subcommands.
    command.build();
    help::shorten(command)
}

/// The same as it is parsed, with nothing of what is for people alone.
pub(crate) fn parser() -> clap::Command {
    let command = Cli::command();
    let config = command.get_arguments().find(|option| option.get_id() == CONFIG).cloned();
    command.mut_subcommands(|subcommand| {
        subcommand.args(&config).mut_subcommands(|subcommand| subcommand.args(&config))
    })
}

/// The name of a subcommand that has a man page.
fn page_name(text: &str) -> Result<String, String> {
    let has_page = |command: &&clap::Command| help::has_page(command) && command.get_name() == text;
    let is_known = parser().get_subcommands().any(|command| has_page(&command));
    is_known
        .then(|| text.to_owned())
        .ok_or_else(|| "`nova-quobyte man --list` has those that are there".to_owned())
}

/// A duration in seconds, fractions allowed.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    duration(text.parse().unwrap_or(f64::NAN))
}

/// The same, of a number.
pub(crate) fn duration(seconds: f64) -> Result<Duration, String> {
    if (0.001..=86400.0).contains(&seconds) {
        return Ok(Duration::from_secs_f64(seconds));
    }
    Err("not a number of seconds from 0.001 to 86400".to_owned())
}

#[cfg(test)]
mod tests;
