//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgGroup, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use quobyte_volume::host::Launcher;
use quobyte_volume::pure::connection::InstanceId;
use quobyte_volume::pure::disk::{Bus, TargetDev};
use quobyte_volume::pure::image::VolumeFormats;
use quobyte_volume::pure::io_policy::{CacheModeOption, IoModeOption, PhysicalBlockSize};

/// Attach VM images on a Quobyte volume to libvirt guests.
///
/// An image is a raw or qcow2 file directly on a Quobyte volume. The volume is mounted by Quobyte's own client as the
/// user that runs this command, once for all images on it, and unmounted when the last of them is disconnected.
#[derive(Debug, Parser)]
#[command(name = "nova-quobyte", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) options: GlobalOptions,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 internal, 2 usage, 3 invalid input, 4 mount, 5 time, 6 image, 7 in use, 8 libvirt, 9 state,
10 host exhausted.
With --json an error is {\"error\":{\"code\":…,\"message\":…}}; its code never changes its meaning.";

const CONFIGURATION: &str = "Configuration";

/// What a subcommand does is decided by its own arguments; these say how and where.
#[derive(Debug, Args)]
#[command(next_help_heading = CONFIGURATION)]
pub(crate) struct GlobalOptions {
    /// Read options from a file as Nova does, such as nova.conf: [libvirt] quobyte_mount_point_base, quobyte_client_cfg
    /// and disk_cachemodes, [quobyte] for the others, with underscores. Given several times, a later file wins
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
        default_value = "qemu:///system"
    )]
    pub(crate) connect_uri: String,
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
        /// The guest's UUID
        #[arg(long, value_name = "UUID")]
        instance: InstanceId,
        #[command(flatten)]
        volume: Volume,
    },
    /// Let go of a guest's volume, and unmount it when no guest is left
    Disconnect {
        /// The guest's UUID
        #[arg(long, value_name = "UUID")]
        instance: InstanceId,
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
        connection: ConnectionFile,
        /// The disk's name in the domain, such as vdb
        #[arg(long, value_name = "DEV")]
        target: TargetDev,
        #[command(flatten)]
        bus: BusOption,
    },
    /// Tell which cache and I/O mode a volume's disk gets, and why; nothing is mounted, and nothing put on record
    Explain {
        #[command(flatten)]
        connection: ConnectionFile,
    },
    /// Connect a volume and add it to a domain, running or not
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
        /// The disk's name in the domain, such as vdb
        target: TargetDev,
        /// Give a running guest this many seconds to let go of the disk
        #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "60")]
        timeout: Duration,
    },
    /// List the volumes that are connected and how their mounts are
    Status,
    /// Mend what a crash has left: mount again what guests need, unmount what nobody needs, name what is neither
    Reconcile {
        /// Only tell what would be done
        #[arg(long)]
        dry_run: bool,
        /// Leave it to one that runs already, which does it once more then
        #[arg(long, conflicts_with = "dry_run")]
        in_turn: bool,
    },
    /// Connect the volumes of a guest that starts: libvirt runs this as its hook, with the domain's description on standard
    /// input
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
}

impl Command {
    /// Whether the answer is all that the command is for: it changes nothing.
    pub(crate) fn is_query(&self) -> bool {
        match self {
            Self::DiskXml { .. } | Self::Explain { .. } | Self::Status => true,
            Self::Reconcile { dry_run, .. } => *dry_run,
            Self::Connect { .. }
            | Self::Disconnect { .. }
            | Self::Attach { .. }
            | Self::Detach { .. }
            | Self::Hook { .. } => false,
        }
    }

