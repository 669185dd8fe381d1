//! Making a share's mount healthy: clearing what is dead, mounting what is missing, and taking that back.

use std::io;
use std::path::PathBuf;

use super::{Driver, Error};
use crate::host::client::ClientError;
use crate::host::records::LockedShare;
use crate::host::{UnmountMode, UnmountOutcome};
use crate::mount::{Asked, Chain, MountError, MountState, inspect_with};
use crate::pure::image::Declared;
use crate::pure::mount_path::MountPath;
use crate::pure::mounts::Mount;
use crate::pure::record::ShareRecord;

/// What bringing a share up has done so far, in the order it happened.
#[derive(Default)]
pub(super) struct Begun {
    pub(super) record_written: bool,
    pub(super) directories: Vec<PathBuf>,
    /// The generation that a client was started for.
    pub(super) client: Option<u64>,
}

impl Driver {
    /// The healthy mount of the record's export, mounted by this call if need be, and what `image` on it is. The client of
    /// the mount on top may have been `asked` for that already.
    pub(super) fn bring_up(
        &self,
        share: &LockedShare,
        record: &mut ShareRecord,
        image: Option<Declared<'_>>,
        asked: Option<Asked<'_>>,
        begun: &mut Begun,
    ) -> Result<(Mount, Chain), Error> {
        let mut found = self.clear(share, record, image, asked)?;
        // An earlier call that was killed may have left a client that is about to mount, or does so as it is ended.
        if found.is_none() && share.load()?.is_some_and(|record| record.mount.is_none()) {
            self.end_client(&record.mount_path, record.generation)?;
            found = self.clear(share, record, image, None)?;
        }
        let (mount, seen) = match found {
            Some((mount, seen)) => {
                if record.mount.is_some() && self.is_replaced(record, &mount)? {
                    record.begin_generation();
                }
                (mount, seen)
            }
            None => self.mount(share, record, image, begun)?,
        };
        record.set_mount(mount.clone());
        Ok((mount, seen))
    }

    /// Takes away dead layers until the mount on top is healthy or there is none.
    fn clear(
        &self,
        share: &LockedShare,
        record: &ShareRecord,
        image: Option<Declared<'_>>,
        mut asked: Option<Asked<'_>>,
    ) -> Result<Option<(Mount, Chain)>, Error> {
        let (host, at, export) = (self.host.as_ref(), &record.mount_path, &record.export);
        let mut known = record.mount.as_ref();
        loop {
            let (state, seen) = match asked.take() {
                Some(asked) => asked.state(at)?,
                None => inspect_with(host, at, export, known.take(), image)?,
            };
            match state {
                MountState::Absent => return Ok(None),
                MountState::Healthy(mount) => return Ok(Some((mount, seen))),
                MountState::Dead(mount) => self.take_away(share, record, &mount, UnmountMode::Lazy)?,
                MountState::Disconnected(mount) => {
                    self.take_away(share, record, &mount, UnmountMode::IfUnused)?;
                }
                state => return Err(unusable(state, record).into()),
            }
        }
    }

    /// Unmounts `mount`, at most as hard as `how`, unless it is no longer the one on top.
    fn take_away(
        &self,
        share: &LockedShare,
        record: &ShareRecord,
        mount: &Mount,
        how: UnmountMode,
    ) -> Result<(), Error> {
        let at = &record.mount_path;
        let stale = |remedy| MountError::Stale { at: at.clone(), export: record.export.clone(), remedy };
        if !self.host.may_unmount(mount) {
            let owner = mount.owner().map_or_else(|| "its owner".to_owned(), |user| format!("user {user}"));
            return Err(stale(format!("{owner} has to run: fusermount3 -u {at}")).into());
        }
        tracing::warn!(export = %record.export, mount_path = %at, "unmounting what its client does not serve any more");
        if self.unmount_this(share, at, mount, UnmountMode::IfUnused)? == UnmountOutcome::Busy {
            if how == UnmountMode::IfUnused {
                return Err(stale("files on it are open, and it may yet recover".to_owned()).into());
            }
            self.unmount_this(share, at, mount, how)?;
        }
        Ok(())
    }

