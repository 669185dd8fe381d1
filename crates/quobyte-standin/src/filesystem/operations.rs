//! The requests of the kernel, one by one.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use fuser::{
    BsdFileFlags, CopyFileRangeFlags, FileHandle, Filesystem, FopenFlags, INodeNo, KernelConfig, LockOwner,
    OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry,
    ReplyLock, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use rustix::io::Errno;

use super::replies::{self, done, entry};
use super::{Client, locking, xattrs};
use crate::exit::Exit;
use crate::stderr::write_stderr;
use crate::volume::locks::{Lock, Mode, Range};
use crate::volume::{Change, Creator, Volume};

fn creator(request: &Request) -> Creator {
    Creator { user: request.uid(), group: request.gid() }
}

impl Filesystem for Client {
    fn init(&mut self, _: &Request, kernel: &mut KernelConfig) -> io::Result<()> {
        self.features.negotiate(kernel)
    }

    /// The process ends here, because the session would now unmount whatever is at the mount point by this time: if
    /// the volume was unmounted by somebody else, that is nothing or a later mount.
    fn destroy(&mut self) {
        write_stderr("unmounted\n");
        std::process::exit(Exit::Done as i32);
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.serve(reply, |volume| volume.lookup(parent, name), entry);
    }

    fn forget(&self, _: &Request, inode: INodeNo, count: u64) {
        self.volume.forget(inode, count);
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        self.serve(reply, |volume| Ok(self.with_root_size(volume.attributes(inode)?)), replies::attributes);
    }

    fn setattr(
        &self,
        _: &Request,
        inode: INodeNo,
        mode: Option<u32>,
        owner: Option<u32>,
        group: Option<u32>,
        size: Option<u64>,
        accessed: Option<TimeOrNow>,
        modified: Option<TimeOrNow>,
        _: Option<SystemTime>,
        file: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let change = Change { mode, owner, group, size, accessed, modified };
        self.serve(
            reply,
            |volume| Ok(self.with_root_size(volume.change(inode, file, &change)?)),
            replies::attributes,
        );
    }

    fn readlink(&self, _: &Request, inode: INodeNo, reply: ReplyData) {
        self.serve(reply, |volume| volume.read_link(inode), |reply, target| reply.data(&target));
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        _: u32,
        reply: ReplyEntry,
    ) {
        self.serve(reply, |volume| volume.make_node(parent, name, mode, creator(request)), entry);
    }

    fn mkdir(&self, request: &Request, parent: INodeNo, name: &OsStr, mode: u32, _: u32, reply: ReplyEntry) {
        self.serve(reply, |volume| volume.make_directory(parent, name, mode, creator(request)), entry);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.serve(reply, |volume| volume.unlink(parent, name), done);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.serve(reply, |volume| volume.remove_directory(parent, name), done);
    }

    fn symlink(&self, request: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        self.serve(reply, |volume| volume.symlink(parent, name, target, creator(request)), entry);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        self.serve(reply, |volume| volume.rename((parent, name), (new_parent, new_name), flags.bits()), done);
    }

    fn link(&self, _: &Request, inode: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.serve(reply, |volume| volume.link(inode, parent, name), entry);
    }

    fn open(&self, _: &Request, inode: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let (flags, features) = (self.features.store_flags(flags.0), self.features.open_flags());
        self.serve(
            reply,
            |volume| {
                self.features.check_open_flags(flags)?;
                volume.open_file(inode, flags)
            },
            move |reply, file| reply.opened(file, features),
        );
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let (flags, features) = (self.features.store_flags(flags), self.features.open_flags());
        self.serve(
            reply,
            |volume| {
                self.features.check_open_flags(flags)?;
                volume.create(parent, name, mode, flags, creator(request))
            },
            move |reply, (attributes, file)| replies::created(reply, &attributes, file, features),
        );
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        file: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.serve(reply, |volume| volume.read(file, offset, size), |reply, data| reply.data(&data));
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        file: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        self.serve(reply, |volume| volume.write(file, offset, data), ReplyWrite::written);
    }