    /// Whether it may start a client.
    pub(crate) fn may_mount(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Attach { .. } | Self::Hook { .. } => true,
            Self::Reconcile { dry_run, .. } => !dry_run,
            Self::Disconnect { .. }
            | Self::DiskXml { .. }
            | Self::Explain { .. }
            | Self::Detach { .. }
            | Self::Status => false,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ConnectionFile {
    /// Read Cinder's connection_info, a JSON object, from a file; - is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) connection_info: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct BusOption {
    /// The disk's bus: virtio, scsi, sata, ide or usb. Without it the bus follows the name: virtio for vd, scsi for sd, ide
    /// for hd [default: virtio]
    #[arg(long, value_name = "BUS")]
    pub(crate) bus: Option<Bus>,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("volume").required(true).args(["connection_info", "export"]))]
pub(crate) struct Volume {
    /// Read Cinder's connection_info, a JSON object, from a file; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["export", "name", "format"])]
    pub(crate) connection_info: Option<PathBuf>,
    /// The volume: [quobyte://]host[:port][,host…]/volume
    #[arg(long, value_name = "URL", requires_all = ["name", "format"])]
    pub(crate) export: Option<String>,
    /// The image's file name on the volume
    #[arg(long, requires = "export")]
    pub(crate) name: Option<String>,
    /// The image's format: raw or qcow2
    #[arg(long, requires = "export")]
    pub(crate) format: Option<String>,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("image").required(true).args(["connection_info", "export"]))]
pub(crate) struct Image {
    /// Read Cinder's connection_info, a JSON object, from a file; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["export", "name"])]
    pub(crate) connection_info: Option<PathBuf>,
    /// The volume: [quobyte://]host[:port][,host…]/volume
    #[arg(long, value_name = "URL", requires = "name")]
    pub(crate) export: Option<String>,
    /// The image's file name on the volume, as it was when it was connected
    #[arg(long, requires = "export")]
    pub(crate) name: Option<String>,
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
    let matches = command().try_get_matches_from(words)?;
    let mut cli = Cli::from_arg_matches(&matches)?;
    let behind = matches.subcommand().and_then(|(_, matches)| matches.get_many::<PathBuf>(CONFIG));
    cli.options.config.extend(behind.into_iter().flatten().cloned());
    Ok(cli)
}

const CONFIG: &str = "config";

/// The command line. Its subcommands take the configuration's options, but only the top-level help lists them.
fn command() -> clap::Command {
    const SUBCOMMAND_AFTER_HELP: &str = "\
Options that say where and how, such as --config, go with every command: see nova-quobyte --help.";
    let config = Cli::command().get_arguments().find(|option| option.get_id() == CONFIG).cloned();
    let mut command = Cli::command().mut_subcommands(|subcommand| subcommand.args(&config));
    // build() copies the global options to the subcommands.
    command.build();
    command.mut_subcommands(|subcommand| {
        let is_configuration = |option: &Arg| option.get_help_heading() == Some(CONFIGURATION);
        subcommand
            .mut_args(|option| if is_configuration(&option) { option.hide(true) } else { option })
            .after_help(SUBCOMMAND_AFTER_HELP)
    })
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
mod tests {
    use super::*;

    #[test]
    fn clap_definition_is_valid() {
        Cli::command().debug_assert();
    }

    #[test]
    fn attach_takes_connection_info_or_image() {
        let accepts = |arguments: &str| {
            Cli::try_parse_from(["nova-quobyte", "attach", "vm"].into_iter().chain(arguments.split(' ')))
                .is_ok()
        };
        assert!(accepts("--connection-info -"));
        assert!(accepts("--export r/v --name n --format raw"));
        assert!(!accepts("--target vdb"));
        assert!(!accepts("--export r/v --name n"));
        assert!(!accepts("--name n --format raw"));
        assert!(!accepts("--connection-info - --export r/v --name n --format raw"));
        assert!(!accepts("--connection-info - --format raw"));
    }

    #[test]
    fn subcommand_help_hides_configuration_options() {
        let help = |words: &[&str]| command().try_get_matches_from(words).unwrap_err().to_string();
        let whole = help(&["nova-quobyte", "--help"]);
        let one = help(&["nova-quobyte", "detach", "--help"]);
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
}
