//! How a mount does direct I/O, found out by reading from it. Runs in the helper process.
//!
//! A client that negotiates `FUSE_ASYNC_DIO` lets who submits a request go on; any other makes them sleep until it is
//! answered. Whether a read is done when its submission returns does not tell the two apart: a client that is quick, or
//! that takes the processor from the submitter, is done by then although nobody waited. That the submitter slept does.

use std::io;
use std::path::Path;
use std::thread;

use rustix::fd::OwnedFd;
use rustix::fs::{OFlags, ftruncate};
use rustix::io::Errno;

use super::client_calls::{open_root, open_same_file, reopen};
use super::scratch_file;
use crate::host::sys::aio::Aio;
use crate::pure::connection::ImageFormat;
use crate::pure::image::Layer;
use crate::pure::io_policy::{DirectIo, Probe};

/// How many blocking reads show that direct I/O is synchronous. A single one may mislead: now and then a submitter
/// sleeps for another reason.
const MIN_BLOCKING_READS: u8 = 2;

/// How many nonblocking reads show that direct I/O is asynchronous. More, since a mistake here costs more: a guest
/// whose submitter waits after all stops for each request.
const MIN_NONBLOCKING_READS: u8 = 3;

/// Probes the mount at `mount_point` by reading a layer on it. If another file is at the layer's path by now, no file
/// of the volume is opened.
///
/// Where the kernel keeps no attributes and no names, that costs 4 requests to the client until the image is found, one
/// to open it, [`MIN_BLOCKING_READS`] to `MIN_BLOCKING_READS + MIN_NONBLOCKING_READS - 1` to read and one to close it:
/// 10 at most. A file of our own costs 5 to make, 4 to remove, 2 to lengthen, and as many to read and to close, and one
/// more where the client is found not to make files without a name: 17 at most.
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

/// Reads until enough reads were of one kind. One that is under way when its submission returns is proof by itself.
fn classify_reads(aio: &mut Aio, file: &OwnedFd) -> io::Result<Option<Probe>> {
    let (mut blocking, mut nonblocking) = (0, 0);
    loop {
        let read = match aio.read(file) {
            Ok(read) if read.length == Aio::LENGTH => read,
            Ok(_) => return Ok(None),
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                return Ok(Some(refused(Errno::INVAL)));
            }
            Err(error) => return Err(error),
        };
        if read.done_on_submit && read.blocked {
            blocking += 1;
        } else {
            nonblocking += 1;
        }
        let direct_io = if !read.done_on_submit || nonblocking == MIN_NONBLOCKING_READS {
            DirectIo::Asynchronous
        } else if blocking == MIN_BLOCKING_READS {
            DirectIo::Synchronous
        } else {
            continue;
        };
        return Ok(Some(Probe {
            direct_io,
            reads: blocking + nonblocking,
            nonblocking_reads: nonblocking,
            errno: None,
        }));
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

    #[test]
    fn probe_of_any_image_length_cleans_up() {
        for length in [0, 1, 4095, 4096, 1 << 20] {
            let directory = tempfile::tempdir().unwrap();
            File::create(directory.path().join("disk")).unwrap().set_len(length).unwrap();
            let seen = probe_direct_io(directory.path(), &layer_of_disk(directory.path())).unwrap();
            assert!(
                (1..MIN_BLOCKING_READS + MIN_NONBLOCKING_READS).contains(&seen.reads),
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
