//! Which paths a guest's AppArmor profile can name.
//!
//! libvirt's virt-aa-helper puts the paths of a guest's files into the guest's profile, between quotes and otherwise as
//! they are. There some characters make a pattern, which would let the guest have other files as well, and some end the
//! rule, so that the guest does not start.

/// Whether a path has a character that is not itself in a profile. All others are, blanks and commas among them.
pub(crate) fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '[', ']', '{', '}', '"', '\\'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apparmor_patterns_are_known() {
        for c in (' '..='~').chain(['\u{e4}', '\u{2028}']) {
            assert_eq!(is_pattern(&format!("/mnt/a{c}b")), "*?[]{}\"\\".contains(c), "{c}");
        }
    }
}
