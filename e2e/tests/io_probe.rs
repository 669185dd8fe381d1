//! What a probe sees of a mount: the truth, for every set of features that a client can have, at a bounded price.
#![expect(
    clippy::disallowed_methods,
    reason = "a test looks at what its client has told, and changes its configuration"
)]

use std::{fs, path::PathBuf};

use e2e::{Scratch, Site};
use serde_json::Value;

const ALICE: &str = "a11ce000-0000-4000-8000-000000000001";
/// What a probe may cost.
const MAX_ROUND_TRIPS: usize = 10;
/// The same where a file has to be made for it, and removed. The client does not tell of the one request, for a file
/// without a name, that it does not know.
const MAX_ROUND_TRIPS_WITH_FILE: usize = 18;
/// How many of them are reads.
const MAX_READS: usize = 4;
/// How many more reads there may be where a client without latency takes the processor from the reader, so that they tell
/// nothing.
const MAX_PREEMPTED_READS: usize = 32;

/// A site whose client tells of every request.
struct TracedSite {
    site: Site,
    requests: PathBuf,
    _scratch: Scratch,
}

impl TracedSite {
    fn new(settings: &[String]) -> Self {
        let scratch = Scratch::new();
        let requests = scratch.directory("log").join("requests");
        let trace = format!("standin.requests={}", requests.display());
        let settings: Vec<&str> = settings.iter().map(String::as_str).chain([trace.as_str()]).collect();
        Self { site: Site::new(&settings), requests, _scratch: scratch }
    }

    /// Connects, and returns the I/O mode and the kinds of requests that it took.
    fn connect(&self, guest: &str, info: &Value) -> (String, Vec<String>) {
        let lines = || fs::read_to_string(&self.requests).unwrap_or_default();
        let before = lines().len();
        let answer = self.site.connect(guest, info).answer();
        assert_eq!(answer["cache"], "none", "{answer}");
        let io = answer["io"].as_str().expect("an I/O mode").to_owned();
        (io, lines()[before..].lines().map(str::to_owned).collect())
    }
}

fn count(requests: &[String], kind: &str) -> usize {
    requests.iter().filter(|request| *request == kind).count()
}

