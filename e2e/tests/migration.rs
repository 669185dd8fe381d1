//! Live migration: a guest takes its disks to another host that has connected the same volume.

use e2e::{Guest, OtherHost, Program, Reply, Site};
use serde_json::{Value, json};

const IDS: [&str; 2] = ["8d2b8f5e-6f0a-4d9c-9b1e-0d7f6c5b4a31", "7c1b9a52-3f64-4c0b-9b59-1f2d3e4c5a62"];
const FORMATS: [&str; 2] = ["raw", "qcow2"];
const BLOCK: usize = 4096;
const BLOCKS: usize = 512;

/// A site with an empty image of each format, and what connects each.
fn site() -> (Site, [Value; 2]) {
    let site = Site::new(&[]);
    let infos = [0, 1].map(|index| {
        site.volume().image(IDS[index], FORMATS[index], &[0; BLOCK * BLOCKS]);
        let mut info = site.info(IDS[index]);
        info["serial"] = json!(IDS[index]);
        info["data"]["format"] = json!(FORMATS[index]);
        info
    });
    (site, infos)
}

/// The command on the other host.
fn command_on_other(site: &Site, other: &OtherHost, arguments: &[&str]) -> Program {
    site.with_options(other.as_nova("nova-quobyte")).args(arguments)
}

/// Runs it there with a connection_info.
fn run_on_other(site: &Site, other: &OtherHost, info: &Value, arguments: &[&str]) -> Value {
    let program = command_on_other(site, other, arguments).args(["--connection-info", "-"]);
    Reply::of(program.input(info.to_string())).answer()
}

/// Lets the guest write to both disks, over and over and a number more every time, until it is told to stop. What it
/// counted last has been flushed.
fn start_writing(guest: &mut Guest, disks: &[String; 2]) {
    let [first, second] = disks;
    guest.succeed(&format!(
        "(n=0; until [ -e /run/stop ]; do n=$((n+1)); printf '%-{BLOCK}s' $n >/run/block; \
         for disk in {first} {second}; do \
         dd if=/run/block of=$disk bs={BLOCK} seek=$((n%{BLOCKS})) conv=notrunc,fsync || echo failed $disk >>/run/failed; \
         done; echo $n >/run/counted; done; echo $n >/run/stopped) >/dev/null 2>&1 &"
    ));
}

/// Waits until the guest has written ten blocks more.
fn wait_for_more(guest: &mut Guest) {
    guest.succeed("until [ -e /run/counted ]; do usleep 1000; done; was=$(cat /run/counted); until [ $(cat /run/counted) -ge $((was+10)) ]; do usleep 1000; done");
}

/// Has it stop, and returns what is on its disks then.
fn stop_writing(guest: &mut Guest) -> Vec<u8> {
    let last =
        guest.succeed("touch /run/stop; until [ -e /run/stopped ]; do usleep 1000; done; cat /run/stopped");
    assert!(!guest.succeed("ls /run").contains("failed"), "{}", guest.succeed("cat /run/failed"));
    let last: usize = last.trim().parse().expect("it counts");
    let mut content = vec![0; BLOCK * BLOCKS];
    for n in 1..=last {
        let at = n % BLOCKS * BLOCK;
        content[at..at + BLOCK].copy_from_slice(format!("{n:<BLOCK$}").as_bytes());
    }
    content
}

#[test]
fn live_migration_and_return_preserve_data() {
    let (site, infos) = site();
    let other = OtherHost::for_site(&site);
    let mut guest = Guest::boot(site.scratch());
    let uuid = guest.uuid().to_owned();
    for info in &infos {
        site.attach(&guest, info, &[]).answer();
    }
    let disks = IDS.map(|id| guest.virtio_disk(id));
    start_writing(&mut guest, &disks);
    wait_for_more(&mut guest);

    for info in &infos {
        run_on_other(&site, &other, info, &["connect", "--instance", &uuid]);
    }
    guest.migrate(&other, wait_for_more);
    wait_for_more(&mut guest);
    for info in &infos {
        site.disconnect(&uuid, info).answer();
    }
    assert_eq!((site.mount_directories().len(), site.records().len()), (0, 0));
    wait_for_more(&mut guest);

    for info in &infos {
        site.connect(&uuid, info).answer();
    }
    guest.migrate(&other, wait_for_more);
    for (info, mounted) in infos.iter().zip([true, false]) {
        assert_eq!(
            run_on_other(&site, &other, info, &["disconnect", "--instance", &uuid])["mounted"],
            json!(mounted)
        );
    }
    wait_for_more(&mut guest);

    let content = stop_writing(&mut guest);
    let sum = Program::as_root("sha256sum").input(&content).succeed();
    guest.succeed("echo 3 >/proc/sys/vm/drop_caches");
    for disk in &disks {
        assert_eq!(guest.succeed(&format!("sha256sum <{disk}")), sum);
    }
    for target in ["vda", "vdb"] {
        site.detach(&guest, target, &[]).answer();
    }
    site.assert_nothing_is_left();
    for (id, format) in IDS.into_iter().zip(FORMATS) {
        assert!(site.volume().contents(id, format) == content, "{format} differs");
    }
}

#[test]
fn migration_of_cached_disk_is_refused() {
    let (site, [info, _]) = site();
    let other = OtherHost::for_site(&site);
    let mut guest = Guest::define(site.scratch());
    let uuid = guest.uuid().to_owned();
    site.attach(&guest, &info, &["--cache-mode", "writeback"]).answer();
    guest.start_paused();
    run_on_other(&site, &other, &info, &["connect", "--instance", &uuid]);

    // The lab's libvirt trusts QEMU to drop it.
    guest.migrate(&other, |_| {});
    let refused = guest.migration(&other).run();
    assert!(!refused.status.success() && refused.stderr.contains("Unsafe migration"), "{refused:?}");

    guest.destroy();
    Reply::of(command_on_other(&site, &other, &["detach", guest.name(), "vda"])).answer();
    site.disconnect(&uuid, &info).answer();
    site.assert_nothing_is_left();
}

#[test]
fn hook_connects_where_guest_arrives() {
    let (site, infos) = site();
    let other = OtherHost::for_site(&site);
    let mut guest = Guest::define(site.scratch());
    site.install_hook(&guest);
    for info in &infos {
        site.attach(&guest, info, &[]).answer();
    }
    guest.start();
    let disks = IDS.map(|id| guest.virtio_disk(id));
    start_writing(&mut guest, &disks);
    wait_for_more(&mut guest);
    guest.migrate(&other, wait_for_more);
    wait_for_more(&mut guest);
    site.wait_until_unmounted();
    guest.migrate(&other, wait_for_more);
    wait_for_more(&mut guest);

    let content = stop_writing(&mut guest);
    guest.destroy();
    for target in ["vda", "vdb"] {
        site.detach(&guest, target, &[]).answer();
    }
    site.assert_nothing_is_left();
    for (id, format) in IDS.into_iter().zip(FORMATS) {
        assert!(site.volume().contents(id, format) == content, "{format} differs");
    }
    let status = Reply::of(command_on_other(&site, &other, &["status"])).answer();
    assert_eq!(status["shares"], json!([]), "{status}");
}
