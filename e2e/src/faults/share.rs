//! A share with an attachment, whose client can be told to fail.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::helper::wait_until_idle;
use crate::{Daemon, Site};

/// alice's guest, connected with the image `one` before anything goes wrong.
pub const ALICE: &str = "a11ce000-0000-4000-8000-000000000001";
/// bob's guest, for which the image `two` is there.
pub const BOB: &str = "b0b00000-0000-4000-8000-000000000002";

/// Ends a client when dropped. Whoever destroys a guest with an image open on a share whose client hangs keeps libvirtd
/// from listing and defining domains for as long: so a test that has such a guest drops this before it.
#[derive(Debug)]
pub struct ClientGuard<'a>(&'a Daemon);

impl Drop for ClientGuard<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// A share on which alice is connected. Its client ends with it, hung or not.
#[derive(Debug)]
pub struct Share {
    mount_path: PathBuf,
    client: Daemon,
    site: Site,
}

impl Share {
    /// Makes one on a host of its own.
    #[must_use]
    pub fn connected() -> Self {
        Self::on(Site::new(&[]))
    }

    /// Makes one on `site`, which has not been used yet.
    #[must_use]
    pub fn on(site: Site) -> Self {
        Self::on_for(site, ALICE)
    }

    /// The same for the guest `instance`, whom alice stands for then.
    #[must_use]
    pub fn on_for(site: Site, instance: &str) -> Self {
        for name in ["one", "two"] {
            site.volume().image(name, "raw", &[0; 4096]);
        }
        let [pid, control] = ["pid", "control"].map(|name| site.scratch().path().join(name));
        site.volume().configure(&format!("standin.pid_file={}", pid.display()));
        site.volume().configure(&format!("standin.control={}", control.display()));
        let mut answer = site.connect(instance, &site.info("one")).answer();
        let Value::String(mount_path) = answer["mount_path"].take() else {
            panic!("no mount path in {answer}")
        };
        let mount_path = PathBuf::from(mount_path);
        // What was opened is closed behind its opener's back, which is not to be taken for a later question.
        wait_until_idle(&mount_path);
        Self { mount_path, client: Daemon::of(&pid), site }
    }

    /// Where it is mounted.
    #[must_use]
    pub fn mount_path(&self) -> &Path {
        &self.mount_path
    }

    /// The host it is on.
    #[must_use]
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// The client that mounted it for alice.
    #[must_use]
    pub fn client(&self) -> &Daemon {
        &self.client
    }

    /// Ends the client that mounted it for alice once this is dropped.
    #[must_use]
    pub fn client_guard(&self) -> ClientGuard<'_> {
        ClientGuard(&self.client)
    }

    /// The client that was started last.
    #[must_use]
    pub fn newest_client(&self) -> Daemon {
        Daemon::of(&self.file("pid"))
    }

    /// The process id of the client that was started last, which may have ended.
    #[must_use]
    pub fn newest_client_id(&self) -> String {
        fs::read_to_string(self.file("pid")).expect("the client tells its process id")
    }

    /// Puts a fault of the client in force, from its next request on.
    pub fn fail(&self, fault: &str) {
        fs::write(self.file("control"), fault).expect("write the control file");
    }

    /// Adds a line to the client's configuration, for the clients started from now on.
    pub fn configure(&self, line: &str) {
        self.site.volume().configure(line);
    }

    /// A file beside everything else.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.site.scratch().path().join(name)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.client.end();
    }
}
