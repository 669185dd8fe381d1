//! Which disk of a guest is meant: it is named as the guest has it, or by its image.

use std::collections::BTreeMap;
use std::path::PathBuf;

use quobyte_volume::driver::Driver;
use quobyte_volume::pure::connection::{ImageName, VolumeReference};
use quobyte_volume::pure::disk::TargetDev;
use quobyte_volume::pure::domain::DomainDisk;
use quobyte_volume::pure::mount_path::MountPath;

use crate::error::Error;
use crate::libvirt::Guest;

/// The target that `disk` is, or that the guest has the image of that name or URL as. A word that can be a target is one.
///
/// # Errors
/// [`Error::ImageNotAttached`], and [`Error::AmbiguousImage`] where several disks have such an image.
pub(super) fn find_target(driver: &Driver, guest: &Guest, disk: &str) -> Result<TargetDev, Error> {
    if let Ok(target) = TargetDev::parse(disk) {
        return Ok(target);
    }
    let (at, name) = if disk.contains('/') {
        let VolumeReference { export, name, .. } = VolumeReference::parse_url(disk)?;
        (Some(driver.mount_path(&export)), name)
    } else {
        (None, ImageName::parse(disk)?)
    };
    let found: Vec<_> = targets_with(driver, guest, at.as_ref(), &name)?.into_iter().collect();
    match &found[..] {
        [] => Err(Error::ImageNotAttached { domain: guest.name.clone(), image: disk.to_owned() }),
        [(target, _)] => Ok(TargetDev::parse(target)?),
        several => {
            let shown = several.iter().map(|(target, path)| format!("{target} ({})", path.display()));
            Err(Error::AmbiguousImage {
                domain: guest.name.clone(),
                image: disk.to_owned(),
                disks: shown.collect(),
            })
        }
    }
}

/// The guest's disks with that image, each with its file: those that it has, or gets at its next start, and those whose
/// detach was begun; where there are none, those that lie over the image.
fn targets_with(
    driver: &Driver,
    guest: &Guest,
    at: Option<&MountPath>,
    name: &ImageName,
) -> Result<BTreeMap<String, PathBuf>, Error> {
    let is_sought =
        |found_at: &MountPath, found: &ImageName| at.is_none_or(|at| at == found_at) && found == name;
    let mut found = BTreeMap::new();
    let mut shares = Vec::new();
    for disk in guest.live_disks()?.into_iter().chain(guest.persistent_disks()?) {
        let Some((disk_at, image)) = image_of(driver, &disk) else { continue };
        if is_sought(&disk_at, &image) {
            found.insert(disk.target, disk_at.image(&image));
        }
        if !shares.contains(&disk_at) {
            shares.push(disk_at);
        }
    }
    for (begun_at, begun) in driver.begun_detaches(guest.instance)? {
        if is_sought(&begun_at, &begun.name) {
            found.insert(begun.target.to_string(), begun_at.image(&begun.name));
        }
    }
    if !found.is_empty() {
        return Ok(found);
    }
    for share in shares.iter().filter(|share| at.is_none_or(|at| at == *share)) {
        let Ok(Some(described)) = driver.guest(share, guest.instance) else { continue };
        let file = share.image(name);
        let over = described.current_uses_of(share).filter(|found| found.has_file(&file));
        found.extend(over.filter_map(|disk| Some((disk.target.clone()?, disk.path.clone()))));
    }
    Ok(found)
}

/// The share and the image that a disk is kept in, if it is one that is mounted here.
pub(super) fn image_of(driver: &Driver, disk: &DomainDisk) -> Option<(MountPath, ImageName)> {
    disk.source.as_deref().and_then(|source| driver.locate_image(source))
}
