//! VM images (raw, qcow2) kept as files on a Quobyte volume: mount the volume, check the image, describe it to
//! libvirt, and take it all down when the last guest is gone.
//!
//! [`ConnectionInfo`](pure::connection::ConnectionInfo) goes in; a mounted share, a durable record and a libvirt disk come
//! out. The library neither links libvirt nor runs as root.
//!
//! Each module may use those below it:
//!
//! ```text
//!  driver   the operations: connect, disconnect, reconcile, status
//!  mount    the state of one mount point
//!  host     the machine: mount table, client, helper processes, records, programs
//!  pure     parsing, rules, decisions, descriptions; no I/O
//!  error    the stable codes
//! ```

pub mod driver;
pub mod error;
pub mod host;
pub mod mount;
pub mod pure;
