//! What is decided without touching the machine: input is parsed, images and descriptions are checked, policies and
//! disks are worked out. Nothing here does I/O, asks the clock or knows of [`crate::host`].

pub mod capabilities;
pub mod connection;
pub mod disk;
pub mod domain;
pub(crate) mod guest_path;
pub mod guests;
pub mod image;
pub mod io_policy;
pub mod kernel_mount;
pub mod metadata;
pub mod mount_path;
pub mod oslo_config;
pub mod path_option;
pub mod record;
