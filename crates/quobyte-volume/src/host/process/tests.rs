use std::time::Duration;

use super::*;

fn sh(script: &str, budget: Duration) -> Result<ProgramOutcome, RunError> {
    run(OsStr::new("/bin/sh"), ["-c", script], None, Stdio::null(), Deadline::after(budget))
}

#[test]
fn status_and_both_streams_are_reported() {
    let outcome = sh("echo out; echo err >&2; exit 4", Duration::from_secs(30)).unwrap();
    assert_eq!(outcome.status.code(), Some(4));
    assert_eq!(outcome.output, "out\nerr");
    assert_eq!(output_suffix(&outcome.output), ": out; err");
}

#[test]
fn missing_program_is_reported_as_not_found() {
    let error = run(
        OsStr::new("/nonexistent/mount.quobyte"),
        [""; 0],
        None,
        Stdio::null(),
        Deadline::after(Duration::from_secs(30)),
    );
    assert!(matches!(error, Err(RunError::Start { source, .. }) if source.kind() == io::ErrorKind::NotFound));
}

#[test]
fn program_without_pidfd_is_killed() {
    let mut command = command(Path::new("/bin/sh")).unwrap();
    let child = command.args(["-c", "sleep 1000"]).process_group(0).spawn().unwrap();
    let pid = Pid::from_child(&child);
    let no_descriptor = Err(io::Error::from_raw_os_error(libc::EMFILE));
    let error = wait_or_kill(child, no_descriptor, Deadline::after(Duration::from_secs(1000))).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
    assert!(rustix::process::test_kill_process(pid).is_err(), "it is killed and reaped");
}

#[test]
fn deadline_kills_the_process_group() {
    let error = sh("echo $$; sleep 1000 & wait", Duration::from_millis(200)).unwrap_err();
    let RunError::Timeout { output, .. } = error else { panic!("{error}") };
    let group = Pid::from_raw(output.trim().parse().unwrap()).unwrap();
    // The group is gone as soon as its last member is reaped, which for the orphaned `sleep` is init's work.
    let gone = Deadline::after(Duration::from_secs(30));
    while rustix::process::test_kill_process_group(group).is_ok() {
        assert!(!gone.has_passed(), "the process group lives on");
        std::thread::yield_now();
    }
}

#[test]
fn daemon_is_neither_awaited_nor_killed() {
    let outcome = sh("(sleep 1000; echo late) & echo $!", Duration::from_secs(30)).unwrap();
    let daemon = Pid::from_raw(outcome.output.parse().unwrap()).unwrap();
    assert!(rustix::process::test_kill_process(daemon).is_ok());
    rustix::process::kill_process(daemon, Signal::KILL).unwrap();
}

#[test]
fn excess_output_is_dropped_without_sigpipe() {
    let outcome =
        sh("head -c 100000 /dev/zero | tr '\\0' x; echo 2>/dev/null; exit 3", Duration::from_secs(30));
    let outcome = outcome.unwrap();
    assert_eq!(outcome.status.code(), Some(3));
    assert!(outcome.output.len() as u64 <= MAX_OUTPUT_LEN && outcome.output.starts_with("xxxx"));
}
