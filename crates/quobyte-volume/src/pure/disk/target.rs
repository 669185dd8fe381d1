//! Where a disk appears in the guest: its bus and its target name.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use super::error::DiskError;
use crate::error::excerpt;

/// The kind of controller a disk hangs on.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Display, EnumString, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "snake_case")]
#[strum(parse_err_ty = DiskError, parse_err_fn = DiskError::bus)]
pub enum Bus {
    /// virtio-blk, the default.
    #[default]
    Virtio,
    /// SCSI; in Nova's guests virtio-scsi.
    Scsi,
    /// SATA.
    Sata,
    /// Parallel ATA.
    Ide,
    /// USB storage.
    Usb,
}

impl Bus {
    /// libvirt's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The bus that libvirt gives a disk of that name where none is said; `None` for Xen's, which QEMU has not.
    #[must_use]
    pub fn of_target(dev: &TargetDev) -> Option<Self> {
        match dev.prefix() {
            "vd" => Some(Self::Virtio),
            "sd" => Some(Self::Scsi),
            "hd" => Some(Self::Ide),
            _ => None,
        }
    }

    /// Whether QEMU adds disks to it, and takes them out, while the guest runs.
    #[must_use]
    pub const fn has_hotplug(self) -> bool {
        match self {
            Self::Virtio | Self::Scsi | Self::Usb => true,
            Self::Sata | Self::Ide => false,
        }
    }

    /// What the names of the bus's disks start with, by Nova's and libvirt's custom.
    #[must_use]
    pub const fn target_prefix(self) -> &'static str {
        match self {
            Self::Virtio => "vd",
            Self::Scsi | Self::Sata | Self::Usb => "sd",
            Self::Ide => "hd",
        }
    }
}

/// Most letters after the prefix; 18,278 names are enough for any guest.
const MAX_LETTERS: u32 = 3;

/// A disk's name in the domain (`vdb`): unique there, and only a hint to the guest, which names disks itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TargetDev(String);

impl TargetDev {
    /// Prefixes of whole disks in libvirt's schema, but for floppy disks and user-mode Linux.
    const PREFIXES: [&str; 4] = ["vd", "sd", "hd", "xvd"];

    /// Parses a target name, of whatever bus.
    ///
    /// # Errors
    /// [`DiskError::Target`] for anything but `vd`, `sd`, `hd` or `xvd` and one to three lower-case letters.
    pub fn parse(text: &str) -> Result<Self, DiskError> {
        let is_disk = Self::PREFIXES.iter().filter_map(|prefix| text.strip_prefix(prefix)).any(|letters| {
            (1..=MAX_LETTERS as usize).contains(&letters.len())
                && letters.bytes().all(|b| b.is_ascii_lowercase())
        });
        if is_disk { Ok(Self(text.to_owned())) } else { Err(DiskError::Target { target: excerpt(text) }) }
    }

    /// The first name of the bus's own prefix that is not `used`, in the order `vda` … `vdz`, `vdaa` …; `None` when
    /// all are used. Names count across buses, as libvirt wants them unique in the domain.
    pub fn next_free<I>(bus: Bus, used: I) -> Option<Self>
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let used: HashSet<String> = used.into_iter().map(Into::into).collect();
        (1..=MAX_LETTERS)
            .flat_map(names)
            .map(|letters| format!("{}{letters}", bus.target_prefix()))
            .find(|name| !used.contains(name))
            .map(Self)
    }

    fn prefix(&self) -> &str {
        Self::PREFIXES.into_iter().find(|prefix| self.0.starts_with(prefix)).unwrap_or_default()
    }

    /// The name as it stands in the domain.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TargetDev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for TargetDev {
    type Error = DiskError;

    fn try_from(text: String) -> Result<Self, DiskError> {
        Self::parse(&text)
    }
}

impl From<TargetDev> for String {
    fn from(dev: TargetDev) -> Self {
        dev.0
    }
}

impl FromStr for TargetDev {
    type Err = DiskError;

    fn from_str(text: &str) -> Result<Self, DiskError> {
        Self::parse(text)
    }
}

/// Every name of `length` letters, in order.
fn names(length: u32) -> impl Iterator<Item = String> {
    (0..26_u32.pow(length)).map(move |index| {
        (0..length).rev().map(|place| char::from(b'a' + (index / 26_u32.pow(place) % 26) as u8)).collect()
    })
}

