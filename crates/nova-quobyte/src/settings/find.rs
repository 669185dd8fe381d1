//! Which configuration files count. Whatever runs this program (a person, a timer, a hook of libvirt's) finds the same
//! ones, so that no two of them differ in the records and the mounts they use.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The variable that names configuration files, separated by colons.
pub(crate) const VARIABLE: &str = "NOVA_QUOBYTE_CONFIG";

/// Where a host has its configuration: the first that is there counts, alone.
pub(super) const PLACES: [&str; 2] = ["/etc/nova-quobyte/nova-quobyte.conf", "/etc/nova/nova.conf"];

/// What names the configuration files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum FoundBy {
    /// Options `--config`.
    CommandLine,
    /// [`VARIABLE`].
    Environment,
    /// The file's place on the host, or nothing where no such file is there.
    Place,
}

impl FoundBy {
    /// The word that scripts see.
    pub(crate) fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The files to read, of which the last wins: those that are `given`, else those that the variable names, else the first of
/// `places` that is there.
pub(super) fn find(
    given: &[PathBuf],
    variable: Option<&OsStr>,
    places: &[impl AsRef<Path>],
) -> (FoundBy, Vec<PathBuf>) {
    if !given.is_empty() {
        return (FoundBy::CommandLine, given.to_owned());
    }
    // An empty variable is as good as none.
    let named = variable.into_iter().flat_map(std::env::split_paths);
    let named: Vec<_> = named.filter(|path| !path.as_os_str().is_empty()).collect();
    if !named.is_empty() {
        return (FoundBy::Environment, named);
    }
    // One that this user may not read is there: passing it over would have two users use different settings.
    let is_there = |path: &&Path| {
        !path
            .symlink_metadata()
            .is_err_and(|error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory))
    };
    let place = places.iter().map(AsRef::as_ref).find(is_there);
    (FoundBy::Place, place.into_iter().map(Path::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use std::fs::{File, Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn found(given: &[&str], variable: Option<&str>, places: &[PathBuf]) -> (FoundBy, Vec<PathBuf>) {
        let given: Vec<_> = given.iter().map(PathBuf::from).collect();
        find(&given, variable.map(OsStr::new), places)
    }

    #[test]
    fn first_place_that_names_a_file_wins() {
        let directory = tempfile::tempdir().unwrap();
        let places = [directory.path().join("own.conf"), directory.path().join("nova.conf")];
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(found(&[], None, &places), (FoundBy::Place, vec![]));
        File::create(&places[1]).unwrap();
        assert_eq!(found(&[], None, &places), (FoundBy::Place, vec![places[1].clone()]));
        File::create(&places[0]).unwrap();
        assert_eq!(found(&[], None, &places), (FoundBy::Place, vec![places[0].clone()]));
        for empty in ["", ":"] {
            assert_eq!(found(&[], Some(empty), &places).0, FoundBy::Place, "{empty:?}");
        }
        let by_variable = found(&[], Some("/a:/b"), &places);
        assert_eq!(by_variable, (FoundBy::Environment, paths(&["/a", "/b"])));
        let given = found(&["/c", "/d"], Some("/a"), &places);
        assert_eq!(given, (FoundBy::CommandLine, paths(&["/c", "/d"])));
    }

    #[test]
    fn closed_place_is_not_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("own.conf");
        std::os::unix::fs::symlink("/nonexistent", &link).unwrap();
        let other = directory.path().join("nova.conf");
        File::create(&other).unwrap();
        assert_eq!(found(&[], None, &[link.clone(), other.clone()]).1, [link]);
        // root passes every directory.
        if !rustix::process::geteuid().is_root() {
            let closed = directory.path().join("closed");
            set_permissions(directory.path(), Permissions::from_mode(0o000)).unwrap();
            assert_eq!(found(&[], None, std::slice::from_ref(&closed)).1, [closed]);
            set_permissions(directory.path(), Permissions::from_mode(0o700)).unwrap();
        }
    }
}
