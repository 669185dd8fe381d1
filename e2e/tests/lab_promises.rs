//! What the lab promises to every other test.

use std::{
    fs::{self, Permissions},
    net::{TcpListener, TcpStream},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use e2e::{Guest, Lab, Program, Scratch, Volume, mount_at};

#[test]
fn nova_user_is_in_fuse_and_libvirt_groups() {
    let groups = Program::as_nova("id").args(["--groups", "--name"]).succeed();
    let mut groups: Vec<_> = groups.split_whitespace().collect();
    groups.sort_unstable();
    assert_eq!(groups, ["fuse", "libvirt", "nova"]);
    assert_ne!(Program::as_nova("id").arg("--user").succeed().trim(), "0");
}

#[test]
fn fuse_device_requires_fuse_group() {
    let device = fs::metadata("/dev/fuse").expect("the lab has /dev/fuse");
    let group = Program::as_root("stat").args(["--format=%G", "/dev/fuse"]).succeed();
    assert_eq!((device.uid(), group.trim(), device.mode() & 0o777), (0, "fuse", 0o660));
    Program::as_nova("test").args(["-r", "/dev/fuse", "-a", "-w", "/dev/fuse"]).succeed();
    let nobody = ["--reuid=nobody", "--regid=nogroup", "--clear-groups", "test", "-r", "/dev/fuse"];
    assert!(!Program::as_root("setpriv").args(nobody).run().status.success());
}

#[test]
fn libvirtd_accepts_nova_user() {
    let uri = Program::as_nova("virsh").args(["--connect", "qemu:///system", "uri"]).succeed();
    assert_eq!(uri.trim(), "qemu:///system");
}

#[test]
fn later_mounts_propagate_to_running_guests() {
    for directory in [Path::new("/"), Path::new("/run")] {
        let entry = mount_at(directory).expect("the lab mounts it");
        assert!(entry.shared, "{} is not a shared mount: {entry:?}", directory.display());
    }
}

#[test]
fn host_services_are_unreachable_in_lab() {
    assert!(!Path::new("/run/systemd").exists(), "the machine's service manager can be reached");
    let cgroups = mount_at(Path::new("/sys/fs/cgroup"));
    assert_eq!(cgroups, None, "a guest could leave a control group behind");
}

#[test]
fn lab_has_network_of_its_own() {
    let interfaces = fs::read_to_string("/proc/net/dev").expect("the kernel lists interfaces");
    let names = interfaces.lines().skip(2).filter_map(|line| Some(line.split_once(':')?.0.trim()));
    assert_eq!(names.collect::<Vec<_>>(), ["lo"]);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a guest may listen");
    TcpStream::connect(listener.local_addr().expect("it has an address")).expect("a test reaches it");
}

#[test]
fn state_dir_belongs_to_nova() {
    let state = fs::metadata("/run/nova-quobyte").expect("the lab makes the state directory");
    let home = fs::metadata(Lab::require().nova_home()).expect("nova has a home");
    assert_eq!(state.uid(), home.uid());
}

#[test]
fn qemu_img_requires_format_and_absolute_path() {
    let scratch = Scratch::new();
    let image = scratch.path().join("image");
    let qemu_img = || Program::as_root("qemu-img");
    qemu_img().args(["create", "-q", "-f", "qcow2"]).arg(&image).arg("1M").succeed();
    qemu_img().args(["info", "-f", "qcow2"]).arg(&image).succeed();
    let probing = qemu_img().arg("info").arg(&image).run();
    assert!(probing.stderr.contains("not declared"), "{probing:?}");
    let relative = "image";
    assert!(!qemu_img().args(["create", "-q", "-f", "raw"]).args([relative, "1M"]).run().status.success());
    assert!(!Path::new(relative).exists());
}

#[test]
fn guest_runs_commands_and_sees_hotplugged_disk() {
    let scratch = Scratch::new();
    let mut guest = Guest::boot(&scratch);

    let answer = guest.run("echo out; echo err >&2; exit 3");
    assert_eq!((answer.status, answer.output.as_str()), (3, "out\nerr\n"));

    let image = scratch.file("image", b"written by the host".repeat(512));
    fs::set_permissions(&image, Permissions::from_mode(0o666)).expect("let the guest write");
    Program::as_root("virsh")
        .args(["--connect", "qemu:///system", "attach-disk", guest.uuid()])
        .arg(&image)
        .args(["vdb", "--live", "--serial", "plugged-in"])
        .succeed();

    let disk = guest.virtio_disk("plugged-in");
    let seen = guest.succeed(&format!("head -c 19 {disk}"));
    assert_eq!(seen, "written by the host");
    guest.succeed(&format!("printf 'written by guest' | dd of={disk} conv=notrunc,fsync 2>/dev/null"));
    assert!(fs::read(&image).expect("read the image").starts_with(b"written by guest"));
}

#[test]
fn volume_mounts_as_quobyte_until_dropped() {
    let scratch = Scratch::new();
    let volume = Volume::create(&scratch, "volume", &[]);
    let path = scratch.directory("mount");

    let mount = volume.mount(&path);
    let entry = mount_at(&path).expect("it is mounted");
    assert_eq!((entry.fs_type.as_str(), entry.source.as_str()), ("fuse.quobyte", "quobyte@registry/volume"));
    Program::as_nova("touch").arg(path.join("file")).succeed();
    assert!(volume.directory().join("file").exists());

    drop(mount);
    assert_eq!(mount_at(&path), None);
}