    /// Mounts the record's export where nothing is mounted. The client's word is not enough: the mount table is asked
    /// afterwards.
    fn mount(
        &self,
        share: &LockedShare,
        record: &mut ShareRecord,
        image: Option<Declared<'_>>,
        begun: &mut Begun,
    ) -> Result<(Mount, Chain), Error> {
        let at = record.mount_path.clone();
        record.mount = None;
        record.begin_generation();
        begun.record_written = true;
        share.store(record)?;
        begun.directories = self
            .host
            .make_mount_point(&at)
            .map_err(|source| MountError::MountPoint { at: at.clone(), source })?;
        begun.client = Some(record.generation);
        tracing::info!(export = %record.export, mount_path = %at, "mounting");
        let said = self.host.mount(&record.export, &at, record.generation);
        let (state, seen) = inspect_with(self.host.as_ref(), &at, &record.export, None, image)?;
        match (state, said) {
            (MountState::Healthy(mount), Ok(())) => Ok((mount, seen)),
            // A client that was given up is being ended, and takes along what it has just mounted.
            (MountState::Healthy(_), Err(error @ ClientError::Timeout { .. })) => {
                Err(MountError::Client(error).into())
            }
            (MountState::Healthy(mount), Err(error)) => {
                tracing::warn!(mount_path = %at, %error, "mounted, although the client says otherwise");
                Ok((mount, seen))
            }
            (MountState::Absent, Err(error)) => Err(MountError::Client(error).into()),
            (state, _) => Err(unusable(state, record).into()),
        }
    }

    /// Whether the record's mount is gone and `mount` in its place: made by somebody else, or by a call that was killed
    /// before it recorded it. A mount that merely covers the record's own has not replaced it.
    pub(super) fn is_replaced(&self, record: &ShareRecord, mount: &Mount) -> Result<bool, Error> {
        match &record.mount {
            None => Ok(true),
            Some(known) => Ok(!known.is_same(mount) && self.layers(&record.mount_path)? == 1),
        }
    }

    /// Takes back what was begun, last thing first, and returns what could not be taken back.
    pub(super) fn undo(
        &self,
        share: &LockedShare,
        at: &MountPath,
        before: Option<&ShareRecord>,
        begun: &Begun,
    ) -> Vec<Error> {
        if let Some(generation) = begun.client
            && let Err(error) = self.unmount_begun(share, at, generation)
        {
            // The record and the directories belong to a mount that is still there, or may yet come.
            return vec![error];
        }
        let mut left = Vec::new();
        for directory in begun.directories.iter().rev() {
            match self.host.remove_directory(directory) {
                // Another share has come to lie in the base.
                Err(error)
                    if error.kind() == io::ErrorKind::DirectoryNotEmpty && directory != at.as_path() =>
                {
                    break;
                }
                Err(source) => left.push(MountError::MountPoint { at: at.clone(), source }.into()),
                Ok(()) => {}
            }
        }
        if begun.record_written {
            let restored = before.map_or_else(|| share.remove(), |before| share.store(before));
            left.extend(restored.err().map(Error::from));
        }
        left
    }

    /// Unmounts whatever the client this call started has mounted, and ends what is left of it.
    fn unmount_begun(&self, share: &LockedShare, at: &MountPath, generation: u64) -> Result<(), Error> {
        self.unmount_unanswered(share, at)?;
        self.end_client(at, generation)?;
        // It may have mounted as it was being ended.
        self.unmount_unanswered(share, at)
    }

