//! Whether the layers of an image are still the files that were recorded.

use super::ImageError;
use super::chain::Layer;
use super::violation::{Rule, Violation};
use crate::pure::mount_path::MountPath;

/// Checks that no layer of the `current` chain is another file than the `recorded` layer at its path, on the mount at
/// `at`.
///
/// A layer at a path that was not recorded is no swap: a snapshot adds it. A device has another number after each
/// mount, so the inode's number decides, and the time of its creation where that is known.
pub(crate) fn check_not_swapped(
    at: &MountPath,
    recorded: &[Layer],
    current: &[Layer],
) -> Result<(), ImageError> {
    for layer in current {
        let record = recorded.iter().find(|recorded| recorded.path == layer.path).unwrap_or(layer);
        let (was, is) = (record.identity, layer.identity);
        let is_recreated = was.btime.zip(is.btime).is_some_and(|(was, is)| was != is);
        if was.inode != is.inode || is_recreated {
            let made_anew = if is_recreated { " made anew" } else { "" };
            let value = format_args!("inode {}{made_anew}, was {}", is.inode, was.inode);
            let violation = Violation::new(Rule::Swapped, &value);
            return Err(ImageError::Rejected { path: at.as_path().join(layer.path.as_path()), violation });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::pure::connection::{Export, ImageFormat};
    use crate::pure::image::{Identity, RelativePath};
    use crate::pure::kernel_mount::Device;

    /// Layers by path and inode, on a device of that minor number.
    fn chain(minor: u32, layers: &[(&str, u64)]) -> Vec<Layer> {
        let layer = |&(path, inode): &(&str, u64)| Layer {
            path: RelativePath::parse(path).unwrap(),
            format: ImageFormat::Qcow2,
            identity: Identity { device: Device { major: 0, minor }, inode, btime: None },
            virtual_size: 1 << 20,
        };
        layers.iter().map(layer).collect()
    }

    fn check(recorded: &[Layer], current: &[Layer]) -> Result<(), ImageError> {
        let at = MountPath::new(Path::new("/mnt"), &Export::parse("reg/vol").unwrap());
        check_not_swapped(&at, recorded, current)
    }

    #[test]
    fn replaced_layer_is_reported_as_swap() {
        let before = chain(1, &[("top", 10), ("base", 20)]);
        for now in [[("top", 11), ("base", 20)], [("top", 10), ("base", 21)], [("top", 20), ("base", 10)]] {
            let error = check(&before, &chain(1, &now)).unwrap_err();
            let ImageError::Rejected { violation, .. } = error else { panic!("{error:?}") };
            assert_eq!(violation.rule, Rule::Swapped);
        }
    }

    #[test]
    fn swap_error_names_file_and_inodes() {
        let error = check(&chain(1, &[("top", 10), ("base", 20)]), &chain(1, &[("top", 10), ("base", 21)]));
        let message = error.unwrap_err().to_string();
        assert!(message.contains("/base is refused") && message.contains("inode 21, was 20"), "{message}");
    }

    #[test]
    fn reused_inode_is_detected_by_birth_time() {
        let layers = |btime| {
            let mut layers = chain(1, &[("top", 10)]);
            layers[0].identity.btime = btime;
            layers
        };
        let (before, after) = (Some((7, 1)), Some((7, 2)));
        assert!(check(&layers(before), &layers(after)).unwrap_err().to_string().contains("made anew"));
        for (was, is) in [(before, before), (before, None), (None, after)] {
            check(&layers(was), &layers(is)).unwrap();
        }
    }

    #[test]
    fn snapshots_and_remounts_are_no_swap() {
        let before = chain(1, &[("top", 10), ("base", 20)]);
        for now in [
            chain(2, &[("top", 10), ("base", 20)]),
            chain(1, &[("top.snap", 30), ("top", 10), ("base", 20)]),
            chain(1, &[("top", 10), ("base.1", 30), ("base", 20)]),
            chain(1, &[("top", 10)]),
            chain(1, &[("base", 20)]),
        ] {
            check(&before, &now).unwrap();
        }
    }

    #[test]
    fn empty_recorded_chain_is_accepted() {
        check(&[], &chain(1, &[("top", 10)])).unwrap();
    }
}
