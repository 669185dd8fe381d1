//! Only devices and what a guest boots from name files: whatever else a description says, such as a tenant's display
//! name, is no use and leads nobody to a share.

use std::{os::unix::fs::symlink, path::Path, thread, time::Duration};

use e2e::{
    DiskXml, Guest, Reply, Site,
    faults::{ALICE, BOB, Share},
    mount_at,
};
use serde_json::{Value, json};

/// Ample for a call on a share that hangs, with the timeouts below.
const LIMIT: Duration = Duration::from_secs(45);
const TIMEOUTS: [&str; 4] = ["--probe-timeout", "1", "--libvirt-timeout", "10"];

/// A domain that says a text wherever a tenant can make it say one.
fn define_with_text(share: &Share, text: &str) -> Guest {
    Guest::define_with(share.site().scratch(), |xml| {
        let texts = format!(
            "<title>{text}</title><description>{text}</description><metadata>\
             <nova:instance xmlns:nova='http://openstack.org/xmlns/libvirt/nova/1.1'>\
             <nova:name>{text}</nova:name><nova:source file='{text}'>{text}</nova:source>\
             </nova:instance></metadata><memory"
        );
        xml.replacen("<memory", &texts, 1)
    })
}

/// Paths below the share that name a file there only once somebody has asked its client.
fn hostile_texts(mount_path: &Path) -> [String; 3] {
    let mount = mount_path.display();
    let digest = mount_path.file_name().expect("it has a name").to_string_lossy();
    [format!("{mount}/one/../two"), format!("{mount}/."), format!("/proc/self/root/{mount}/../{digest}/two")]
}

/// Runs the command within a limit of its own.
fn run(site: &Site, arguments: &[&str], info: &Value) -> Value {
    let program = site.command(arguments).args(TIMEOUTS).input(info.to_string());
    Reply::of(program.within(LIMIT)).answer()
}

#[test]
fn hostile_text_on_hung_share_blocks_no_call() {
    let share = Share::connected();
    let site = share.site();
    let other = site.volume().sibling(site.scratch(), "other");
    other.image("one", "raw", &[0; 4096]);
    let mut elsewhere = site.info("one");
    elsewhere["data"]["export"] = json!(other.export());
    let _guests = hostile_texts(share.mount_path()).map(|text| define_with_text(&share, &text));
    site.connect(BOB, &elsewhere).answer();

    // A signal ends who waits for it, so that this test ends whatever happens.
    share.client().stop();
    let status = run(site, &["status"], &elsewhere);
    let state = |mounted: &str| {
        let shares = status["shares"].as_array().expect("status lists shares");
        shares.iter().find(|one| one["export"].to_string().contains(mounted)).map(|one| one["state"].clone())
    };
    assert_eq!((state("volumes"), state("other")), (Some(json!("hung")), Some(json!("healthy"))), "{status}");
    assert_eq!(status["unknown_guests"], json!([]), "{status}");
    let disconnect = |instance| ["disconnect", "--connection-info", "-", "--instance", instance];
    let answer = run(site, &disconnect(BOB), &elsewhere);
    assert_eq!(answer["mounted"], json!(false), "another share is as it was: {answer}");
    let reconciled = run(site, &["reconcile"], &elsewhere);
    assert!(reconciled["left"].to_string().contains("hung"), "{reconciled}");
    let answer = run(site, &disconnect(ALICE), &site.info("one"));
    assert_eq!(answer["changed"], json!(true), "{answer}");
}

#[test]
fn hostile_text_blocks_no_attach_or_detach() {
    let share = Share::connected();
    let site = share.site();
    let other = site.volume().sibling(site.scratch(), "other");
    other.image("one", "raw", &[0; 1 << 20]);
    let mut elsewhere = site.info("one");
    elsewhere["data"]["export"] = json!(other.export());
    let guests = hostile_texts(share.mount_path()).map(|text| define_with_text(&share, &text));
    share.client().stop();
    // Each of them may have a disk of another share, and lose it again.
    for guest in &guests {
        let answer = run(site, &["attach", guest.name(), "--connection-info", "-"], &elsewhere);
        assert_eq!(answer["target"], json!("vda"));
        let answer = run(site, &["detach", guest.name(), "vda"], &elsewhere);
        assert_eq!(answer["mounted"], json!(false), "{answer}");
    }
}

