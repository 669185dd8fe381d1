//! Answers, in the form of each kind of reply.

use std::time::Duration;

use fuser::{
    FileAttr, FileHandle, FopenFlags, Generation, ReplyAttr, ReplyCreate, ReplyDirectory, ReplyEmpty,
    ReplyEntry, ReplyStatfs, ReplyXattr,
};
use rustix::fs::StatVfs;

use crate::volume::Entry;

/// Nothing is cached by the kernel, so that a change in the store is seen at once.
const TTL: Duration = Duration::ZERO;
/// Inode numbers are not reused while the kernel knows them.
const GENERATION: Generation = Generation(0);

pub(super) fn done(reply: ReplyEmpty, (): ()) {
    reply.ok();
}

pub(super) fn entry(reply: ReplyEntry, attributes: FileAttr) {
    reply.entry(&TTL, &attributes, GENERATION);
}

pub(super) fn attributes(reply: ReplyAttr, attributes: FileAttr) {
    reply.attr(&TTL, &attributes);
}

pub(super) fn created(reply: ReplyCreate, attributes: &FileAttr, file: FileHandle, flags: FopenFlags) {
    reply.created(&TTL, attributes, GENERATION, file, flags);
}

/// Sends as many of the entries after `offset` as there is room for.
pub(super) fn entries(mut reply: ReplyDirectory, offset: u64, entries: Vec<Entry>) {
    for (next, entry) in (offset + 1..).zip(entries) {
        if reply.add(entry.inode, next, entry.kind, entry.name) {
            break;
        }
    }
    reply.ok();
}

pub(super) fn space(reply: ReplyStatfs, space: &StatVfs) {
    let (block, name_length, fragment) =
        (space.f_bsize as u32, space.f_namemax as u32, space.f_frsize as u32);
    let (blocks, free, available) = (space.f_blocks, space.f_bfree, space.f_bavail);
    reply.statfs(blocks, free, available, space.f_files, space.f_ffree, block, name_length, fragment);
}

/// Sends a value, or its length where the caller has given no room.
pub(super) fn xattr(reply: ReplyXattr, room: u32, value: &[u8]) {
    match (room as usize, value.len()) {
        (0, length) => reply.size(length as u32),
        (room, length) if room < length => reply.error(fuser::Errno::ERANGE),
        _ => reply.data(value),
    }
}
