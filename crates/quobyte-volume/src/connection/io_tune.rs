//! Limits on a guest's I/O, from Cinder's `qos_specs` to libvirt's `<iotune>`.

use std::collections::BTreeMap;

/// One limit. The names are those of libvirt's `<iotune>` elements, which Cinder's front-end QoS specs share; the
/// order is the one Nova writes them in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names are libvirt's; `as_str` gives them")]
pub enum IoLimit {
    ReadBytesSec,
    ReadIopsSec,
    WriteBytesSec,
    WriteIopsSec,
    TotalBytesSec,
    TotalIopsSec,
    ReadBytesSecMax,
    WriteBytesSecMax,
    TotalBytesSecMax,
    ReadIopsSecMax,
    WriteIopsSecMax,
    TotalIopsSecMax,
    SizeIopsSec,
}

impl IoLimit {
    /// Every limit, in the order Nova writes them.
    pub const ALL: [Self; 13] = [
        Self::ReadBytesSec,
        Self::ReadIopsSec,
        Self::WriteBytesSec,
        Self::WriteIopsSec,
        Self::TotalBytesSec,
        Self::TotalIopsSec,
        Self::ReadBytesSecMax,
        Self::WriteBytesSecMax,
        Self::TotalBytesSecMax,
        Self::ReadIopsSecMax,
        Self::WriteIopsSecMax,
        Self::TotalIopsSecMax,
        Self::SizeIopsSec,
    ];

    /// libvirt's and Cinder's name of the limit.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadBytesSec => "read_bytes_sec",
            Self::ReadIopsSec => "read_iops_sec",
            Self::WriteBytesSec => "write_bytes_sec",
            Self::WriteIopsSec => "write_iops_sec",
            Self::TotalBytesSec => "total_bytes_sec",
            Self::TotalIopsSec => "total_iops_sec",
            Self::ReadBytesSecMax => "read_bytes_sec_max",
            Self::WriteBytesSecMax => "write_bytes_sec_max",
            Self::TotalBytesSecMax => "total_bytes_sec_max",
            Self::ReadIopsSecMax => "read_iops_sec_max",
            Self::WriteIopsSecMax => "write_iops_sec_max",
            Self::TotalIopsSecMax => "total_iops_sec_max",
            Self::SizeIopsSec => "size_iops_sec",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|limit| limit.as_str() == name)
    }
}

/// The limits of one disk: bytes per second, requests per second, or bytes per request for
/// [`IoLimit::SizeIopsSec`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IoTune(BTreeMap<IoLimit, u64>);

impl IoTune {
    /// The limits that are set, in the order Nova writes them.
    pub fn iter(&self) -> impl Iterator<Item = (IoLimit, u64)> + '_ {
        self.0.iter().map(|(&limit, &value)| (limit, value))
    }

    /// Whether no limit is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(IoLimit, u64)> for IoTune {
    fn from_iter<I: IntoIterator<Item = (IoLimit, u64)>>(limits: I) -> Self {
        Self(limits.into_iter().collect())
    }
}
