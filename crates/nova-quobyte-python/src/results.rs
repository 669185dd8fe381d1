//! The driver's results as Python's objects.

use std::path::PathBuf;

use pyo3::prelude::*;
use quobyte_volume::driver::{self, StillMounted};
use quobyte_volume::error::{Code, one_line};
use quobyte_volume::pure::connection::ConnectionInfo;
use quobyte_volume::pure::image::Layer;
use quobyte_volume::pure::io_policy::{Discard, IoMode, IoPolicy};
use quobyte_volume::pure::mount_path::MountPath;
use quobyte_volume::pure::record::Attachment;

/// An instance's UUID and a volume's.
type AttachmentIds = (String, String);

/// A connected volume.
#[pyclass(frozen, get_all)]
pub(crate) struct Connected {
    mount_path: PathBuf,
    device_path: PathBuf,
    mounted: bool,
    lost: Vec<AttachmentIds>,
}

impl From<driver::Connected> for Connected {
    fn from(connected: driver::Connected) -> Self {
        Self {
            mount_path: connected.mount_path.as_path().to_owned(),
            device_path: connected.device_path,
            mounted: connected.mounted,
            lost: connected.lost.iter().flat_map(|guest| &guest.attachments).map(attachment_ids).collect(),
        }
    }
}

/// What libvirt is to be told of a volume, beyond what Nova itself knows.
#[pyclass(frozen, get_all)]
pub(crate) struct Disk {
    path: PathBuf,
    format: &'static str,
    cache: &'static str,
    io: Option<&'static str>,
    discard: Option<&'static str>,
    physical_block_size: Option<u32>,
    backing: Vec<(PathBuf, &'static str)>,
}

impl Disk {
    pub(crate) fn new(info: &ConnectionInfo, at: &MountPath, chain: &[Layer], policy: &IoPolicy) -> Self {
        let below = |layer: &Layer| (at.as_path().join(layer.path.as_path()), layer.format.as_str());
        Self {
            path: at.image(&info.name),
            format: info.format.as_str(),
            cache: policy.cache.as_str(),
            io: policy.io.map(IoMode::as_str),
            discard: policy.discard.map(Discard::as_str),
            physical_block_size: policy.block_size.physical,
            backing: chain.iter().skip(1).map(below).collect(),
        }
    }
}

/// What a disconnect did.
#[pyclass(frozen, get_all)]
pub(crate) struct DisconnectOutcome {
    mount_path: PathBuf,
    changed: bool,
    leaving: bool,
    still_mounted: Option<&'static str>,
}

impl From<driver::DisconnectOutcome> for DisconnectOutcome {
    fn from(disconnected: driver::DisconnectOutcome) -> Self {
        Self {
            mount_path: disconnected.mount_path.as_path().to_owned(),
            changed: disconnected.changed,
            leaving: disconnected.leaving,
            still_mounted: disconnected.still_mounted.as_ref().map(StillMounted::as_str),
        }
    }
}

/// One finding of reconcile.
#[pyclass(frozen, get_all)]
pub(crate) struct Finding {
    code: &'static str,
    detail: Option<String>,
    repaired: bool,
    lost: bool,
    mount_path: Option<PathBuf>,
    attachments: Vec<AttachmentIds>,
}

impl From<&driver::Finding> for Finding {
    fn from(finding: &driver::Finding) -> Self {
        Self {
            code: finding.error_code().map_or(finding.code(), Code::as_str),
            detail: finding.detail().as_deref().map(one_line),
            repaired: finding.is_repaired(),
            lost: !finding.lost_guests().is_empty(),
            mount_path: finding.mount_path().map(|at| at.as_path().to_owned()),
            attachments: finding.attachments().iter().map(attachment_ids).collect(),
        }
    }
}

fn attachment_ids(attachment: &Attachment) -> AttachmentIds {
    (attachment.instance.to_string(), attachment.volume.to_string())
}
