use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn request(directory: &str, client_cfg: Option<&str>) -> Request {
    let export = Export::parse("one:7861,two/volume").unwrap();
    let mount_path = MountPath::new(Path::new(directory), &export);
    Request {
        export,
        mount_path,
        client_cfg: client_cfg.map(PathBuf::from),
        budget: Duration::from_millis(1500),
    }
}

fn files(directory: &Path) -> Vec<String> {
    let names = directory.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.map(|name| name.replace(KEY, "KEY")).collect();
    names.sort();
    names
}

#[test]
fn a_request_arrives_as_it_was_made_whatever_its_paths_are() {
    let directory = tempfile::tempdir().unwrap();
    let exchange = Exchange::new(directory.path(), KEY);
    for request in [
        request("/mnt", None),
        request("/a b/$HOME/%i/\"'", Some("-o suid")),
        request("/line\nNOVA_QUOBYTE_SHARE=x", Some("/x\\n\u{e9}")),
    ] {
        exchange.ask(&request).unwrap();
        assert_eq!(exchange.request().unwrap(), request);
    }
}

#[test]
fn every_outcome_reaches_the_caller_as_the_unit_saw_it() {
    let directory = tempfile::tempdir().unwrap();
    let exchange = Exchange::new(directory.path(), KEY);
    let request = request("/mnt", None);
    for outcome in [
        Outcome::Mounted,
        Outcome::NotFound { errno: Some(libc::EACCES) },
        Outcome::Timeout { output: "so far".to_owned() },
        Outcome::Refused { status: 4 << 8, output: "no registry answers".to_owned() },
        Outcome::Host { reason: "out of memory".to_owned() },
    ] {
        exchange.ask(&request).unwrap();
        exchange.answer(&outcome).unwrap();
        let taken = exchange.take_outcome().unwrap().unwrap();
        assert_eq!(taken, outcome);
        assert_eq!(Outcome::of(&taken.into_result(&request.export)), outcome);
    }
}

#[test]
fn a_file_lasts_until_who_it_is_for_has_taken_it() {
    let directory = tempfile::tempdir().unwrap();
    let exchange = Exchange::new(directory.path(), KEY);
    let request = request("/mnt", None);
    exchange.ask(&request).unwrap();
    assert_eq!(files(directory.path()), ["KEY.request"]);
    let mode = exchange.file("request").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    exchange.answer(&Outcome::Mounted).unwrap();
    assert_eq!(files(directory.path()), ["KEY.outcome", "KEY.running"]);
    assert_eq!(exchange.take_outcome().unwrap(), Some(Outcome::Mounted));
    assert_eq!(exchange.take_outcome().unwrap(), None);
    assert_eq!(exchange.take_running().unwrap(), Some(request.clone()));
    assert_eq!(exchange.take_running().unwrap(), None);
    exchange.ask(&request).unwrap();
    exchange.take_back().unwrap();
    assert!(files(directory.path()).is_empty());
}

#[test]
fn what_an_earlier_caller_has_not_taken_is_not_the_next_ones_outcome() {
    let directory = tempfile::tempdir().unwrap();
    let exchange = Exchange::new(directory.path(), KEY);
    exchange.ask(&request("/mnt", None)).unwrap();
    exchange.answer(&Outcome::Mounted).unwrap();
    exchange.ask(&request("/mnt", None)).unwrap();
    assert_eq!(exchange.take_outcome().unwrap(), None);
}

#[test]
fn what_is_taken_back_leaves_nothing_however_far_it_got() {
    let directory = tempfile::tempdir().unwrap();
    let exchange = Exchange::new(directory.path(), KEY);
    exchange.ask(&request("/mnt", None)).unwrap();
    exchange.answer(&Outcome::Timeout { output: String::new() }).unwrap();
    exchange.ask(&request("/mnt", None)).unwrap();
    for ending in ["tmp-request", "tmp-outcome"] {
        File::create(exchange.file(ending)).unwrap();
    }
    exchange.take_back().unwrap();
    assert!(files(directory.path()).is_empty());
}
