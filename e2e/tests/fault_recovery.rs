//! A client that dies under a running guest: the mount comes back, the guest is named, and a restart makes it whole.

use e2e::{Guest, Site, faults::Share, mount_at};
use serde_json::{Value, json};

/// The one attachment of the guest, as status shows it.
fn status(site: &Site, guest: &Guest) -> (Value, bool) {
    let mut answer = site.run(&["status"]).answer();
    let share = answer["shares"][0].take();
    let attachments = share["attachments"].as_array().expect("a share has attachments");
    let of_guest = attachments.iter().find(|one| one["instance"] == guest.uuid());
    let lost = &of_guest.unwrap_or_else(|| panic!("{share}"))["lost"];
    (share["state"].clone(), lost.as_bool().expect("an attachment is lost or not"))
}

fn reconcile(site: &Site) -> Value {
    site.run(&["reconcile"]).answer()
}

fn instances(findings: &Value) -> Vec<&Value> {
    let attachments = findings[0]["attachments"].as_array().expect("a finding names attachments");
    attachments.iter().map(|one| &one["instance"]).collect()
}

#[test]
fn dead_client_is_replaced_guest_needs_restart() {
    let share = Share::connected();
    let site = share.site();
    let mut guest = Guest::boot(site.scratch());
    let mut info = site.info("two");
    info["serial"] = json!("0b5e55ed-0000-4000-8000-000000000002");
    site.attach(&guest, &info, &[]).answer();
    let disk = guest.virtio_disk("0b5e55ed-0000-4000-8000-000000000002");
    guest.succeed(&format!("printf before | dd of={disk} conv=notrunc,fsync 2>/dev/null"));
    assert_eq!(status(site, &guest), (json!("healthy"), false));

    share.client().crash();
    assert_eq!(status(site, &guest), (json!("dead"), true));

    let answer = reconcile(site);
    assert_eq!(answer["mended"][0]["what"], "remounted", "{answer}");
    assert!(instances(&answer["mended"]).contains(&&json!(guest.uuid())), "{answer}");
    assert!(mount_at(share.mount_path()).is_some());
    assert_eq!(status(site, &guest), (json!("healthy"), true), "its open file stays dead");
    let left = reconcile(site)["left"].take();
    let lost = left.as_array().expect("it lists").iter().filter(|one| one["what"] == "lost");
    let lost: Vec<_> = lost.map(|one| one["attachment"]["instance"].clone()).collect();
    assert!(lost.contains(&json!(guest.uuid())), "{left}");

    let again = site.attach(&guest, &info, &[]);
    assert_eq!(again.failure(), (4, "mount_stale"), "{}", again.message());
    assert_eq!(
        status(site, &guest),
        (json!("healthy"), true),
        "nor does attaching what is attached make it whole"
    );

    guest.destroy();
    guest.start();
    site.connect(guest.uuid(), &info).answer();
    assert_eq!(status(site, &guest), (json!("healthy"), false));
    let disk = guest.virtio_disk("0b5e55ed-0000-4000-8000-000000000002");
    assert_eq!(guest.succeed(&format!("head -c 6 {disk}")), "before");
}
