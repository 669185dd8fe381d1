use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::host::client::name;

fn request(directory: &str, client_cfg: Option<&str>) -> MountRequest {
    let export = Export::parse("one:7861,two/volume").unwrap();
    let mount_path = MountPath::new(Path::new(directory), &export);
    MountRequest {
        client: name(&mount_path, 1),
        export,
        mount_path,
        client_cfg: client_cfg.map(PathBuf::from),
        budget: Duration::from_millis(1500),
    }
}

/// The files there are, the client's name left out.
fn files(directory: &Path, client: &str) -> Vec<String> {
    let names = directory.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.map(|name| name.replace(client, "")).collect();
    names.sort();
    names
}

#[test]
fn mount_request_round_trips_with_any_path() {
    let directory = tempfile::tempdir().unwrap();
    for request in [
        request("/mnt", None),
        request("/a b/$HOME/%i/\"'", Some("-o suid")),
        request("/line\nNOVA_QUOBYTE_CLIENT=x", Some("/x\\n\u{e9}")),
    ] {
        let mailbox = Mailbox::new(directory.path(), &request.client);
        mailbox.post_request(&request).unwrap();
        assert_eq!(mailbox.read_request().unwrap(), request);
    }
}

#[test]
fn mount_outcome_round_trips_to_caller() {
    let directory = tempfile::tempdir().unwrap();
    let request = request("/mnt", None);
    let mailbox = Mailbox::new(directory.path(), &request.client);
    for outcome in [
        MountOutcome::Mounted,
        MountOutcome::NotFound { errno: Some(libc::EACCES) },
        MountOutcome::Timeout { output: "so far".to_owned() },
        MountOutcome::Refused { status: 4 << 8, output: "no registry answers".to_owned() },
        MountOutcome::Host { errno: None, reason: "it cannot be followed".to_owned() },
        MountOutcome::Host {
            errno: Some(libc::EAGAIN),
            reason: io::Error::from_raw_os_error(libc::EAGAIN).to_string(),
        },
    ] {
        mailbox.post_request(&request).unwrap();
        mailbox.post_outcome(&outcome).unwrap();
        let taken = mailbox.take_outcome().unwrap().unwrap();
        assert_eq!(taken, outcome);
        assert_eq!(MountOutcome::from_result(&taken.into_result(&request.export, String::new())), outcome);
    }
}

#[test]
fn request_and_outcome_files_are_consumed_once() {
    let directory = tempfile::tempdir().unwrap();
    let request = request("/mnt", None);
    let mailbox = Mailbox::new(directory.path(), &request.client);
    mailbox.post_request(&request).unwrap();
    assert_eq!(files(directory.path(), &request.client), [".request"]);
    let mode = mailbox.file("request").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    mailbox.post_outcome(&MountOutcome::Mounted).unwrap();
    assert_eq!(files(directory.path(), &request.client), [".outcome"]);
    assert_eq!(mailbox.take_outcome().unwrap(), Some(MountOutcome::Mounted));
    assert_eq!(mailbox.take_outcome().unwrap(), None);
    assert!(files(directory.path(), "").is_empty());
}

#[test]
fn fifo_or_link_as_request_is_not_waited_for() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let directory = tempfile::tempdir().unwrap();
    let request = request("/mnt", None);
    let mailbox = Mailbox::new(directory.path(), &request.client);
    let read_and_write = Mode::RUSR | Mode::WUSR;
    for ending in ["request", "tmp-request", "outcome", "tmp-outcome"] {
        mknodat(CWD, mailbox.file(ending), FileType::Fifo, read_and_write, 0).unwrap();
    }
    mailbox.read_request().unwrap_err();
    mailbox.post_request(&request).unwrap_err();
    mailbox.take_outcome().unwrap_err();
    mailbox.post_outcome(&MountOutcome::Mounted).unwrap_err();

    let elsewhere = directory.path().join("elsewhere");
    serde_json::to_writer(File::create(&elsewhere).unwrap(), &request).unwrap();
    std::os::unix::fs::symlink(elsewhere, mailbox.file("request")).unwrap();
    mailbox.read_request().unwrap_err();
}

#[test]
fn file_of_other_user_is_not_truncated() {
    // Only root can give a file away.
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let request = request("/mnt", None);
    let mailbox = Mailbox::new(directory.path(), &request.client);
    let theirs = mailbox.file("tmp-request");
    serde_json::to_writer(File::create(&theirs).unwrap(), &request).unwrap();
    let length = theirs.metadata().unwrap().len();
    std::os::unix::fs::chown(&theirs, Some(65534), None).unwrap();
    mailbox.post_request(&request).unwrap_err();
    assert_eq!(theirs.metadata().unwrap().len(), length);
}

#[test]
fn requests_and_outcomes_are_kept_per_client() {
    let directory = tempfile::tempdir().unwrap();
    let request = request("/mnt", None);
    let [earlier, later] = [1, 2].map(|generation| name(&request.mount_path, generation));
    let [earlier, later] = [&earlier, &later].map(|client| Mailbox::new(directory.path(), client));
    later.post_request(&request).unwrap();
    assert_eq!(earlier.read_request().unwrap_err().kind(), io::ErrorKind::NotFound);
    earlier.post_outcome(&MountOutcome::Mounted).unwrap();
    assert_eq!(later.take_outcome().unwrap(), None);
    assert_eq!(later.read_request().unwrap(), request);
}

#[test]
fn withdrawn_request_leaves_no_files() {
    let directory = tempfile::tempdir().unwrap();
    let here = request("/mnt", None);
    clear(&directory.path().join("none"), &here.mount_path).unwrap();
    for generation in [1, 2] {
        let client = name(&here.mount_path, generation);
        let mailbox = Mailbox::new(directory.path(), &client);
        for ending in ["request", "tmp-request", "outcome", "tmp-outcome"] {
            File::create(mailbox.file(ending)).unwrap();
        }
    }
    let elsewhere = request("/srv", None);
    Mailbox::new(directory.path(), &elsewhere.client).post_request(&elsewhere).unwrap();
    clear(directory.path(), &here.mount_path).unwrap();
    assert_eq!(files(directory.path(), &elsewhere.client), [".request"]);
}
