//! How a refusal shows.

use e2e::Reply;

/// Makes sure that the command refused the image for breaking that rule, and said so in one clean line.
pub(crate) fn assert_refused(name: &str, reply: &Reply, rule: &str) {
    let is_mismatch = matches!(rule, "not_qcow2" | "snapshot_declared_raw");
    let code = if is_mismatch { "format_mismatch" } else { "image_rejected" };
    assert_eq!(reply.failure(), (6, code), "{name}: {}", reply.message());
    assert!(reply.message().contains(&format!("(rule {rule}: ")), "{name}: {}", reply.message());
    assert!(!reply.message().contains(char::is_control), "{name}: {}", reply.message());
}
