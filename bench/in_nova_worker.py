"""Real Nova's libvirt driver with this volume driver and with Nova's own, for in_nova.py to time in turns.

Told on standard input what to do by which, a line at a time; answers each with the nanoseconds it took.
"""

import os
import sys
import time
from pathlib import Path

TESTS, DIRECTORY = map(Path, sys.argv[1:])
# Nova logs to what was standard output; only answers belong there.
answers = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)
sys.path.insert(0, str(TESTS))

import nova_host
from guest import Guest
from nova.virt.libvirt.volume.quobyte import LibvirtQuobyteVolumeDriver as InTree
from nova_quobyte.volume import LibvirtQuobyteVolumeDriver as Ours
from storage import Storage

DISK = {"type": "disk", "dev": "vdb", "bus": "virtio"}


class Side:
    """One of the two drivers, with volumes and a mount base of its own."""

    def __init__(self, compute, driver, directory):
        directory.mkdir()
        self.compute = compute
        self.storage = Storage(directory)
        self.info, self.other = self.storage.volume(), self.storage.volume()
        self.instance = nova_host.instance()
        self.take_turn(directory)
        self.driver = driver(compute._host)

    def take_turn(self, directory=None):
        """Have Nova's configuration be this side's."""
        conf = nova_host.CONF
        conf.set_override("quobyte_mount_point_base", str(self.storage.base), "libvirt")
        conf.set_override("quobyte_client_cfg", str(self.storage.config), "libvirt")
        if directory:
            conf.set_override("state_dir", str(directory / "state"), "quobyte")

    def connect(self):
        self.driver.connect_volume(self.info, self.instance)

    def config(self):
        self.driver.get_config(self.info, DISK).to_xml()

    def disconnect(self):
        self.driver.disconnect_volume(self.info, self.instance)

    def hold(self):
        """Keep the share mounted and in use, as another guest does."""
        self.holder = nova_host.instance()
        self.driver.connect_volume(self.other, self.holder)
        self.held = (self.storage.mount_path(self.other) / self.other["data"]["name"]).open("rb")

    def release(self):
        """Let it go again."""
        self.held.close()
        self.driver.disconnect_volume(self.other, self.holder)

    def boot(self):
        """Boot a guest to attach to."""
        self.guest = Guest(self.compute._host.get_connection(), DIRECTORY)
        self.guest.start()
        self.guest_instance = nova_host.instance(self.guest.uuid)

    def attach(self):
        self._through_nova("attach_volume")

    def detach(self):
        self._through_nova("detach_volume")

    def wait(self):
        """Wait until the guest can read the disk."""
        self.guest.disk(self.info["serial"])

    def end(self):
        self.guest.remove()

    def _through_nova(self, method):
        self.compute.volume_drivers["quobyte"] = self.driver
        call = getattr(self.compute, method)
        call(nova_host.admin(), self.info, self.guest_instance, "/dev/vdb", encryption={})


def main():
    """Do what is asked for."""
    compute = nova_host.start(DIRECTORY, ["[DEFAULT]", f"log_file = {DIRECTORY}/nova.log"])
    sides = {name: Side(compute, driver, DIRECTORY / name) for name, driver in (("ours", Ours), ("theirs", InTree))}
    for line in sys.stdin:
        name, word = line.split()
        sides[name].take_turn()
        work = getattr(sides[name], word)
        began = time.perf_counter_ns()
        work()
        print(time.perf_counter_ns() - began, file=answers)
    # Nova's threads would keep the process.
    os._exit(0)


main()
