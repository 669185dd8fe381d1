"""Runs Nova's own unit tests of volumes with this driver in the place of Nova's.

The class replaces Nova's in its module and in the table of drivers, so whatever names either gets this one. None of
them calls it: what they show is that Nova's libvirt driver works on beside it.
"""

import sys
import unittest

from nova.tests.unit.virt.libvirt import test_driver
from nova.tests.unit.virt.libvirt.volume import test_quobyte, test_volume
from nova.virt.libvirt.volume import quobyte
from nova_quobyte import registration
from nova_quobyte.volume import LibvirtQuobyteVolumeDriver

_INTERNALS = "it replaces functions of the in-tree module that this driver does not call"
_PRIVATE = "it calls a private method of the in-tree class"
# Nova's tests of its own class that cannot apply to another, and why.
NOT_APPLICABLE = {
    "test_libvirt_quobyte_driver_mount": _INTERNALS,
    "test_libvirt_quobyte_driver_umount": _INTERNALS,
    "test_libvirt_quobyte_driver_already_mounted": _INTERNALS,
    "test_libvirt_quobyte_driver_qcow2": _INTERNALS,
    "test_libvirt_quobyte_driver_mount_non_quobyte_volume": _INTERNALS,
    "test_libvirt_quobyte_driver_normalize_export_with_protocol": _PRIVATE,
    "test_libvirt_quobyte_driver_normalize_export_without_protocol": _PRIVATE,
}


def applicable(suite):
    """Return the tests of a suite that are about volumes and can apply."""
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from applicable(test)
        elif test._testMethodName not in NOT_APPLICABLE and "volume" in test.id().lower():
            yield test


def main():
    """Run them, and exit with 1 if one fails or there are none."""
    registration.register()
    quobyte.LibvirtQuobyteVolumeDriver = LibvirtQuobyteVolumeDriver
    load = unittest.defaultTestLoader.loadTestsFromModule
    suite = unittest.TestSuite()
    for module in (test_quobyte, test_volume, test_driver):
        suite.addTests(applicable(load(module)))
    result = unittest.TextTestRunner(verbosity=1, buffer=True).run(suite)
    sys.exit(not (result.wasSuccessful() and result.testsRun))


main()