/// Where a disk goes in the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskTarget {
    /// The disk's name in the domain.
    pub dev: TargetDev,
    /// The controller's kind.
    pub bus: Bus,
    /// The disk's unit on SCSI controller 0, which Nova gives out itself; `None` leaves the address to libvirt. Other
    /// buses have no use for it.
    pub unit: Option<u32>,
}

impl DiskTarget {
    /// A disk of that name, on that bus or on the one that goes with the name. libvirt leaves the disk's address to itself.
    ///
    /// # Errors
    /// [`DiskError::OtherBus`] for a name that is another bus's: the guest would name the disk otherwise, and libvirt take
    /// it for what it is not.
    pub fn new(dev: TargetDev, bus: Option<Bus>) -> Result<Self, DiskError> {
        let of_name = Bus::of_target(&dev);
        match bus.or(of_name) {
            Some(bus) if bus.target_prefix() == dev.prefix() => Ok(Self { dev, bus, unit: None }),
            bus => Err(DiskError::OtherBus { target: dev.0, bus: bus.map_or("xen", Bus::as_str) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_target_names_are_accepted() {
        for text in ["vda", "vdb", "sdz", "hdc", "xvda", "vdaa", "sdzzz"] {
            assert_eq!(TargetDev::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn invalid_target_names_are_refused() {
        for text in [
            "",
            "vd",
            "vda1",
            "VDA",
            "vdA",
            "/dev/vda",
            "fda",
            "nvme0n1",
            "vd a",
            "vda\n",
            "vdaaaa",
            "xvd",
            "vdß",
            "ioemu:hda",
        ] {
            let error = TargetDev::parse(text).expect_err(text);
            assert_eq!(error.code().as_str(), "invalid_config", "{text:?}");
        }
    }

    #[test]
    fn bus_follows_the_name_or_contradicts_it() {
        let bus =
            |dev: &str, bus| DiskTarget::new(TargetDev::parse(dev).unwrap(), bus).map(|target| target.bus);
        for (dev, implied) in [("vdb", Bus::Virtio), ("sda", Bus::Scsi), ("hdc", Bus::Ide)] {
            assert_eq!(bus(dev, None), Ok(implied));
            for &other in Bus::VARIANTS {
                let is_its = other.target_prefix() == implied.target_prefix();
                assert_eq!(bus(dev, Some(other)).ok(), is_its.then_some(other), "{dev} {other}");
            }
        }
        let error = bus("sda", Some(Bus::Virtio)).unwrap_err();
        assert_eq!(error.code().as_str(), "invalid_config");
        for other in Bus::VARIANTS.iter().copied().map(Some).chain([None]) {
            bus("xvda", other).unwrap_err();
        }
    }

    #[test]
    fn next_free_target_fills_first_gap() {
        let next = |bus, used: &[&str]| TargetDev::next_free(bus, used.iter().copied()).unwrap().0;
        assert_eq!(next(Bus::Virtio, &[]), "vda");
        assert_eq!(next(Bus::Virtio, &["vda", "vdb", "vdd"]), "vdc");
        assert_eq!(next(Bus::Virtio, &["sda", "hda", "vdb"]), "vda");
        assert_eq!(next(Bus::Ide, &["vda"]), "hda");
        for bus in [Bus::Scsi, Bus::Sata, Bus::Usb] {
            assert_eq!(next(bus, &["sda"]), "sdb", "{bus}");
        }
    }

    #[test]
    fn target_names_continue_after_z_up_to_zzz() {
        let all: Vec<String> = (1..=3).flat_map(names).map(|letters| format!("vd{letters}")).collect();
        let after = |count: usize| TargetDev::next_free(Bus::Virtio, &all[..count]).map(|dev| dev.0);
        assert_eq!(after(26).as_deref(), Some("vdaa"));
        assert_eq!(after(26 + 25).as_deref(), Some("vdaz"));
        assert_eq!(after(26 + 26).as_deref(), Some("vdba"));
        assert_eq!(after(26 + 26 * 26).as_deref(), Some("vdaaa"));
        assert_eq!(after(all.len() - 1).as_deref(), Some("vdzzz"));
        assert_eq!(after(all.len()), None);
    }

    #[test]
    fn bus_name_round_trips() {
        for &bus in Bus::VARIANTS {
            assert_eq!(bus.to_string().parse::<Bus>().unwrap(), bus);
        }
        assert_eq!("fdc".parse::<Bus>().unwrap_err().code().as_str(), "invalid_config");
    }
}
