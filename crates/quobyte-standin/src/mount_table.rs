//! The kernel's mount table. It is read instead of the mount point, where a dead client would answer, or none.

use std::fs;
use std::io;
use std::path::Path;

/// Whether a Quobyte client, dead or alive, is mounted at `path`, which is absolute.
pub(crate) fn has_quobyte_mount(path: &Path) -> io::Result<bool> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    Ok(table.lines().any(|line| is_quobyte_at(line, path)))
}

fn is_quobyte_at(line: &str, path: &Path) -> bool {
    let Some((mount, file_system)) = line.split_once(" - ") else {
        return false;
    };
    let at = mount.split(' ').nth(4).map(unescape);
    let source = file_system.split(' ').nth(1);
    at.is_some_and(|at| Path::new(&at) == path) && source.is_some_and(|source| source.starts_with("quobyte@"))
}

/// The kernel writes blanks and backslashes as three octal digits.
fn unescape(field: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(field.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_quobyte_mounts_at_exact_path_match() {
        let line = r"40 29 0:50 / /mnt/a\040b rw,nosuid - fuse.quobyte quobyte@h1|h2/vol rw,user_id=0";
        assert!(is_quobyte_at(line, Path::new("/mnt/a b")));
        assert!(!is_quobyte_at(line, Path::new("/mnt")));
        assert!(!is_quobyte_at("36 29 0:49 / /mnt rw - tmpfs quobyte rw", Path::new("/mnt")));
    }
}
