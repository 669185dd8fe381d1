"""What came of a run of the tests, and of which Nova, for the table in docs/NOVA.md."""

import json
import os
import sys
from importlib import metadata
from pathlib import Path

import libvirt
from nova_quobyte import releases


def _short(version):
    """Return a version without its last part, in which Debian's updates differ."""
    return ".".join(version.split(".")[:2])


def _number(version):
    """Return the version that libvirt has as one number."""
    return f"{version // 1_000_000}.{version // 1000 % 1000}"


def write(file, stats):
    """Write down how many tests passed, of which Nova on which host."""
    connection = libvirt.openReadOnly("qemu:///system")
    system = sys.executable.startswith("/usr/")
    outcome = {
        "nova": _short(metadata.version("nova")),
        "from": "Debian" if system else "PyPI",
        "debian": Path("/etc/debian_version").read_text().split(".")[0].strip(),
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "libvirt": _number(connection.getLibVersion()),
        "qemu": _number(connection.getVersion()),
        "mode": "eventlet" if releases.has_eventlet_threads() else "threading",
        **{name: len(stats.get(name, [])) for name in ("passed", "failed", "error", "skipped")},
    }
    temporary = file.with_suffix(".new")
    temporary.write_text(json.dumps(outcome) + "\n")
    os.replace(temporary, file)
