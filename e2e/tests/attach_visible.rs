//! attach when QEMU could not see the image: the remedy is named, and all is undone.

use std::path::Path;

use e2e::{Guest, Program, Reply, Site, mount_at};

fn site() -> Site {
    let site = Site::new(&[]);
    site.volume().image("disk", "raw", &[0; 1 << 20]);
    site
}

/// A directory mounted on itself, so that it has a mount's properties. Unmounted when dropped.
struct BindMount<'a>(&'a Path);

impl<'a> BindMount<'a> {
    fn new(directory: &'a Path) -> Self {
        Program::as_root("mount").arg("--bind").args([directory, directory]).succeed();
        Self(directory)
    }
}

impl Drop for BindMount<'_> {
    fn drop(&mut self) {
        // Lazily: a failed test may leave a volume mounted below.
        Program::as_root("umount").arg("--lazy").arg(self.0).run();
    }
}

fn set_propagation(propagation: &str, mount: &Path) {
    Program::as_root("mount").arg(propagation).arg(mount).succeed();
}

/// Attaches with a command that `program` runs as nova: that is refused for what `remedy` says, and undone.
fn assert_refused(site: &Site, program: Program, remedy: &str) {
    let guest = Guest::define(site.scratch());
    let before = guest.xml(&[]);
    let program = program.args(["setpriv", "--reuid=nova", "--regid=nova", "--init-groups", "nova-quobyte"]);
    let program = site
        .with_options(program)
        .args(["attach", guest.name(), "--connection-info", "-"])
        .input(site.info("disk").to_string());

    let reply = Reply::of(program);
    assert_eq!(reply.failure(), (4, "mount_not_visible"));
    assert!(reply.message().contains(remedy), "{}", reply.message());
    site.assert_nothing_is_left();
    assert_eq!(guest.xml(&[]), before);
}

#[test]
fn mount_without_allow_other_is_unmounted() {
    let site = site();
    let forbidding = site.scratch().file("fuse.conf", "");
    // In a mount namespace of its own, or no test could have allow_other meanwhile. Mounts made there reach everybody.
    let script = "mount --make-private /etc/fuse.conf && mount --bind \"$0\" /etc/fuse.conf && exec \"$@\"";
    let program = Program::as_root("unshare")
        .args(["--mount", "--propagation", "unchanged", "sh", "-c", script])
        .arg(forbidding);
    assert_refused(&site, program, "user_allow_other");
}

#[test]
fn mount_invisible_to_libvirtd_is_unmounted() {
    // Nothing that is mounted there reaches anybody else.
    let program = Program::as_root("unshare").args(["--mount", "--propagation", "private"]);
    assert_refused(&site(), program, "namespace of libvirt's daemon");
}

#[test]
fn mount_invisible_to_running_guest_is_unmounted() {
    let site = site();
    let base = BindMount::new(site.base());
    let mut guest = Guest::boot(site.scratch());
    set_propagation("--make-private", base.0);
    assert!(!mount_at(base.0).expect("it is mounted").shared);
    let before = guest.xml(&[]);

    let reply = site.attach(&guest, &site.info("disk"), &[]);
    assert_eq!(reply.failure(), (4, "mount_not_visible"), "{}", reply.message());
    assert!(reply.message().contains("mount --make-rshared"), "{}", reply.message());
    site.assert_nothing_is_left();
    // libvirt keeps an empty element of metadata that was taken out again.
    assert_eq!(guest.xml(&[]).replace("  <metadata/>\n", ""), before);

    // What the remedy promises.
    set_propagation("--make-rshared", base.0);
    guest.destroy();
    guest.start();
    site.attach(&guest, &site.info("disk"), &[]).answer();
    site.detach(&guest, "vda", &[]).answer();
    site.assert_nothing_is_left();
}
