//! How a mount does direct I/O, found out by reading from it. Runs in the helper process.
//!
//! A client that negotiates `FUSE_ASYNC_DIO` lets who submits a request go on; any other makes them sleep until it is
//! answered. Whether a read is done when its submission returns does not tell the two apart: a client that is quick, or
//! that takes the processor from the submitter, is done by then although nobody waited. That the submitter slept does.
//!
//! That it did not sleep tells nothing where the client took its processor: the client then answers before the submitter
//! comes to wait. Most kernels let a client do so that was given the submitter's processor, so the submitter leaves that
//! processor and reads again.

use std::io;
use std::path::Path;
use std::thread;

use rustix::fd::OwnedFd;
use rustix::fs::{OFlags, ftruncate};
use rustix::io::Errno;

use super::client_calls::{open_root, open_same_file, reopen};
use super::own_processors::OwnProcessors;
use super::scratch_file;
use crate::host::sys::aio::{Aio, Submission};
use crate::pure::connection::ImageFormat;
use crate::pure::image::Layer;
use crate::pure::io_policy::{DirectIo, Probe};

/// How many blocking reads show that direct I/O is synchronous. A single one may mislead: now and then a submitter
/// sleeps for another reason.
const MIN_BLOCKING_READS: u8 = 2;

/// How many nonblocking reads show that direct I/O is asynchronous. More, since a mistake here costs more: a guest
/// whose submitter waits after all stops for each request.
const MIN_NONBLOCKING_READS: u8 = 3;

/// How many reads may be preempted, which tell nothing. At most every second one was on busy processors, as the submitter
/// changes processors. All of them are only where there is one processor and the client answers at once, and then
/// asynchronous direct I/O is taken for synchronous, which costs less than the reverse.
const MAX_PREEMPTED_READS: u8 = 32;

/// Probes the mount at `mount_point` by reading a layer on it. If another file is at the layer's path by now, no file
/// of the volume is opened.
///
/// Where the kernel keeps no attributes and no names, that costs 4 requests to the client until the image is found, one
/// to open it, [`MIN_BLOCKING_READS`] to `MIN_BLOCKING_READS + MIN_NONBLOCKING_READS - 1` to read and one to close it:
/// 10 at most, beside reads that were preempted. A file of our own costs 5 to make, 5 to remove, 2 to lengthen, and as
/// many to read and to close, and 2 more where the client is found not to make files without a name: 19 at most.
///
/// # Errors
/// When nothing on the mount can be read so, with what the kernel said last; `ENOENT` also where another file is
/// at the layer's path by now.
pub(super) fn probe_direct_io(mount_point: &Path, image: &Layer) -> io::Result<Probe> {
    let root = open_root(mount_point)?;
    if image.format == ImageFormat::Raw && image.virtual_size < Aio::LENGTH as u64 {
        return probe_scratch(&root);
    }
    let image = open_same_file(&root, image)?;
    match reopen(&image, OFlags::RDONLY | OFlags::DIRECT) {
        Ok(file) => match probe_file(&file)? {
            Some(probe) => Ok(probe),
            None => probe_scratch(&root),
        },
        Err(Errno::INVAL) => Ok(refused(Errno::INVAL)),
        Err(Errno::ACCESS) => probe_scratch(&root),
        Err(errno) => Err(errno.into()),
    }
}

/// Probes the mount by reading a file of our own: for an image that is too short or closed to readers.
fn probe_scratch(root: &OwnedFd) -> io::Result<Probe> {
    match scratch_file::make(root) {
        Ok(scratch) => {
            ftruncate(&scratch, Aio::LENGTH as u64)?;
            probe_file(&scratch)?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
        }
        Err(Errno::INVAL) => Ok(refused(Errno::INVAL)),
        Err(errno) => Err(errno.into()),
    }
}

/// Probes the mount by reading `file`. `None` for a file that is too short: to read beyond its end, the submitter waits
/// for its length.
fn probe_file(file: &OwnedFd) -> io::Result<Option<Probe>> {
    let mut aio = Aio::new()?;
    let probe = classify_reads(&mut aio, file);
    // The kernel takes tens of milliseconds to free a context (an RCU grace period), and nobody need wait for that.
    // Where no thread can be had it is freed here.
    let _ = thread::Builder::new().spawn(move || drop(aio));
    probe
}

/// Reads until enough reads were of one kind.
fn classify_reads(aio: &mut Aio, file: &OwnedFd) -> io::Result<Option<Probe>> {
    let mut tally = ReadTally::default();
    let mut own_processors = OwnProcessors::default();
    loop {
        let read = match aio.read(file) {
            Ok(read) if read.length == Aio::LENGTH => read,
            Ok(_) => return Ok(None),
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                return Ok(Some(refused(Errno::INVAL)));
            }
            Err(error) => return Err(error),
        };
        if let Some(direct_io) = tally.add(read.submission) {
            return Ok(Some(tally.probe(direct_io)));
        }
        if read.submission == Submission::Preempted {
            own_processors.leave_current();
        }
    }
}

/// How many reads were of which kind.
#[derive(Debug, Default)]
struct ReadTally {
    blocking: u8,
    nonblocking: u8,
    preempted: u8,
}

