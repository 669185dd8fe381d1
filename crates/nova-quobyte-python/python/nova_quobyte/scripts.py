"""The commands that the package installs."""

import os
import sys


def nova_quobyte() -> None:
    """Become the command ``nova-quobyte`` that the package carries."""
    # Importing options would load Nova.
    program = os.path.join(os.path.dirname(__file__), "bin", "nova-quobyte")
    os.execv(program, ["nova-quobyte", *sys.argv[1:]])


def nova_compute() -> None:
    """Run nova-compute with Quobyte volumes served by this package.

    For a Nova in a prefix of its own, below which ``quobyte_ext`` cannot be installed, or whose configuration names
    Nova's libvirt driver.
    """
    # First of all: it decides whether eventlet patches the process.
    from nova.cmd import compute  # noqa: I001

    from nova.virt import libvirt

    from nova_quobyte.registration import LibvirtDriver, register

    register()
    # What ``compute_driver = libvirt.LibvirtDriver`` names.
    libvirt.LibvirtDriver = LibvirtDriver
    compute.main()
