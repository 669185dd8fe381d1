//! What comes of every operation under every fault. `docs/SEMANTICS.md` shows the same and explains the notation.

use super::Fault;

/// What comes of each operation, in the order of [`Operation`]'s variants.
type Row = (Fault, [&'static str; 5]);

/// What the command promises.
pub const MATRIX: &[Row] = &[
    (
        Fault::None,
        [
            "connected · same · AB",
            "disconnected · – · –",
            "disconnected · – · –",
            "healthy · same · A",
            "left: no_guest · same · A",
        ],
    ),
    (
        Fault::Open,
        [
            "connected · same · AB",
            "disconnected, kept: busy · same · nobody",
            "disconnected · – · –",
            "healthy · same · A",
            "left: no_guest · same · A",
        ],
    ),
    (
        Fault::Absent,
        [
            "connected · new · AB",
            "disconnected · – · –",
            "disconnected · – · –",
            "absent · – · A",
            "remounted, left: no_guest · new · A",
        ],
    ),
    (
        Fault::Dead,
        [
            "connected · new · AB",
            "disconnected · – · –",
            "disconnected · – · –",
            "dead · same · A",
            "remounted, left: no_guest · new · A",
        ],
    ),
    (
        Fault::DeadOpen,
        [
            "connected · new · AB",
            "disconnected · – · –",
            "disconnected · – · –",
            "dead · same · A",
            "remounted, left: no_guest · new · A",
        ],
    ),
    (
        Fault::DeadTwice,
        [
            "connected · new · AB",
            "disconnected · – · –",
            "disconnected · – · –",
            "dead · same · A",
            "remounted, left: no_guest · new · A",
        ],
    ),
    (
        Fault::HealthyOverDead,
        [
            "connected · same · AB",
            "disconnected · – · –",
            "disconnected · – · –",
            "healthy · same · A",
            "left: no_guest · same · A",
        ],
    ),
    (
        Fault::Disconnected,
        [
            "4 mount_stale · – · A",
            "disconnected · – · –",
            "disconnected · – · –",
            "disconnected · same · A",
            "left: disconnected, left: no_guest · same · A",
        ],
    ),
    (
        Fault::DisconnectedOpen,
        [
            "4 mount_stale · same · A",
            "disconnected, kept: busy · same · nobody",
            "disconnected · – · –",
            "disconnected · same · A",
            "left: disconnected, left: no_guest · same · A",
        ],
    ),
    (
        Fault::Stopped,
        [
            "5 mount_hung · same · A",
            "disconnected · – · –",
            "disconnected · – · –",
            "hung · same · A",
            "left: hung, left: no_guest · same · A",
        ],
    ),
    (
        Fault::Silent,
        [
            "5 mount_hung · same · A",
            "disconnected, kept: hung · same · nobody",
            "disconnected · – · –",
            "hung · same · A",
            "left: hung, left: no_guest · same · A",
        ],
    ),
    (
        Fault::SilentWithoutControl,
        [
            "5 mount_hung · same · A",
            "disconnected, kept: hung · same · nobody",
            "disconnected · – · –",
            "hung · same · A",
            "left: hung, left: no_guest · same · A",
        ],
    ),
    (
        Fault::Refusing,
        [
            "4 mount_stale · – · A",
            "disconnected · – · –",
            "disconnected · – · –",
            "disconnected · same · A",
            "left: disconnected, left: no_guest · same · A",
        ],
    ),
    (
        Fault::Foreign,
        [
            "4 not_quobyte · same · A",
            "disconnected, kept: foreign · same · nobody",
            "disconnected, kept: foreign · same · nobody",
            "foreign · same · A",
            "left: foreign, left: no_guest · same · A",
        ],
    ),
    (
        Fault::WrongVolume,
        [
            "4 wrong_volume · same · A",
            "disconnected, kept: foreign · same · nobody",
            "disconnected, kept: foreign · same · nobody",
            "wrong_volume · same · A",
            "left: foreign, left: no_guest · same · A",
        ],
    ),
    (
        Fault::MountsNothing,
        [
            "4 mount_failed · – · A",
            "disconnected · – · –",
            "disconnected · – · –",
            "absent · – · A",
            "left: failed (mount_failed) · – · A",
        ],
    ),
    (
        Fault::MountsLate,
        [
            "4 mount_failed · – · A",
            "disconnected · – · –",
            "disconnected · – · –",
            "absent · – · A",
            "left: failed (mount_failed) · – · A",
        ],
    ),
    (
        Fault::MountHangs,
        [
            "5 mount_timeout · – · A",
            "disconnected · – · –",
            "disconnected · – · –",
            "absent · – · A",
            "left: failed (mount_timeout) · – · A",
        ],
    ),
    (
        Fault::KilledBefore,
        [
            "4 mount_failed · – · A",
            "disconnected · – · –",
            "disconnected · – · –",
            "absent · – · A",
            "left: failed (mount_failed) · – · A",
        ],
    ),
    (
        Fault::KilledWhile,
        [
            "4 mount_stale · – · A",
            "disconnected · – · –",
            "disconnected · – · –",
            "absent · – · A",
            "left: failed (mount_stale) · – · A",
        ],
    ),
    (
        Fault::KilledAtFirst,
        [
            "4 mount_stale · – · A",
            "disconnected · – · –",
            "disconnected · – · –",
            "absent · – · A",
            "left: failed (mount_stale) · – · A",
        ],
    ),
    (
        Fault::MountsDisconnected,
        [
            "4 mount_stale · – · A",
            "disconnected · – · –",
            "disconnected · – · –",
            "absent · – · A",
            "left: failed (mount_stale) · – · A",
        ],
    ),
    (
        Fault::MountsSilent,
        [
            "5 mount_hung · – · A",
            "disconnected · – · –",
            "disconnected · – · –",
            "absent · – · A",
            "left: failed (mount_hung) · – · A",
        ],
    ),
    (
        Fault::Link,
        [
            "4 mount_failed · – · A",
            "disconnected · – · –",
            "disconnected · – · –",
            "absent · – · A",
            "left: failed (mount_failed) · – · A",
        ],
    ),
    (
        Fault::File,
        [
            "4 mount_failed · – · A",
            "disconnected · – · –",
            "disconnected · – · –",
            "absent · – · A",
            "left: failed (mount_failed) · – · A",
        ],
    ),
    (
        Fault::NotEmpty,
        [
            "4 mount_failed · – · A",
            "disconnected · – · –",
            "disconnected · – · –",
            "absent · – · A",
            "left: failed (mount_failed) · – · A",
        ],
    ),
    (
        Fault::NotWritable,
        [
            "4 mount_failed · – · A",
            "disconnected · – · –",
            "disconnected · – · –",
            "absent · – · A",
            "left: failed (mount_failed) · – · A",
        ],
    ),
    (
        Fault::DiskFull,
        [
            "9 state_unavailable · same · A",
            "9 state_unavailable · same · A",
            "9 state_unavailable · same · A",
            "healthy · same · A",
            "left: no_guest · same · A",
        ],
    ),
    (
        Fault::Unreadable,
        [
            "9 state_unavailable · same · A",
            "9 state_unavailable · same · A",
            "9 state_unavailable · same · A",
            "unusable record · same · A",
            "left: record_unusable (state_unavailable), left: failed (state_unavailable) · same · A",
        ],
    ),
    (
        Fault::Torn,
        [
            "connected · same · B, one set aside",
            "was not connected, kept: not_recorded · same · one set aside",
            "was not connected, kept: not_recorded · same · one set aside",
            "unusable record · same · torn",
            "left: record_unusable (record_unsupported), left: not_recorded · same · one set aside",
        ],
    ),
    (
        Fault::Newer,
        [
            "9 record_unsupported · same · A",
            "9 record_unsupported · same · A",
            "9 record_unsupported · same · A",
            "unusable record · same · A",
            "left: record_unusable (record_unsupported), left: failed (record_unsupported) · same · A",
        ],
    ),
    (
        Fault::Rebooted,
        [
            "connected · new · B",
            "was not connected · – · A",
            "was not connected · – · A",
            "nothing · – · A",
            "swept · – · –",
        ],
    ),
    (
        Fault::NoProc,
        [
            "9 state_unavailable · same · A",
            "9 state_unavailable · same · A",
            "9 state_unavailable · same · A",
            "unusable record · same · A",
            "9 state_unavailable · same · A",
        ],
    ),
    (
        Fault::GuestShutOff,
        [
            "connected · same · AB",
            "disconnected · – · –",
            "disconnected · – · –",
            "healthy · same · A",
            "nothing · same · A",
        ],
    ),
    (
        Fault::GuestRuns,
        [
            "connected · same · AB",
            "7 volume_in_use · same · A",
            "leaving, kept: attachments · same · A",
            "healthy · same · A",
            "nothing · same · A",
        ],
    ),
    (
        Fault::GuestRunsDead,
        [
            "connected, A lost · new · AB",
            "7 volume_in_use · same · A",
            "leaving, kept: attachments · same · A",
            "dead, A lost · same · A",
            "remounted · new · A",
        ],
    ),
    (
        Fault::GuestSaved,
        [
            "connected · same · AB",
            "7 volume_in_use · same · A",
            "leaving, kept: attachments · same · A",
            "healthy · same · A",
            "nothing · same · A",
        ],
    ),
    (
        Fault::GuestShutOffDead,
        [
            "connected · new · AB",
            "disconnected · – · –",
            "disconnected · – · –",
            "dead · same · A",
            "remounted · new · A",
        ],
    ),
];
