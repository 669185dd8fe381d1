//! Limits on a guest's I/O, from Cinder's `qos_specs` to libvirt's `<iotune>`.

use std::collections::BTreeMap;

use strum::{EnumString, IntoStaticStr, VariantArray};

use super::error::ConnectionError;

/// One limit. The names are those of libvirt's `<iotune>` elements, which Cinder's front-end QoS specs share. The
/// order is the one libvirt writes them in: in Nova's, which mixes bytes and requests, libvirt's schema check refuses
/// some sets that libvirt takes.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, EnumString, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "snake_case")]
#[allow(missing_docs, reason = "the names are libvirt's")]
pub enum IoLimit {
    TotalBytesSec,
    ReadBytesSec,
    WriteBytesSec,
    TotalIopsSec,
    ReadIopsSec,
    WriteIopsSec,
    TotalBytesSecMax,
    ReadBytesSecMax,
    WriteBytesSecMax,
    TotalIopsSecMax,
    ReadIopsSecMax,
    WriteIopsSecMax,
    SizeIopsSec,
}

impl IoLimit {
    /// libvirt's and Cinder's name of the limit.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A limit on reads and writes together, and those on either alone. libvirt takes the one or the others.
const EXCLUSIVE: [(IoLimit, [IoLimit; 2]); 4] = [
    (IoLimit::TotalBytesSec, [IoLimit::ReadBytesSec, IoLimit::WriteBytesSec]),
    (IoLimit::TotalIopsSec, [IoLimit::ReadIopsSec, IoLimit::WriteIopsSec]),
    (IoLimit::TotalBytesSecMax, [IoLimit::ReadBytesSecMax, IoLimit::WriteBytesSecMax]),
    (IoLimit::TotalIopsSecMax, [IoLimit::ReadIopsSecMax, IoLimit::WriteIopsSecMax]),
];

/// The limits of one disk: bytes per second, requests per second, or bytes per request for
/// [`IoLimit::SizeIopsSec`]. None is 0, and none contradicts another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IoTune(BTreeMap<IoLimit, u64>);

impl IoTune {
    /// Collects limits. A limit of 0 is no limit, as libvirt has it.
    ///
    /// # Errors
    /// [`ConnectionError::Field`] where reads and writes are limited both together and alone.
    pub fn new(limits: impl IntoIterator<Item = (IoLimit, u64)>) -> Result<Self, ConnectionError> {
        let set: BTreeMap<_, _> = limits.into_iter().filter(|&(_, value)| value != 0).collect();
        for (total, parts) in EXCLUSIVE {
            if let Some(part) = parts.into_iter().find(|part| set.contains_key(part))
                && set.contains_key(&total)
            {
                return Err(ConnectionError::Field {
                    field: "data.qos_specs",
                    value: format!("{} with {}", total.as_str(), part.as_str()),
                    reason: "libvirt limits reads and writes together or each alone, not both",
                });
            }
        }
        Ok(Self(set))
    }

    /// The limits that are set, in the order libvirt writes them.
    pub fn iter(&self) -> impl Iterator<Item = (IoLimit, u64)> + '_ {
        self.0.iter().map(|(&limit, &value)| (limit, value))
    }

    /// Whether no limit is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn total_limit_excludes_read_and_write_limits() {
        for (total, parts) in EXCLUSIVE {
            assert!(IoTune::new(parts.map(|part| (part, 1))).is_ok());
            for part in parts {
                let error = IoTune::new([(part, 1), (total, 1)]).unwrap_err();
                assert_eq!(error.code().as_str(), "invalid_connection", "{error}");
            }
        }
    }

    #[test]
    fn bytes_iops_and_burst_limits_are_independent() {
        let totals = EXCLUSIVE.map(|(total, _)| total);
        assert!(IoTune::new(totals.map(|total| (total, 1))).is_ok());
        let mixed = [IoLimit::TotalBytesSec, IoLimit::ReadIopsSec, IoLimit::WriteBytesSecMax];
        assert!(IoTune::new(mixed.map(|limit| (limit, 1))).is_ok());
    }

    #[test]
    fn zero_limit_means_unlimited() {
        let limits = [(IoLimit::TotalIopsSec, 0), (IoLimit::ReadIopsSec, 5)];
        let tune = IoTune::new(limits).unwrap();
        assert_eq!(tune.iter().collect::<Vec<_>>(), [(IoLimit::ReadIopsSec, 5)]);
        assert!(IoTune::new([(IoLimit::TotalIopsSec, 0)]).unwrap().is_empty());
    }
}
