//! Which paths a guest's files can have: those that its AppArmor profile and QEMU can name.
//!
//! libvirt's virt-aa-helper puts the paths of a guest's files into the guest's profile, between quotes and otherwise as
//! they are. There some characters make a pattern, which would let the guest have other files as well, and some end the
//! rule, so that the guest does not start. QEMU is told of files in JSON, and refuses Unicode's noncharacters there.

/// Whether a path has a character that is not itself in a profile, or that QEMU refuses. All others are, blanks and commas
/// among them.
pub(crate) fn has_refused_character(path: &str) -> bool {
    path.contains(['*', '?', '[', ']', '{', '}', '"', '\\']) || path.contains(is_noncharacter)
}

fn is_noncharacter(c: char) -> bool {
    let number = u32::from(c);
    number & 0xfffe == 0xfffe || (0xfdd0..=0xfdef).contains(&number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apparmor_patterns_are_known() {
        for c in (' '..='~').chain(['\u{e4}', '\u{2028}']) {
            assert_eq!(has_refused_character(&format!("/mnt/a{c}b")), "*?[]{}\"\\".contains(c), "{c}");
        }
    }

    #[test]
    fn noncharacters_are_refused() {
        for c in ['\u{fdd0}', '\u{fdef}', '\u{1fffe}', '\u{10ffff}'] {
            assert!(has_refused_character(&format!("a{c}")), "{c:?}");
        }
        assert!(!has_refused_character("\u{fdcf}\u{fdf0}\u{fffd}\u{10fffd}"));
    }
}
