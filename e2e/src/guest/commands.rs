//! The host's end of a guest's command service, which `tests/lab/guest-init` describes.

use std::{
    fs::{self, Permissions},
    io::{self, BufRead, BufReader, Error, ErrorKind, Read, Write},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::Path,
    time::Duration,
};

use crate::wait;

/// Ample for a boot, or for one command, of an emulated guest on a busy machine.
const LIMIT: Duration = Duration::from_secs(600);

/// To one QEMU.
pub(super) type Connection = BufReader<UnixStream>;

/// What a command in a guest left.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its exit status.
    pub status: i32,
    /// What it wrote to its standard output and error.
    pub output: String,
}

/// QEMU connects to us, and so early that no byte of the guest is lost.
#[derive(Debug)]
pub(super) struct Commands {
    listener: UnixListener,
    connection: Option<Connection>,
}

impl Commands {
    /// Offers `socket` to the guests that are started from now on.
    pub(super) fn listen(socket: &Path) -> Self {
        let listener = UnixListener::bind(socket)
            .unwrap_or_else(|error| panic!("listen at {}: {error}", socket.display()));
        fs::set_permissions(socket, Permissions::from_mode(0o666))
            .expect("let QEMU connect to a socket of ours");
        Self { listener, connection: None }
    }

    /// Takes the connection of a QEMU just started.
    pub(super) fn accept(&self) -> io::Result<Connection> {
        if !wait::readable(&self.listener, LIMIT) {
            return Err(ErrorKind::TimedOut.into());
        }
        let (stream, _) = self.listener.accept()?;
        stream.set_read_timeout(Some(LIMIT))?;
        Ok(BufReader::new(stream))
    }

    /// Takes the connection of a guest just started, and waits until it is ready.
    pub(super) fn connect(&mut self) -> io::Result<()> {
        let mut connection = self.accept()?;
        let line = read_line(&mut connection)?;
        if line != "ready" {
            return Err(Error::other(format!("it said `{line}`")));
        }
        self.connection = Some(connection);
        Ok(())
    }

    /// Goes on with the QEMU that has taken over the guest.
    pub(super) fn resume(&mut self, connection: Connection) {
        self.connection = Some(connection);
    }

    /// Runs one line of shell in the guest.
    pub(super) fn run(&mut self, command: &str) -> io::Result<Answer> {
        assert!(!command.contains('\n'), "the guest takes one line at a time");
        let connection = self.connection.as_mut().ok_or(ErrorKind::NotConnected)?;
        writeln!(connection.get_mut(), "{command}")?;
        let head = read_line(connection)?;
        let (status, length) = parse_head(&head).ok_or_else(|| Error::other(format!("it said `{head}`")))?;
        let mut output = vec![0; length];
        connection.read_exact(&mut output)?;
        Ok(Answer { status, output: String::from_utf8_lossy(&output).into_owned() })
    }
}

fn parse_head(head: &str) -> Option<(i32, usize)> {
    let (status, length) = head.split_once(' ')?;
    Some((status.parse().ok()?, length.parse().ok()?))
}

fn read_line(connection: &mut Connection) -> io::Result<String> {
    let mut line = String::new();
    if connection.read_line(&mut line)? == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end_matches('\n').to_owned())
}
