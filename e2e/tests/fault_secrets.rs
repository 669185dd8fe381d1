//! What a connection_info holds beyond what we need may be anybody's secret.

use e2e::Site;
use serde_json::json;

const GUEST: &str = "a11ce000-0000-4000-8000-000000000001";

#[test]
fn connection_info_secrets_are_never_leaked() {
    let site = Site::new(&[]);
    site.volume().image("one", "raw", &[0; 4096]);
    let mut info = site.info("one");
    for holder in ["", "/data"] {
        let holder = info.pointer_mut(holder).expect("it is there");
        holder["auth_password"] = json!("s3cret");
        holder["options"] = json!("-o password=s3cret");
    }
    let mut missing = info.clone();
    missing["data"]["name"] = json!("two");
    let mut invalid = info.clone();
    invalid["data"]["format"] = json!("vmdk");
    for (info, status) in [(missing, 6), (invalid, 3), (info, 0)] {
        for operation in ["disconnect", "connect"] {
            let program = site.command(&["-vv", operation, "--instance", GUEST, "--connection-info", "-"]);
            let finished = program.input(info.to_string()).run();
            if operation == "connect" {
                assert_eq!(finished.status.code(), Some(status), "{finished:?}");
            }
            let output = format!("{}{}", finished.stdout, finished.stderr);
            assert!(!output.contains("s3cret"), "{operation}: {output}");
        }
    }
    let records = site.records();
    assert_eq!(records.len(), 1);
    let record = std::fs::read_to_string(site.state().join("shares").join(&records[0]));
    assert!(!record.expect("read the record").contains("s3cret"));
}
