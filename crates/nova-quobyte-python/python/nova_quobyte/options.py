"""The options, which the command ``nova-quobyte`` reads from the same file under the same names."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import nova.conf
from oslo_config import cfg

from nova_quobyte import releases

if TYPE_CHECKING:
    from nova_quobyte._native import Options

CONF = nova.conf.CONF

PROGRAMS = Path(__file__).parent / "bin"

_DAY = 24 * 60 * 60


def _seconds(name: str, default: int, text: str) -> cfg.FloatOpt:
    return cfg.FloatOpt(name, default=default, min=0.001, max=_DAY, help=f"{text}, in seconds.")


QUOBYTE_OPTS = [
    cfg.StrOpt(
        "state_dir",
        default="/run/nova-quobyte",
        help="The directory for records and locks. It belongs to the user that nova-compute runs as, "
        "and should not outlive a reboot.",
    ),
    cfg.StrOpt(
        "launcher",
        default="auto",
        choices=[
            ("auto", "the first of the others that is set up here"),
            ("systemd-system", "the system's systemd, by the unit that comes with nova-quobyte"),
            ("systemd-user", "the systemd of the user that nova-compute runs as"),
            ("direct", "nova-compute itself: its service's end may be the client's, too"),
        ],
        help="Who starts Quobyte's client.",
    ),
    _seconds("mount_timeout", 60, "How long Quobyte's client may take to mount or unmount a volume"),
    _seconds("probe_timeout", 5, "How long a mounted volume may take to answer"),
    _seconds("lock_timeout", 120, "How long to wait for another operation on the same Quobyte volume"),
    cfg.StrOpt(
        "cache_mode",
        default="auto",
        choices=["auto", "none", "directsync", "writeback", "writethrough"],
        help="The cache mode of every disk. What cannot work is refused.",
    ),
    cfg.StrOpt(
        "io_mode",
        default="auto",
        choices=["auto", "native", "threads", "io_uring"],
        help="The I/O mode of every disk. What cannot work is refused.",
    ),
    cfg.Opt(
        "physical_block_size",
        type=releases.integer_of(2**exponent for exponent in range(9, 22)),
        help="The unit in bytes that guests are told to align to, where a volume's type does not say.",
    ),
    cfg.StrOpt(
        "volume_formats",
        default="raw,qcow2",
        help="The formats that volumes may have, joined by commas. A snapshot that Cinder has named may have either.",
    ),
]

# Nova's own, for when it no longer has them.
LIBVIRT_OPTS = [
    cfg.StrOpt(
        "quobyte_mount_point_base",
        default="$state_path/mnt",
        help="The directory below which Quobyte volumes are mounted.",
    ),
    cfg.StrOpt("quobyte_client_cfg", help="A configuration file for Quobyte's client."),
]


def _missing_from_nova() -> list[cfg.Opt]:
    return [opt for opt in LIBVIRT_OPTS if opt.dest not in CONF.libvirt]


def register() -> None:
    """Make the options known to Nova; those it has itself stay its own."""
    CONF.register_opts(_missing_from_nova(), group="libvirt")
    CONF.register_opts(QUOBYTE_OPTS, group="quobyte")


def list_opts() -> Iterable[tuple[str, list[cfg.Opt]]]:
    """List the options for oslo-config-generator."""
    return [("libvirt", _missing_from_nova()), ("quobyte", QUOBYTE_OPTS)]


def _timeout(name: str) -> float:
    """Return a timeout in seconds. Where a file sets it to nothing, oslo.config has none, and it is the default."""
    value = CONF.quobyte[name]
    return value if value is not None else next(opt.default for opt in QUOBYTE_OPTS if opt.dest == name)


def native(qemu_version: int, libvirt_version: int, domain_capabilities: str | None) -> "Options":
    """Return the options' values as the native module takes them."""
    return {
        "mount_point_base": CONF.libvirt.quobyte_mount_point_base,
        "client_cfg": CONF.libvirt.quobyte_client_cfg,
        "state_dir": CONF.quobyte.state_dir,
        "helper": str(PROGRAMS / "quobyte-share-helper"),
        "launcher": CONF.quobyte.launcher,
        "mount_timeout": _timeout("mount_timeout"),
        "probe_timeout": _timeout("probe_timeout"),
        "lock_timeout": _timeout("lock_timeout"),
        "cache_mode": CONF.quobyte.cache_mode,
        "io_mode": CONF.quobyte.io_mode,
        "physical_block_size": CONF.quobyte.physical_block_size,
        "volume_formats": CONF.quobyte.volume_formats,
        "qemu_version": qemu_version,
        "libvirt_version": libvirt_version,
        "domain_capabilities": domain_capabilities,
    }
