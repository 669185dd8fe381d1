//! How each fault is brought about.

use std::{
    fs::{self, File, Permissions},
    io::Write,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{Fault, scenario::Scenario};
use crate::{Daemon, Guest, Lab, Program, mount_at};

impl Scenario {
    /// Makes go wrong what is to go wrong.
    pub(super) fn inject(&mut self) {
        match self.fault {
            Fault::None | Fault::NoProc | Fault::GuestShutOff => {}
            Fault::Refusing => self.share.fail("enotconn"),
            Fault::GuestRuns => self.start_guest(),
            Fault::GuestRunsDead => {
                self.start_guest();
                self.share.client().crash();
            }
            Fault::GuestSaved => {
                self.start_guest();
                self.guest.iter_mut().for_each(Guest::save);
            }
            Fault::GuestShutOffDead => self.share.client().crash(),
            Fault::Open => self.open_a_file(),
            Fault::Dead => self.share.client().crash(),
            Fault::DeadOpen => {
                self.open_a_file();
                self.share.client().crash();
            }
            Fault::DeadTwice => {
                self.mount_over();
                self.upper.iter().chain([self.share.client()]).for_each(Daemon::crash);
            }
            Fault::HealthyOverDead => {
                self.mount_over();
                self.share.client().crash();
            }
            Fault::Disconnected => self.share.fail("stale-root"),
            Fault::DisconnectedOpen => {
                self.open_a_file();
                self.share.fail("stale-root");
            }
            Fault::Stopped => self.share.client().stop(),
            Fault::Silent | Fault::SilentWithoutControl => self.share.fail("no-answer"),
            Fault::DiskFull => self.fill_state(),
            Fault::Unreadable => {
                fs::set_permissions(self.record(), Permissions::from_mode(0o0)).expect("close the record");
            }
            Fault::Torn => {
                let record = fs::read(self.record()).expect("read the record");
                fs::write(self.record(), &record[..record.len() / 2]).expect("tear the record");
            }
            Fault::Newer => self.change_record("version", json!(1000)),
            _ => self.inject_without_mount(),
        }
    }

    fn start_guest(&mut self) {
        self.guest.iter_mut().for_each(Guest::start_paused);
    }

    /// What is only met while the share is not mounted.
    fn inject_without_mount(&self) {
        Program::as_nova("umount.quobyte").arg(self.share.mount_path()).succeed();
        self.share.client().wait_for_end();
        match self.fault {
            Fault::Foreign => {
                Program::as_root("mount")
                    .args(["-t", "tmpfs", "foreign"])
                    .arg(self.share.mount_path())
                    .succeed();
            }
            Fault::WrongVolume => {
                self.site().volume().sibling(self.site().scratch(), "other");
                self.mount("quobyte://registry/other", self.share.mount_path());
            }
            Fault::MountsNothing => self.share.configure("standin.fault=exit-without-mounting"),
            Fault::MountsLate => self.share.configure("standin.late_mount_ms=3600000"),
            Fault::MountHangs => self.share.configure("standin.fault=hang-before-mount"),
            Fault::KilledBefore => self.install_client_that_dies(""),
            Fault::KilledWhile => {
                let client = Lab::require().directory().join("bin/mount.quobyte");
                let pid = self.share.file("pid");
                self.install_client_that_dies(&format!(
                    "{} \"$@\"\nkill -KILL $(cat {})\n",
                    client.display(),
                    pid.display()
                ));
            }
            Fault::KilledAtFirst => self.share.configure("standin.fault=die"),
            Fault::MountsDisconnected => self.share.configure("standin.fault=stale-root"),
            Fault::MountsSilent => self.share.configure("standin.fault=no-answer"),
            Fault::Link => {
                self.remove_mount_point();
                symlink(self.site().scratch().directory("elsewhere"), self.share.mount_path())
                    .expect("make a link");
            }
            Fault::File => {
                self.remove_mount_point();
                File::create(self.share.mount_path()).expect("make a file");
            }
            Fault::NotEmpty => drop(File::create(self.share.mount_path().join("two")).expect("make a file")),
            Fault::NotWritable => {
                self.remove_mount_point();
                fs::create_dir(self.share.mount_path()).expect("make a directory of root's");
            }
            Fault::Rebooted => self.change_record("boot_id", json!("another")),
            _ => {}
        }
    }

    fn open_a_file(&mut self) {
        self.open.push(File::open(self.share.mount_path().join("one")).expect("open the image"));
    }

    fn mount(&self, export: &str, at: &Path) {
        let client = Program::as_nova("mount.quobyte").args(["--disable-xattrs", export]).arg(at);
        client.arg("-c").arg(self.site().volume().config()).succeed();
    }

    /// Mounts the volume once more, over itself. A client refuses that, so it mounts elsewhere first.
    fn mount_over(&mut self) {
        let elsewhere = self.site().scratch().directory("elsewhere");
        self.mount(self.site().volume().export(), &elsewhere);
        self.upper = Some(self.share.newest_client());
        Program::as_root("mount").arg("--bind").args([&*elsewhere, self.share.mount_path()]).succeed();
        Program::as_root("umount").arg(&elsewhere).succeed();
        assert!(mount_at(&elsewhere).is_none());
    }

    /// Puts a client before the stand-in's that is killed once it has done `first`.
    fn install_client_that_dies(&self, first: &str) {
        let client = self.site().scratch().directory("programs").join("mount.quobyte");
        fs::write(&client, format!("#!/bin/sh\n{first}kill -KILL $$\n")).expect("write a client");
        fs::set_permissions(client, Permissions::from_mode(0o755)).expect("let it run");
    }

    fn remove_mount_point(&self) {
        fs::remove_dir(self.share.mount_path()).expect("remove the mount point");
    }

    fn fill_state(&self) {
        let mut filling = File::create(self.site().state().join("filling")).expect("make a file");
        while filling.write_all(&[0; 4096]).is_ok() {}
    }

    /// The file of the only record.
    fn record(&self) -> PathBuf {
        let mut records = fs::read_dir(self.records()).expect("list the records");
        records.next().expect("there is a record").expect("list the records").path()
    }

    fn change_record(&self, field: &str, value: Value) {
        let path = self.record();
        let mut record: Value = serde_json::from_slice(&fs::read(&path).expect("read the record"))
            .expect("a record is a JSON value");
        record[field] = value;
        fs::write(path, record.to_string()).expect("change the record");
    }
}
