//! The command line of `mount.quobyte`: options before and after the two positionals. Parsing does no I/O.

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::PathBuf;

use crate::export::RequestedExport;

/// Printed on stdout for `--help`, and on stderr below a usage error.
pub(crate) const USAGE: &str = "\
usage: mount.quobyte [OPTIONS] [quobyte://]HOST[:PORT][,HOST...]/[VOLUME] MOUNTPOINT

  -c FILE            client configuration
  -l FILE            write the log here
  -d LEVEL           log level (accepted, without effect)
  -f                 stay in the foreground
  -o OPTION[,...]    mount options; `ro` and `rw` count
  --disable-xattrs   answer no extended attributes
  --version          print the version
";

/// Long flags of real clients that take a value, as `--flag VALUE` or `--flag=VALUE`.
const VALUED: &[&str] = &["hostname", "http-port", "minidump-path", "disable-quorum-read", "rdma.enabled"];
/// Long flags of real clients that stand alone.
const BARE: &[&str] = &[
    "allow-usermapping-in-volumename",
    "allow-minidump-upload",
    "enable-access-contexts",
    "no-default-permissions",
    "multi-tenant",
];

/// What a command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Print the usage.
    Help,
    /// Print the version.
    Version,
    /// Mount a volume.
    Mount(Arguments),
}

/// A mount, as asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// What to mount.
    pub(crate) export: RequestedExport,
    /// Where to mount it.
    pub(crate) mount_point: PathBuf,
    /// `-c`: the client configuration.
    pub(crate) config: Option<PathBuf>,
    /// `-l`: the log.
    pub(crate) log: Option<PathBuf>,
    /// `-f`: do not become a daemon.
    pub(crate) foreground: bool,
    /// `-o ro`
    pub(crate) read_only: bool,
    /// `--disable-xattrs`
    pub(crate) disable_xattrs: bool,
}

/// A command line the client does not take, in words for the user.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UsageError {
    #[error("unknown option: {0}")]
    UnknownOption(String),
    #[error("option needs a value: {0}")]
    MissingValue(String),
    #[error("option takes no value: {0}")]
    UnexpectedValue(String),
    #[error("expected a volume and a mount point, got {0} argument(s)")]
    Positionals(usize),
    #[error("not a volume: {0}")]
    Export(String),
}

/// Parses the arguments after the program's name.
pub(crate) fn parse(arguments: &[OsString]) -> Result<Request, UsageError> {
    let mut parsed = Parsed::default();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value =
            |name: &str| rest.next().cloned().ok_or_else(|| UsageError::MissingValue(name.to_owned()));
        match argument.to_str() {
            Some("-h" | "--help") => return Ok(Request::Help),
            Some("-V" | "--version") => return Ok(Request::Version),
            Some("-f") => parsed.foreground = true,
            Some("-c") => parsed.config = Some(value("-c")?.into()),
            Some("-l") => parsed.log = Some(value("-l")?.into()),
            Some("-d") => drop(value("-d")?),
            Some("-o") => parsed.mount_options(&value("-o")?.to_string_lossy())?,
            Some(text) if text.starts_with("--") => {
                if parsed.long_flag(&text[2..], text)? {
                    value(text)?;
                }
            }
            Some(text) if text.starts_with('-') => return Err(UsageError::UnknownOption(text.to_owned())),
            _ => parsed.positionals.push(argument.clone()),
        }
    }
    parsed.finish().map(Request::Mount)
}

#[derive(Default)]
struct Parsed {
    positionals: Vec<OsString>,
    config: Option<PathBuf>,
    log: Option<PathBuf>,
    foreground: bool,
    read_only: bool,
    disable_xattrs: bool,
}

impl Parsed {
    /// Takes a long flag without its dashes, and says whether its value is the next argument.
    fn long_flag(&mut self, flag: &str, shown: &str) -> Result<bool, UsageError> {
        let (name, value) = flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value)));
        if VALUED.contains(&name) {
            return Ok(value.is_none());
        }
        let known = name == "disable-xattrs" || BARE.contains(&name);
        match (known, value) {
            (false, _) => Err(UsageError::UnknownOption(shown.to_owned())),
            (true, Some(_)) => Err(UsageError::UnexpectedValue(shown.to_owned())),
            (true, None) => {
                self.disable_xattrs |= name == "disable-xattrs";
                Ok(false)
            }
        }
    }

    /// Takes the options of `-o`. mount(8) passes on whatever an fstab holds, so any word is taken as an option.
    fn mount_options(&mut self, options: &str) -> Result<(), UsageError> {
        for option in options.split(',') {
            match option {
                "ro" => self.read_only = true,
                "rw" => self.read_only = false,
                "disable-xattrs" => self.disable_xattrs = true,
                _ if is_mount_option(option) => {}
                _ => return Err(UsageError::UnknownOption(format!("-o {option}"))),
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Arguments, UsageError> {
        let [export, mount_point] = &self.positionals[..] else {
            return Err(UsageError::Positionals(self.positionals.len()));
        };
        Ok(Arguments {
            export: export
                .to_str()
                .and_then(RequestedExport::parse)
                .ok_or_else(|| UsageError::Export(export.to_string_lossy().into_owned()))?,
            mount_point: mount_point.into(),
            config: self.config,
            log: self.log,
            foreground: self.foreground,
            read_only: self.read_only,
            disable_xattrs: self.disable_xattrs,
        })
    }
}

fn is_mount_option(option: &str) -> bool {
    let name = option.split_once('=').map_or(option, |(name, _)| name);
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}
