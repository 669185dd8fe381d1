//! The options that others may refer to.

/// The group of options that stand in no other.
pub(super) const DEFAULT: &str = "DEFAULT";

/// What an option is when no file sets it.
pub(super) enum Default {
    /// Nothing, which is empty text.
    Nothing,
    /// This, in which others may be referred to.
    Text(&'static str),
    /// What Nova finds out by itself.
    Unknown,
}

/// How a value is written where it is referred to.
pub(super) enum Kind {
    /// As it is.
    Text,
    /// As Python writes a float.
    Float,
    /// As Python writes a whole number.
    Integer,
}

pub(super) struct KnownOption {
    pub(super) group: &'static str,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) default: Default,
}

const fn text(group: &'static str, name: &'static str, default: Default) -> KnownOption {
    KnownOption { group, name, kind: Kind::Text, default }
}

const fn seconds(name: &'static str, default: &'static str) -> KnownOption {
    KnownOption { group: "quobyte", name, kind: Kind::Float, default: Default::Text(default) }
}

/// Nova's options that paths are made of, and those of ours that Nova knows, too.
pub(super) static KNOWN_OPTIONS: [KnownOption; 18] = [
    // Nova's own default is the directory of its modules, and its packages set this one.
    text("DEFAULT", "state_path", Default::Text("/var/lib/nova")),
    text("DEFAULT", "instances_path", Default::Text("$state_path/instances")),
    text("DEFAULT", "pybasedir", Default::Unknown),
    text("DEFAULT", "bindir", Default::Unknown),
    text("DEFAULT", "tempdir", Default::Nothing),
    text("DEFAULT", "host", Default::Unknown),
    text("DEFAULT", "my_ip", Default::Unknown),
    text("libvirt", "quobyte_mount_point_base", Default::Text("$state_path/mnt")),
    text("libvirt", "quobyte_client_cfg", Default::Nothing),
    text("quobyte", "state_dir", Default::Text("/run/nova-quobyte")),
    text("quobyte", "launcher", Default::Text("auto")),
    text("quobyte", "cache_mode", Default::Text("auto")),
    text("quobyte", "io_mode", Default::Text("auto")),
    text("quobyte", "volume_formats", Default::Text("raw,qcow2")),
    seconds("mount_timeout", "60"),
    seconds("probe_timeout", "5"),
    seconds("lock_timeout", "120"),
    KnownOption {
        group: "quobyte",
        name: "physical_block_size",
        kind: Kind::Integer,
        default: Default::Nothing,
    },
];

/// Whether a group has options that may be referred to with the group's name. Those of DEFAULT go without one.
pub(super) fn is_known_group(group: &str) -> bool {
    matches!(group, "libvirt" | "quobyte")
}

pub(super) fn known_option(group: &str, name: &str) -> Option<&'static KnownOption> {
    KNOWN_OPTIONS.iter().find(|option| option.group == group && option.name == name)
}
