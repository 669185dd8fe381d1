//! What a caller that lives on, as a compute service does, holds of a share between its calls.

use std::{
    error::Error,
    path::Path,
    time::{Duration, Instant},
};

use e2e::{Lab, Program, Site, faults::ALICE, mount_at};
use quobyte_volume::{
    driver::{Driver, DriverConfig},
    host::{Launcher, LinuxConfig, LinuxHost, records::StateDir},
    pure::{
        connection::ConnectionInfo,
        guests::{GuestQuestion, GuestSurvey, Guests},
        image::VolumeFormats,
        io_policy::{HypervisorFacts, IoOptions},
    },
};

struct NoGuests;

impl Guests for NoGuests {
    fn survey(&self, _: &GuestQuestion<'_>) -> Result<GuestSurvey, Box<dyn Error + Send + Sync>> {
        Ok(GuestSurvey::default())
    }
}

/// The driver in this process, on a state directory of its own.
fn driver(site: &Site, directory: &Path) -> Driver {
    let state = StateDir::open(directory).expect("open the state directory");
    let limit = Duration::from_secs(60);
    let host = LinuxConfig {
        client_cfg: Some(site.volume().config().to_owned()),
        launcher: Launcher::Direct,
        is_command: false,
        helper: Lab::require().directory().join("bin/quobyte-share-helper"),
        mount_timeout: Some(limit),
        probe_timeout: limit,
    };
    let config = DriverConfig {
        nova_cache: None,
        mount_point_base: site.base().to_owned(),
        lock_timeout: limit,
        io: IoOptions::default(),
        volume_formats: VolumeFormats::default(),
    };
    let host = LinuxHost::new(host, state.clone());
    Driver::new(config, state, Box::new(host), Box::new(NoGuests)).expect("the configuration is good")
}

/// Unmounts a share, which the kernel refuses while anybody, a helper among them, has as much as a path of it open.
///
/// It also refuses for the moment in which it closes, behind everybody's back, what an asynchronous read has used. No
/// event tells when that is over, so this tries until a deadline.
fn unmount(path: &Path) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let finished = Program::as_root("umount").arg(path).run();
        if finished.status.success() {
            return;
        }
        assert!(Instant::now() < deadline, "{finished:?}");
    }
}

#[test]
fn long_lived_caller_keeps_no_share_file_open() {
    let site = Site::new(&[]);
    site.volume().image("one", "raw", &[0; 4096]);
    let driver = driver(&site, &site.scratch().path().join("own-state"));
    let info = ConnectionInfo::parse(site.info("one").to_string().as_bytes()).expect("it is good");
    let guest = ALICE.parse().expect("it is a UUID");
    let connected = driver.connect(&info, guest, &HypervisorFacts::default()).expect("connect");
    assert!(connected.mounted);

    unmount(connected.mount_path.as_path());
    assert!(mount_at(connected.mount_path.as_path()).is_none());
    let again = driver.connect(&info, guest, &HypervisorFacts::default()).expect("connect again");
    assert!(again.mounted, "and the next call does not mistake what it knew for what is");
}
