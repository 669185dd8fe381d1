//! What a person can do about an error, where that is more than the error itself says.

use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use quobyte_volume::driver;
use quobyte_volume::error::Code;
use quobyte_volume::host::client::ClientError;
use quobyte_volume::host::{ShutOut, pass_command, users};
use quobyte_volume::mount::MountError;
use quobyte_volume::pure::guests::{Description, GuestUse};
use rustix::fs::Access;

use crate::error::{Error, is_denied};

/// A way out, in one line.
pub(crate) fn hint(error: &Error) -> Option<String> {
    match error {
        Error::Libvirt { message, .. } if is_shut_out(message) => Some(format!(
            "user {0} may not talk to libvirt: usermod --append --groups libvirt '{0}', then log in anew",
            this_user()
        )),
        Error::VolumesUnavailable { first, .. } => hint(first),
        Error::ImageLocked { image, holder: None, .. } => Some(format!(
            "a program or another host has it open: `lslocks` lists the locks of this host, `fuser -v {}` who has it",
            image.display()
        )),
        Error::ImageLocked { holder: Some(guest), .. } => {
            Some(detach_hint(guest))
        }
        Error::ImageNotAccessible { image, .. } => Some(permission_hint(image)),
        Error::Driver(driver::Error::HeldByGuest { guest_use }) => Some(held_hint(guest_use)),
        Error::DomainNotFound { .. } => Some(
            "`virsh list --all` has all domains; an attachment of a guest that is gone is in \
             `nova-quobyte status`, and `nova-quobyte disconnect` drops it"
                .to_owned(),
        ),
        Error::Driver(driver::Error::Mount(MountError::MountPoint { at, other_base, source }))
            if source.kind() == ErrorKind::PermissionDenied =>
        {
            let base = at.as_path().parent()?;
            if let Some(other) = other_base {
                return Some(format!(
                    "this user's volumes are mounted below {}: name that with --quobyte-mount-point-base, or the file \
                     that has it with --config",
                    other.display()
                ));
            }
            Some(base_hint(base))
        }
        Error::Driver(driver::Error::InUse { export, holder, holder_name, .. }) => Some(match holder_name {
            _ if holder.leaving.is_some() => {
                "it was disconnected, and its guest has yet to release it".to_owned()
            }
            holder_name => {
                let otherwise = holder_name.as_ref().map_or_else(
                    || "if that guest is gone".to_owned(),
                    |name| format!("{}; if it has no such disk", detach_hint(name)),
                );
                let (instance, name) = (holder.instance, &holder.name);
                format!(
                    "{otherwise}: nova-quobyte disconnect --instance {instance} --export {export} --name {name}"
                )
            }
        }),
        Error::Driver(driver::Error::Mount(MountError::Client(ClientError::Refused { .. }))) => {
            let fuse = rustix::fs::access("/dev/fuse", Access::READ_OK | Access::WRITE_OK);
            Some(if fuse.is_err() {
                "this user may not open /dev/fuse: add it to the group that owns it".to_owned()
            } else {
                "does the volume exist, are its registries right, and is quobyte_client_cfg? `nova-quobyte config show` \
                 has the latter"
                    .to_owned()
            })
        }
        Error::Driver(driver::Error::Mount(MountError::Client(ClientError::NoConfiguration { .. }))) => {
            Some("`nova-quobyte config show` tells where quobyte_client_cfg is from".to_owned())
        }
        Error::UnreadableConfig { source, .. } if source.kind() == ErrorKind::PermissionDenied => {
            Some(format!(
                "user {} may not read it: run this as the user that connects volumes here (sudo -u USER nova-quobyte …), \
                 or name another file with --config",
                this_user()
            ))
        }
        Error::ImageNotAttached { domain, .. } | Error::DiskNotFound { domain, .. } => {
            Some(format!("`virsh domblklist {domain}` has its disks, `nova-quobyte status` those on volumes"))
        }
        error if error.code() == Code::MountHung => Some(
            "`nova-quobyte status` names the guests; if the client will not recover, end it: docs/OPERATIONS.md, \"Ending a \
             client that hangs\""
                .to_owned(),
        ),
        error if error.code() == Code::HostExhausted => Some(
            "`ulimit -a` shows the limits of a shell, LimitNOFILE=, LimitNPROC= and TasksMax= are a unit's; run it again \
             once there is more: that finishes what was begun"
                .to_owned(),
        ),
        _ => None,
    }
}

/// Whether libvirt does not let this user in: by the mode of its socket, or because polkit does not agree or cannot ask
/// anybody.
fn is_shut_out(message: &str) -> bool {
    is_denied(message) && message.contains("socket")
        || ["authentication unavailable", "authentication failed", "authentication cancelled"]
            .iter()
            .any(|start| message.starts_with(start))
}

fn this_user() -> String {
    users::name(rustix::process::geteuid().as_raw())
}