impl ReadTally {
    /// Counts one more read, and returns what follows from all of them, if anything does yet. One that is under way when
    /// its submission returns is proof by itself.
    fn add(&mut self, submission: Submission) -> Option<DirectIo> {
        let (count, enough, shows) = match submission {
            Submission::UnderWay => (&mut self.nonblocking, 1, DirectIo::Asynchronous),
            Submission::Uninterrupted => {
                (&mut self.nonblocking, MIN_NONBLOCKING_READS, DirectIo::Asynchronous)
            }
            Submission::Slept => (&mut self.blocking, MIN_BLOCKING_READS, DirectIo::Synchronous),
            Submission::Preempted => (&mut self.preempted, MAX_PREEMPTED_READS, DirectIo::Synchronous),
        };
        *count += 1;
        (*count >= enough).then_some(shows)
    }

    fn probe(&self, direct_io: DirectIo) -> Probe {
        let reads = self.blocking + self.nonblocking + self.preempted;
        Probe { direct_io, reads, nonblocking_reads: self.nonblocking, errno: None }
    }
}

fn refused(errno: Errno) -> Probe {
    Probe { direct_io: DirectIo::Refused, reads: 0, nonblocking_reads: 0, errno: Some(errno.raw_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::super::client_calls::read_chain;
    use super::super::client_calls::tests::fifo;
    use super::*;
    use crate::pure::connection::{ImageFormat, ImageName};
    use crate::pure::image::DeclaredImage;

    /// The layer of the image `disk` in that directory.
    fn layer_of_disk(directory: &Path) -> Layer {
        let name = ImageName::parse("disk").unwrap();
        read_chain(&open_root(directory).unwrap(), DeclaredImage { name: &name, format: ImageFormat::Raw })
            .unwrap()
            .remove(0)
    }

    /// The names in a directory.
    fn names_in(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// What follows from reads, each written as a letter, and how many it took.
    fn tally(reads: &str) -> Option<(DirectIo, u8)> {
        let mut tally = ReadTally::default();
        reads.chars().find_map(|read| {
            let submission = match read {
                'w' => Submission::UnderWay,
                's' => Submission::Slept,
                'p' => Submission::Preempted,
                _ => Submission::Uninterrupted,
            };
            let direct_io = tally.add(submission)?;
            Some((direct_io, tally.probe(direct_io).reads))
        })
    }

    #[test]
    fn preempted_reads_tell_nothing() {
        let [asynchronous, synchronous] = [DirectIo::Asynchronous, DirectIo::Synchronous];
        for (reads, expected) in [
            ("w", Some((asynchronous, 1))),
            ("sw", Some((asynchronous, 2))),
            ("pppppw", Some((asynchronous, 6))),
            ("uuu", Some((asynchronous, 3))),
            ("usupu", Some((asynchronous, 5))),
            ("ss", Some((synchronous, 2))),
            ("ppppspps", Some((synchronous, 8))),
            ("uups", None),
            ("pppppp", None),
        ] {
            assert_eq!(tally(reads), expected, "{reads}");
        }
        assert_eq!(tally(&"p".repeat(99)), Some((synchronous, MAX_PREEMPTED_READS)));
    }

    #[test]
    fn probe_of_any_image_length_cleans_up() {
        for length in [0, 1, 4095, 4096, 1 << 20] {
            let directory = tempfile::tempdir().unwrap();
            File::create(directory.path().join("disk")).unwrap().set_len(length).unwrap();
            let seen = probe_direct_io(directory.path(), &layer_of_disk(directory.path())).unwrap();
            assert!(
                (1..MIN_BLOCKING_READS + MIN_NONBLOCKING_READS + MAX_PREEMPTED_READS).contains(&seen.reads),
                "{length}: {seen:?}"
            );
            assert_eq!(names_in(directory.path()), ["disk"], "{length}");
        }
    }

    #[test]
    fn unsubmittable_read_is_reported_as_refused() {
        let unreadable = File::open("/").unwrap().into();
        assert_eq!(probe_file(&unreadable).unwrap(), Some(refused(Errno::INVAL)));
    }

    #[test]
    fn probe_touches_no_file_of_a_like_name() {
        let directory = tempfile::tempdir().unwrap();
        let others =
            [".nova-quobyte-probe", ".nova-quobyte-probe-1", "disk"].map(|name| directory.path().join(name));
        for other in &others {
            File::create(other).unwrap().set_len(13).unwrap();
        }
        probe_direct_io(directory.path(), &layer_of_disk(directory.path())).unwrap();
        assert_eq!(names_in(directory.path()).len(), others.len());
        for other in &others {
            assert_eq!(fs::metadata(other).unwrap().len(), 13, "{other:?}");
        }
    }

    #[test]
    fn swapped_image_is_not_opened_by_probe() {
        type Make = fn(&Path);
        let others: [(&str, Make); 4] = [
            ("nothing", |_| {}),
            ("fifo", |disk| fifo(disk.to_owned())),
            ("another file", |disk| drop(File::create(disk).unwrap())),
            ("link", |disk| std::os::unix::fs::symlink("looked at", disk).unwrap()),
        ];
        for (other, make) in others {
            let directory = tempfile::tempdir().unwrap();
            let disk = directory.path().join("disk");
            File::create(&disk).unwrap().set_len(4096).unwrap();
            let image = layer_of_disk(directory.path());
            // Kept, so that no other file gets its number.
            rustix::fs::rename(&disk, directory.path().join("looked at")).unwrap();
            make(&disk);
            let error = probe_direct_io(directory.path(), &image).unwrap_err();
            let expected = if other == "link" { libc::ELOOP } else { libc::ENOENT };
            assert_eq!(error.raw_os_error(), Some(expected), "{other}");
            let is_others = |name: &String| name == "disk" || name == "looked at";
            assert!(names_in(directory.path()).iter().all(is_others), "{other}");
        }
    }
}