/// The declared format of an image, its length where that is not what the format makes it, and what its probe may cost.
type Image = (&'static str, Option<u64>, usize);

const IMAGES: [Image; 4] = [
    ("raw", None, MAX_ROUND_TRIPS),
    ("qcow2", None, MAX_ROUND_TRIPS),
    ("raw", Some(4095), MAX_ROUND_TRIPS_WITH_FILE),
    ("raw", Some(0), MAX_ROUND_TRIPS_WITH_FILE),
];

/// Every set of features at one latency, for images of both formats and of any length.
fn probe_all(latency_us: u32) {
    for async_dio in [true, false] {
        for parallel_writes in ["on", "off"] {
            for max_background in [12, 64] {
                for image in IMAGES {
                    let on = if async_dio { "on" } else { "off" };
                    let settings = [
                        format!("standin.latency_us={latency_us}"),
                        format!("standin.async_dio={on}"),
                        format!("standin.parallel_direct_writes={parallel_writes}"),
                        format!("standin.direct_io={parallel_writes}"),
                        format!("standin.max_background={max_background}"),
                    ];
                    let max_reads = MAX_READS + if latency_us == 0 { MAX_PREEMPTED_READS } else { 0 };
                    probe_one(&settings, image, max_reads, if async_dio { "native" } else { "threads" });
                }
            }
        }
    }
}

fn probe_one(settings: &[String], image: Image, max_reads: usize, expected: &str) {
    let (format, length, most) = image;
    let case = format!("{settings:?} {image:?}");
    let traced = TracedSite::new(settings);
    traced.site.volume().image("disk", format, &[7; 1 << 16]);
    if let Some(length) = length {
        set_length(&traced.site, length);
    }
    let mut info = traced.site.info("disk");
    info["data"]["format"] = format.into();

    let (io, first) = traced.connect(ALICE, &info);
    assert_eq!(io, expected, "{case}");
    let (io, second) = traced.connect(ALICE, &info);
    assert_eq!(io, expected, "{case}");
    let seen = format!("{case}: {first:?}, then {second:?}");
    // Each of the two looks at the image, and the first probes besides: it alone reads what the look has no need of.
    let opened = |requests| count(requests, "ReplyOpen") + count(requests, "ReplyCreate");
    assert_eq!(opened(&second), opened(&first) - 1, "{seen}");
    assert!(format == "qcow2" || opened(&second) + count(&second, "ReplyData") == 0, "{seen}");
    let price = first.len() - second.len();
    let reads = count(&first, "ReplyData") - count(&second, "ReplyData");
    assert!(
        reads <= max_reads && price <= most + reads.saturating_sub(MAX_READS),
        "{price} round trips, {seen}"
    );
}

/// Makes the image as long as that.
fn set_length(site: &Site, length: u64) {
    let disk = fs::File::options().write(true).open(site.volume().directory().join("disk"));
    disk.and_then(|disk| disk.set_len(length)).expect("cut the image");
}

#[test]
fn probe_is_accurate_without_latency() {
    probe_all(0);
}

#[test]
fn probe_is_accurate_at_200_us_latency() {
    probe_all(200);
}

#[test]
fn probe_is_accurate_at_1_ms_latency() {
    probe_all(1_000);
}

#[test]
fn probe_is_accurate_at_5_ms_latency() {
    probe_all(5_000);
}

fn stored(site: &Site) -> Vec<String> {
    let names = fs::read_dir(site.volume().directory()).expect("list the store");
    names.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn empty_or_tiny_image_probe_leaves_no_file() {
    for (async_dio, expected) in [("on", "native"), ("off", "threads")] {
        for length in [0, 4095] {
            let site = Site::new(&[&format!("standin.async_dio={async_dio}")]);
            site.volume().image("disk", "raw", &[0; 4096]);
            set_length(&site, length);
            let answer = site.connect(ALICE, &site.info("disk")).answer();
            assert_eq!(answer["io"], expected, "{length}");
            assert_eq!(stored(&site), ["disk"]);
        }
    }
}

#[test]
fn hang_during_probe_is_rolled_back() {
    // To make a file is a healthy step, by the same deadline.
    for (length, timeout) in [(4096, "1"), (0, "5")] {
        let scratch = Scratch::new();
        let control = scratch.file("control", "no-data");
        let site = Site::new(&[&format!("standin.control={}", control.display())]);
        site.volume().image("disk", "raw", &vec![0; length]);
        let info = site.info("disk");
        let reply = site.run_with(&info, &["--probe-timeout", timeout, "connect", "--instance", ALICE]);
        assert_eq!(reply.failure(), (5, "mount_hung"), "{}", reply.message());
        site.assert_nothing_is_left();
        assert_eq!(stored(&site), ["disk"], "a scratch file is left");
        fs::write(&control, "none").expect("take the fault back");
        assert_eq!(site.connect(ALICE, &info).answer()["io"], "native");
    }
}

#[test]
fn replaced_mount_is_probed_again() {
    let site = Site::new(&["standin.async_dio=on"]);
    site.volume().image("disk", "raw", &[0; 4096]);
    let info = site.info("disk");
    assert_eq!(site.connect(ALICE, &info).answer()["io"], "native");
    let config = fs::read_to_string(site.volume().config()).expect("read the configuration");
    fs::write(site.volume().config(), config.replace("async_dio=on", "async_dio=off")).expect("change it");
    assert_eq!(site.connect(ALICE, &info).answer()["io"], "native", "the mount is still the same");
    site.crash_clients();
    assert_eq!(site.connect(ALICE, &info).answer()["io"], "threads");
}
