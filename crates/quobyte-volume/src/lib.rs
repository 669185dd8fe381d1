//! VM images (raw, qcow2) kept as files on a Quobyte volume: mount the volume, check the image, describe it to
//! libvirt, and take it all down when the last guest is gone.
//!
//! [`ConnectionInfo`](connection::ConnectionInfo) goes in; a mounted share, a durable record and a libvirt disk come
//! out. The library neither links libvirt nor runs as root.

pub mod attachments;
pub mod connection;
mod crash;
mod deadline;
pub mod disk;
pub mod domain;
pub mod driver;
pub mod error;
mod flock;
pub mod image;
pub mod io_policy;
pub mod mount;
pub mod mount_path;
pub mod mount_table;
mod process;
pub mod qemu;
pub mod share;
mod sys;