#[test]
fn display_name_keeps_no_share_mounted() {
    let share = Share::connected();
    let site = share.site();
    let image = share.mount_path().join("two");
    let mut guest = define_with_text(&share, &image.to_string_lossy());
    let other = define_with_text(&share, &share.mount_path().to_string_lossy());
    guest.start_paused();
    assert_eq!(site.attachments(), [(ALICE.to_owned(), "one".to_owned())]);
    assert!(!site.reconcile().mended_codes().contains(&"adopted"));
    site.attach(&other, &site.info("two"), &[]).answer();
    site.detach(&other, "vda", &[]).answer();
    let answer = site.disconnect(ALICE, &site.info("one")).answer();
    assert_eq!(answer["mounted"], json!(false), "{answer}");
    site.assert_nothing_is_left();
}

#[test]
fn kernel_and_console_keep_share_mounted() {
    let changes: [fn(String, &str) -> String; 3] = [
        |xml, file| replace_between(&xml, "<kernel>", "</kernel>", file),
        |xml, file| replace_between(&xml, "<initrd>", "</initrd>", file),
        |xml, file| replace_between(&xml, "<serial type='file'><source path='", "'/>", file),
    ];
    for change in changes {
        let share = Share::connected();
        let site = share.site();
        let file = share.mount_path().join("two");
        let guest = Guest::define_with(site.scratch(), |xml| change(xml, &file.to_string_lossy()));
        let answer = site.disconnect(ALICE, &site.info("one")).answer();
        assert_eq!(answer["reason"], json!("guests"), "{answer}");
        assert_eq!(answer["guests"][0]["domain"], guest.name());
        drop(guest);
        site.disconnect(ALICE, &site.info("one")).answer();
        site.assert_nothing_is_left();
    }
}

fn replace_between(text: &str, before: &str, after: &str, with: &str) -> String {
    let (head, rest) = text.split_once(before).expect("the description has it");
    let (_, tail) = rest.split_once(after).expect("it ends");
    format!("{head}{before}{with}{after}{tail}")
}

#[test]
fn link_to_share_keeps_share_mounted() {
    let share = Share::connected();
    let site = share.site();
    let link = share.file("link");
    symlink(share.mount_path(), &link).expect("make a link");
    let guest = Guest::define(site.scratch());
    guest.virsh_attach(site.scratch(), &DiskXml::file(&link.join("two"), "raw", "vda"), &["--config"]);
    let other = Guest::define(site.scratch());
    site.attach(&other, &site.info("two"), &[]).assert_held_by(&guest);
    let answer = site.disconnect(ALICE, &site.info("one")).answer();
    assert_eq!(answer["reason"], json!("guests"), "{answer}");
    assert!(mount_at(share.mount_path()).is_some());
    guest.virsh("detach-disk", &["vda", "--config"]);
    site.disconnect(ALICE, &site.info("one")).answer();
    site.assert_nothing_is_left();
}

#[test]
fn link_to_hung_share_blocks_no_call() {
    let share = Share::connected();
    let site = share.site();
    let link = share.file("link");
    symlink(share.mount_path(), &link).expect("make a link");
    let guest = Guest::define(site.scratch());
    let disk = DiskXml::file(&link.join("two"), "raw", "vda");
    guest.virsh_attach(site.scratch(), &disk, &["--config"]);
    share.client().stop();
    thread::scope(|scope| {
        for arguments in [["status"], ["reconcile"]] {
            scope.spawn(move || run(site, &arguments, &json!({})));
        }
    });
    let disconnect = ["disconnect", "--connection-info", "-", "--instance", ALICE];
    let answer = run(site, &disconnect, &site.info("one"));
    assert_eq!((&answer["changed"], &answer["mounted"]), (&json!(true), &json!(true)), "{answer}");
}