    /// Unmounts what is on top at `at`. Nothing was mounted there before and nobody was told of it, so whatever keeps
    /// it busy is the question that it did not answer.
    fn unmount_unanswered(&self, share: &LockedShare, at: &MountPath) -> Result<(), Error> {
        if let Some(mount) = self.top_mount(at, None)?
            && self.unmount_this(share, at, &mount, UnmountMode::IfUnused)? == UnmountOutcome::Busy
        {
            if !mount.is_quobyte() {
                let source = io::ErrorKind::ResourceBusy.into();
                return Err(MountError::Unmount { at: at.clone(), source }.into());
            }
            self.abort(&mount);
            self.unmount_this(share, at, &mount, UnmountMode::Lazy)?;
        }
        Ok(())
    }

    /// Unmounts `mount` if it is still the one on top: since it was looked at, somebody may have mounted anew.
    pub(super) fn unmount_this(
        &self,
        share: &LockedShare,
        at: &MountPath,
        mount: &Mount,
        how: UnmountMode,
    ) -> Result<UnmountOutcome, Error> {
        match self.top_mount(at, Some(mount))? {
            Some(top) if top.is_same(mount) => self.unmount(share, at, how),
            _ => Ok(UnmountOutcome::Done),
        }
    }

    /// Ends what may be left of the client that was started for that generation, which is not on record as mounted.
    pub(super) fn end_client(&self, at: &MountPath, generation: u64) -> Result<(), Error> {
        let unmount = |source| MountError::Unmount { at: at.clone(), source };
        match self.host.end_client(at, generation).map_err(unmount)? {
            0 => {}
            count => {
                tracing::info!(mount_path = %at, count, "ended what was left of the client");
            }
        }
        Ok(())
    }

    /// Frees whoever waits for a client that will not answer. Where that cannot be done they stay stuck until the
    /// client ends, which is no reason to keep the mount.
    pub(super) fn abort(&self, mount: &Mount) {
        if let Err(error) = self.host.abort(mount) {
            tracing::warn!(source = %mount.source, %error, "the connection to the client cannot be aborted");
        }
    }

    fn unmount(
        &self,
        share: &LockedShare,
        at: &MountPath,
        how: UnmountMode,
    ) -> Result<UnmountOutcome, Error> {
        match self.host.unmount(at, how, share) {
            Ok(unmounted) => Ok(unmounted),
            // A client that ends, as one does whose connection was aborted, may take its mount along first.
            Err(_) if self.top_mount(at, None)?.is_none() => Ok(UnmountOutcome::Done),
            Err(source) => Err(MountError::Unmount { at: at.clone(), source }.into()),
        }
    }

    pub(super) fn top_mount(&self, at: &MountPath, known: Option<&Mount>) -> Result<Option<Mount>, Error> {
        let top = self.host.top_mount(at, known);
        Ok(top.map_err(|source| MountError::Table { at: at.clone(), source })?)
    }

    /// UnmountMode many mounts lie on each other at `at`.
    pub(super) fn layers(&self, at: &MountPath) -> Result<usize, Error> {
        let base = at.as_path().parent().unwrap_or_else(|| at.as_path());
        let below = self.host.mounts_below(base);
        let below = below.map_err(|source| Error::Base { path: base.to_owned(), source })?;
        Ok(below.iter().filter(|path| *path == at.as_path()).count())
    }
}

/// Why a mount point in that state cannot be used for the record's export.
pub(super) fn unusable(state: MountState, record: &ShareRecord) -> MountError {
    let at = record.mount_path.clone();
    let export = record.export.clone();
    match state {
        MountState::Absent | MountState::Healthy(_) => MountError::NothingMounted { at, export },
        MountState::Dead(_) | MountState::Disconnected(_) => {
            MountError::Stale { at, export, remedy: "it has just been mounted".to_owned() }
        }
        MountState::Hung(_) => MountError::Hung { at, attachments: record.attachments.clone() },
        MountState::WrongVolume(found) => {
            MountError::WrongVolume { at, found: Box::new(found), wanted: export }
        }
        MountState::Foreign(found) => MountError::Foreign { at, found: Box::new(found) },
    }
}