    fn flush(&self, _: &Request, inode: INodeNo, _: FileHandle, owner: LockOwner, reply: ReplyEmpty) {
        self.volume.locks().release_owner(inode, owner);
        self.serve(reply, |_| Ok(()), done);
    }

    fn release(
        &self,
        _: &Request,
        inode: INodeNo,
        file: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.volume.release(inode, file);
        self.serve_unlogged(reply, |_| Ok(()), done);
    }

    fn fsync(&self, _: &Request, _: INodeNo, file: FileHandle, data_only: bool, reply: ReplyEmpty) {
        self.serve(reply, |volume| volume.sync(file, data_only), done);
    }

    fn opendir(&self, _: &Request, inode: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.serve(
            reply,
            |volume| volume.open_directory(inode),
            |reply, directory| reply.opened(directory, FopenFlags::empty()),
        );
    }

    fn readdir(&self, _: &Request, _: INodeNo, directory: FileHandle, offset: u64, reply: ReplyDirectory) {
        self.serve(
            reply,
            |volume| volume.entries(directory, offset),
            move |reply, entries| replies::entries(reply, offset, entries),
        );
    }

    fn releasedir(&self, _: &Request, _: INodeNo, directory: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        self.volume.release_directory(directory);
        self.serve_unlogged(reply, |_| Ok(()), done);
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, directory: FileHandle, _: bool, reply: ReplyEmpty) {
        self.serve(reply, |volume| volume.sync_directory(directory), done);
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        self.serve(reply, Volume::space, |reply, space| replies::space(reply, &space));
    }

    fn getxattr(&self, _: &Request, inode: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        self.serve(
            reply,
            |_| xattrs::value(self.xattrs, inode, name.as_encoded_bytes()),
            move |reply, value| replies::xattr(reply, size, value.as_bytes()),
        );
    }

    fn listxattr(&self, _: &Request, _: INodeNo, size: u32, reply: ReplyXattr) {
        self.serve(reply, |_| Ok(()), move |reply, ()| replies::xattr(reply, size, b""));
    }

    fn setxattr(&self, _: &Request, _: INodeNo, _: &OsStr, _: &[u8], _: i32, _: u32, reply: ReplyEmpty) {
        self.serve(reply, |_| Err::<(), _>(Errno::NOTSUP), done);
    }

    fn removexattr(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        self.serve(reply, |_| Err::<(), _>(Errno::NOTSUP), done);
    }

    fn getlk(
        &self,
        _: &Request,
        inode: INodeNo,
        file: FileHandle,
        owner: LockOwner,
        start: u64,
        end: u64,
        kind: i32,
        process: u32,
        reply: ReplyLock,
    ) {
        let range = Range { start, end };
        let mode = locking::mode(kind).unwrap_or(Mode::Shared);
        self.test_lock(inode, Lock { owner, file, process, range, mode }, reply);
    }

    fn setlk(
        &self,
        _: &Request,
        inode: INodeNo,
        file: FileHandle,
        owner: LockOwner,
        start: u64,
        end: u64,
        kind: i32,
        process: u32,
        sleep: bool,
        reply: ReplyEmpty,
    ) {
        let range = Range { start, end };
        match locking::mode(kind) {
            Some(mode) => self.set_lock(inode, Lock { owner, file, process, range, mode }, sleep, reply),
            None => self.release_lock(inode, owner, range, reply),
        }
    }

    fn fallocate(
        &self,
        _: &Request,
        _: INodeNo,
        file: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        self.serve(reply, |volume| volume.allocate(file, offset, length, mode), done);
    }

    fn lseek(&self, _: &Request, _: INodeNo, file: FileHandle, offset: i64, whence: i32, reply: ReplyLseek) {
        self.serve(reply, |volume| volume.seek(file, offset, whence), ReplyLseek::offset);
    }

    fn copy_file_range(
        &self,
        _: &Request,
        _: INodeNo,
        from: FileHandle,
        from_offset: u64,
        _: INodeNo,
        to: FileHandle,
        to_offset: u64,
        length: u64,
        _: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        self.serve(
            reply,
            |volume| volume.copy((from, from_offset), (to, to_offset), length),
            ReplyWrite::written,
        );
    }
}
