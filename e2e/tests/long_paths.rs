//! Paths of options that are longer than what is done with them later: refused up front, whichever command has them.

use std::path::{Path, PathBuf};

use e2e::{Guest, Program, Reply, Site, faults::ALICE};

/// A path below `directory` of so many bytes, with that character in it wherever one may be.
fn path_of(directory: &Path, length: usize, filler: char) -> PathBuf {
    let mut path = directory.to_string_lossy().into_owned();
    while path.len() < length {
        let part = (length - path.len() - 1).min(200);
        // No path ends with a slash.
        let part = if length - path.len() - 1 - part == 1 { part - 1 } else { part };
        path.push('/');
        path.extend(std::iter::repeat_n(filler, part));
    }
    assert_eq!(path.len(), length);
    path.into()
}

/// The longest base that the export of the site has room for, where each of `spaces` counts four times.
fn longest_base(site: &Site) -> usize {
    3797 - site.volume().export().trim_start_matches("quobyte://").len()
}

/// Makes sure that every command refuses the site's options, names the bound, and leaves nothing.
fn assert_refused(site: &Site, guest: &Guest, reason: &str) {
    let info = site.info("one").to_string();
    for command in [
        &["connect", "--instance", ALICE, "--connection-info", "-"][..],
        &["attach", guest.name(), "--connection-info", "-"],
    ] {
        let reply = Reply::of(site.command(command).input(&info));
        assert_eq!(reply.failure(), (3, "invalid_config"), "{command:?}: {}", reply.message());
        assert!(reply.message().contains(reason), "{command:?}: {}", reply.message());
    }
    site.assert_no_process_is_left();
}

fn assert_refused_by_all(site: &Site, guest: &Guest, reason: &str) {
    assert_refused(site, guest, reason);
    let info = site.info("one").to_string();
    for command in [
        &["disconnect", "--instance", ALICE, "--connection-info", "-"][..],
        &["disk-xml", "--target", "vda", "--connection-info", "-"],
        &["explain", "--connection-info", "-"],
        &["detach", guest.name(), "vda"],
        &["status"],
        &["reconcile"],
        &["reconcile", "--dry-run"],
    ] {
        let reply = Reply::of(site.command(command).input(&info));
        assert_eq!(reply.failure(), (3, "invalid_config"), "{command:?}: {}", reply.message());
        assert!(reply.message().contains(reason), "{command:?}: {}", reply.message());
    }
}

fn assert_usable(site: &Site, guest: &Guest) {
    let long_name = "i".repeat(240);
    site.volume().image(&long_name, "raw", &[0; 4096]);
    for image in ["one", &*long_name] {
        site.connect(ALICE, &site.info(image)).answer();
        let info = site.info(image);
        site.run_with(&info, &["disk-xml", "--target", "vda"]).answer();
        site.run(&["status"]).answer();
        site.crash_clients();
        site.run(&["reconcile"]).answer();
        let disconnected = site.disconnect(ALICE, &info).answer();
        assert_eq!(disconnected["mounted"].as_bool(), Some(false), "{disconnected}");
        let target = site.attach(guest, &info, &[]).answer()["target"].clone();
        let detached = site.detach(guest, target.as_str().expect("a target"), &[]).answer();
        assert_eq!(detached["mounted"].as_bool(), Some(false), "{detached}");
    }
    assert_eq!(site.records(), [""; 0]);
    site.assert_no_client_is_left();
}

#[test]
fn longest_base_is_mounted_and_unmounted() {
    let mut site = Site::with_images(&[("one", "raw")]);
    let guest = Guest::define(site.scratch());
    let above = site.base().to_owned();
    // A space stands in the mount table as four characters.
    let spaces = longest_base(&site) - above.to_string_lossy().len();
    for (length, filler) in [(longest_base(&site), 'a'), (above.to_string_lossy().len() + spaces / 4, ' ')] {
        site.set_option("--quobyte-mount-point-base", path_of(&above, length, filler));
        assert_usable(&site, &guest);
    }
}

#[test]
fn longer_base_is_refused_up_front() {
    let mut site = Site::with_images(&[("one", "raw")]);
    let guest = Guest::define(site.scratch());
    let above = site.base().to_owned();
    for length in [longest_base(&site) + 1, 3806] {
        site.set_option("--quobyte-mount-point-base", path_of(&above, length, 'a'));
        assert_refused(&site, &guest, "4095");
    }
    for length in [3807, 3845, 4046, 4095, 4096, 10_000] {
        site.set_option("--quobyte-mount-point-base", path_of(&above, length, 'a'));
        assert_refused_by_all(&site, &guest, "3806");
    }
    for length in [256, 300] {
        site.set_option("--quobyte-mount-point-base", above.join("a".repeat(length)));
        assert_refused_by_all(&site, &guest, "255");
    }
    site.set_option("--quobyte-mount-point-base", path_of(&above, 1500, ' '));
    assert_refused(&site, &guest, "four times");
    // What a link leads to counts.
    let link = site.scratch().path().join("link");
    let long = path_of(&above, 3800, 'a');
    Program::as_nova("mkdir").arg("--parents").arg(&long).succeed();
    std::os::unix::fs::symlink(long, &link).expect("make a link");
    site.set_option("--quobyte-mount-point-base", link);
    assert_refused(&site, &guest, "leads to");
    assert_eq!(site.records(), [""; 0]);
}

#[test]
fn other_paths_are_bounded() {
    let above = Site::new(&[]).scratch().path().to_owned();
    for (option, bound) in [("--state-dir", 3830), ("--quobyte-client-cfg", 4095)] {
        let mut site = Site::with_images(&[("one", "raw")]);
        let guest = Guest::define(site.scratch());
        for (path, reason) in [
            (path_of(&above, bound + 1, 'a'), bound.to_string()),
            (above.join("a".repeat(300)), "255".to_owned()),
        ] {
            site.set_option(option, path);
            assert_refused_by_all(&site, &guest, &reason);
        }
    }
    let mut site = Site::with_images(&[("one", "raw")]);
    let guest = Guest::define(site.scratch());
    let state = path_of(site.state(), 3830, 'a');
    Program::as_nova("mkdir").args(["--parents", "--mode=700"]).arg(&state).succeed();
    site.set_option("--state-dir", state);
    site.connect(ALICE, &site.info("one")).answer();
    site.disconnect(ALICE, &site.info("one")).answer();
    site.attach(&guest, &site.info("one"), &[]).answer();
    site.detach(&guest, "vda", &[]).answer();
    assert_eq!(site.mount_directories(), [""; 0]);
}
