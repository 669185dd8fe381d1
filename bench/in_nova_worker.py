"""Real Nova's libvirt driver with this volume driver or with Nova's own, for in_nova.py to time.

Told on standard input what to do, a line at a time; answers each with the nanoseconds it took, or for which it kept the
rest of the process from running.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

TESTS, DIRECTORY = map(Path, sys.argv[1:3])
# Nova logs to what was standard output; only answers belong there.
answers = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)
sys.path.insert(0, str(TESTS))

import nova_host
from guest import Guest
from nova import exception
from nova.virt.libvirt.volume.quobyte import LibvirtQuobyteVolumeDriver as InTree
from nova_quobyte.volume import LibvirtQuobyteVolumeDriver as Ours
from storage import Storage

# By side: the class, and how Nova is told to use it.
DRIVERS = {"ours": (Ours, "quobyte_ext.LibvirtDriver"), "theirs": (InTree, "libvirt.LibvirtDriver")}
DISK = {"type": "disk", "dev": "vdb", "bus": "virtio"}
# Seconds that a client takes, or hangs for.
LONG = 2


class Heartbeat:
    """What else goes on in nova-compute: something that wants to run every 10 ms."""

    def __enter__(self):
        self.longest = 0
        self._stopped = False
        self._last = time.perf_counter_ns()
        self._thread = threading.Thread(target=self._beat)
        self._thread.start()
        return self

    def _beat(self):
        while not self._stopped:
            time.sleep(0.01)
            now = time.perf_counter_ns()
            self.longest = max(self.longest, now - self._last)
            self._last = now

    def __exit__(self, *_):
        self._stopped = True
        self._thread.join()


def stop(process):
    """Stop a process; its threads do so one by one, some time after they are told."""
    os.kill(process, signal.SIGSTOP)
    threads = Path(f"/proc/{process}/task")
    while any(stat.read_text().rpartition(")")[2].split()[0] != "T" for stat in threads.glob("*/stat")):
        os.sched_yield()


class Side:
    """One of the two drivers, with volumes and a mount base of its own."""

    def __init__(self, name):
        kind, compute_driver = DRIVERS[name]
        self.storage = Storage(DIRECTORY, faults=False)
        options = [
            "[DEFAULT]",
            f"compute_driver = {compute_driver}",
            f"log_file = {DIRECTORY}/nova.log",
            "[libvirt]",
            f"quobyte_mount_point_base = {self.storage.base}",
            f"quobyte_client_cfg = {self.storage.config}",
            "[quobyte]",
            f"state_dir = {DIRECTORY}/state",
            f"probe_timeout = {LONG}",
        ]
        self.compute = nova_host.start(DIRECTORY, options)
        self.info, self.other = self.storage.volume(), self.storage.volume()
        self.instance = nova_host.instance()
        self.driver = self.compute._get_volume_driver({"driver_volume_type": "quobyte"})
        assert type(self.driver) is kind
        # Nova's own waits as long as it takes.
        self.gives_up = kind is Ours

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

    def gone(self):
        """Make sure that nothing is mounted, as what is cold needs."""
        assert not self.storage.mounts()

    def mount_slowly(self):
        """Connect by a client that takes its time; return the longest stall."""
        self.storage.settings(f"standin.mount_delay_ms={LONG * 1000}")
        began = time.monotonic()
        with Heartbeat() as heart:
            self.connect()
        assert time.monotonic() - began >= LONG
        self.storage.settings()
        self.disconnect()
        return heart.longest

    def hang(self):
        """Connect again while the client is stopped; return the longest stall."""
        self.connect()
        client = self.storage.client()
        stop(client)
        # By another process, since this one may not run meanwhile; a second later than who gives up does.
        wake = subprocess.Popen(["sh", "-c", f"sleep {LONG + self.gives_up}; kill -CONT {client}"])
        began = time.monotonic()
        with Heartbeat() as heart:
            try:
                self.connect()
                code = None
            except exception.StaleVolumeMount as error:
                code = str(error).rpartition(" ")[2]
        assert time.monotonic() - began >= LONG - 0.1
        assert code == ("[mount_hung]" if self.gives_up else None), code
        wake.wait()
        self.disconnect()
        return heart.longest

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
        call = getattr(self.compute, method)
        call(nova_host.admin(), self.info, self.guest_instance, "/dev/vdb", encryption={})


def main():
    """Do what is asked for."""
    patcher = sys.modules.get("eventlet.patcher")
    is_patched = bool(patcher) and patcher.is_monkey_patched("thread")
    assert is_patched == (os.environ["OS_NOVA_DISABLE_EVENTLET_PATCHING"] == "false")
    side = Side(sys.argv[3])
    for line in sys.stdin:
        work = getattr(side, line.strip())
        began = time.perf_counter_ns()
        stall = work()
        took = time.perf_counter_ns() - began
        print(took if stall is None else stall, file=answers)
    # Nova's threads would keep the process.
    os._exit(0)


main()