/// How this user may come to mount below `base`. The base of another user is not taken over: that user has the records of
/// what is mounted there.
fn base_hint(base: &Path) -> String {
    let user = this_user();
    let at = base.display();
    match base.metadata() {
        Ok(metadata) if users::name(metadata.uid()) != user => {
            let owner = users::name(metadata.uid());
            format!(
                "{at} belongs to user {owner}: sudo -u '{owner}' nova-quobyte …; or mount below another directory"
            )
        }
        Ok(_) => format!("let user {user} write below {at}: chmod u+wx {at}"),
        Err(_) => format!(
            "have root make the directory to mount below: install -d -o '{user}' -m 700 {at}; {}",
            pass_command(base, ShutOut::Nobody)
        ),
    }
}

fn detach_hint(guest: &str) -> String {
    format!("take it out of that guest first: nova-quobyte detach {guest} TARGET")
}

/// How to have a guest release what it holds.
fn held_hint(guest_use: &GuestUse) -> String {
    let guest = &guest_use.name;
    let target = guest_use.target.as_deref().unwrap_or("TARGET");
    match guest_use.description {
        Description::Saved => format!("start it, or virsh managedsave-remove {guest}"),
        Description::Running | Description::Persistent => {
            format!(
                "nova-quobyte detach {guest} {target} takes it out; disconnect --force leaves it on record until the guest \
                 has released it"
            )
        }
    }
}

/// How to let QEMU's user open an image that it was denied: by the mode of a directory above its mount point, or else
/// by the image's own mode.
fn permission_hint(image: &Path) -> String {
    // Neither the image nor its mount point is looked at: its client may hang.
    let is_closed_to = |users: u32| {
        image.ancestors().skip(2).find(|directory| {
            directory.metadata().is_ok_and(|metadata| metadata.permissions().mode() & users == 0)
        })
    };
    // The volume may be unmounted by now.
    let image_hint = format!(
        "QEMU's user may not open it: where the volume is mounted, chmod ugo+rw {}",
        image.file_name().unwrap_or_default().display()
    );
    let pass_hint = |directory: &Path| {
        let command = pass_command(directory, ShutOut::Nobody);
        format!("let QEMU's user (libvirt-qemu, or qemu) pass {}: {command}", directory.display())
    };
    // The bits of the group are those of users that an access control list names, too.
    match (is_closed_to(0o011), is_closed_to(0o001)) {
        (Some(directory), _) => {
            format!("{}; or choose another quobyte_mount_point_base", pass_hint(directory))
        }
        (None, Some(directory)) => format!("{}; or {image_hint}", pass_hint(directory)),
        (None, None) => image_hint,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};

    use super::*;

    #[test]
    fn denied_image_hint_names_directory_or_image() {
        let directory = tempfile::tempdir_in("/tmp").unwrap();
        let image = directory.path().join("0123/disk");
        set_permissions(directory.path(), Permissions::from_mode(0o700)).unwrap();
        assert!(permission_hint(&image).contains(&format!("pass {}:", directory.path().display())));
        set_permissions(directory.path(), Permissions::from_mode(0o710)).unwrap();
        let hint = permission_hint(&image);
        assert!(hint.contains("setfacl") && hint.ends_with("chmod ugo+rw disk"), "{hint}");
        set_permissions(directory.path(), Permissions::from_mode(0o711)).unwrap();
        assert!(!permission_hint(&image).contains("setfacl"));
        assert!(permission_hint(&image).ends_with("chmod ugo+rw disk"), "{}", permission_hint(&image));
    }

    #[test]
    fn libvirt_permission_hint_names_the_group() {
        for message in [
            "Failed to connect socket to '/var/run/libvirt/libvirt-sock': Permission denied",
            "authentication unavailable: no polkit agent available to authenticate action 'org.libvirt.unix.manage'",
            "authentication failed: access denied by policy",
            "authentication cancelled: user cancelled authentication process",
        ] {
            let (operation, message) = ("connecting to qemu:///system".to_owned(), message.to_owned());
            let hint = hint(&Error::Libvirt { operation, message }).unwrap();
            assert!(hint.contains(&format!("--groups libvirt '{}'", this_user())), "{hint}");
        }
    }

    #[test]
    fn exhausted_host_hint_promises_a_repeat_alone() {
        let hint = hint(&Error::HostExhausted { source: ErrorKind::OutOfMemory.into() }).unwrap();
        assert!(hint.contains("run it again") && !hint.contains("nothing was left"), "{hint}");
    }

    #[test]
    fn base_hint_names_the_owner() {
        let directory = tempfile::tempdir().unwrap();
        let hint = base_hint(&directory.path().join("mnt"));
        assert!(hint.contains(&format!("install -d -o '{}' -m 700", this_user())), "{hint}");
        assert!(hint.contains("setfacl -m u:libvirt-qemu:x"), "{hint}");
        // Whose it is would lose it.
        for (path, owner) in [("/proc/1", users::name(0)), ("/", users::name(0))] {
            let hint = base_hint(Path::new(path));
            let is_own = owner == this_user();
            assert_eq!(hint.contains(&format!("sudo -u '{owner}' nova-quobyte")), !is_own, "{hint}");
            assert!(!hint.contains("install -d"), "{hint}");
        }
    }
}
