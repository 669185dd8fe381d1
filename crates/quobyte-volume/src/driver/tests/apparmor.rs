//! What AppArmor takes for a pattern is given to no guest, and taken from every guest that has it.

use super::*;

#[test]
fn name_that_is_a_pattern_is_refused() {
    let f = fixture();
    for c in "*?[]{}\"".chars() {
        let info = volume(&format!("a{c}b"));
        assert_eq!(f.refusal(&info, 1), "invalid_name", "{c}");
        let described = f.driver.inspect_image(&info, &HypervisorFacts::default());
        assert_eq!(described.unwrap_err().code().as_str(), "invalid_name", "{c}");
        assert!(!f.disconnect(&info, 1).changed, "{c}");
    }
    f.assert_clean("after refusals");
}

#[test]
fn attached_pattern_is_adopted_and_disconnected() {
    let f = fixture();
    f.connect(&volume("a"), 1).unwrap();
    let pattern = volume("b[c]*");
    f.run(2, &["b[c]*"]);
    f.reconcile();
    assert!(f.recorded().contains(&pattern.volume_id));
    assert_eq!(f.refusal(&pattern, 2), "invalid_name");
    f.host.world().hypervisor.guests.remove(&instance(2));
    assert!(f.disconnect(&pattern, 2).changed);
    assert_eq!(f.disconnect(&volume("a"), 1).still_mounted, None);
    f.assert_clean("after both left");
}

#[test]
fn base_that_is_a_pattern_only_releases() {
    let f = fixture();
    let a = volume("a");
    f.connect(&a, 1).unwrap();
    let link = f.directory.path().join("link");
    let target = tempfile::Builder::new().prefix("[target]").tempdir_in(f.directory.path()).unwrap();
    std::os::unix::fs::symlink(target.path(), &link).unwrap();
    for base in ["/m[n]t", "/m*", "/m\\t", link.to_str().unwrap()] {
        let moved = driver(&f.directory, &f.host, base);
        let error = moved.connect(&volume("b"), instance(2), &HypervisorFacts::default()).unwrap_err();
        assert_eq!(error.code().as_str(), "invalid_config", "{base}");
        moved.status().unwrap();
        moved.reconcile(true).unwrap();
    }
    let moved = driver(&f.directory, &f.host, "/m[n]t");
    let done = moved.disconnect(&request(&moved.mount_path(&a.export), &a, 1, Force::No)).unwrap();
    assert_eq!((done.changed, done.still_mounted), (true, None));
    f.assert_clean("after the base was moved");
}
