"""What it costs to ask who uses a volume, on hosts with more and more domains: the last disconnect, status, reconcile, and
the last disconnect in Nova.

Beside them the in-tree way and Nova's own driver, which ask nobody, alternating in one run. Prints medians, their spread and the cost of each
further domain, and beside it the bar that is held to; leaves all numbers in the file named. Exits with 1 when a bar is
missed.
"""

import os
import subprocess
import sys
import time
import uuid

from in_nova import ALL_PROCESSORS, CALLS, Novas
from lab import HOME, LAB, as_nova, give_to_nova, output
from mounts import Site, limited_rate, missed, row, save

SHUT_OFF = (0, 50, 200, 500)
RUNNING = (0, 10, 40)
ROUNDS = 15
# Milliseconds for each further domain.
SHUT_OFF_BAR, RUNNING_BAR = 0.2, 0.4

DOMAIN = """<domain type='{virt_type}'><name>bench-{number}</name><memory unit='MiB'>16</memory>
<os><type arch='x86_64' machine='q35'>hvm</type></os><devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<disk type='file'><driver name='qemu' type='raw'/><source file='{disk}'/><target dev='vda' bus='virtio'/></disk>
<disk type='file'><driver name='qemu' type='raw'/><source file='{disk}.2'/><target dev='vdb' bus='virtio'/></disk>
<controller type='usb' model='none'/><interface type='user'><model type='virtio'/></interface><console type='pty'/>
<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng></devices></domain>"""


class Domains:
    """Domains that use no volume of ours, defined one by one."""

    def __init__(self):
        self.uuids = []
        self.disks = HOME / "disks"
        self.disks.mkdir(exist_ok=True)
        self.disks.chmod(0o755)

    def grow(self, size, start):
        while len(self.uuids) < size:
            number = len(self.uuids)
            disk = self.disks / f"{number}"
            for path in (disk, disk.with_name(f"{number}.2")):
                path.touch()
                os.truncate(path, 1 << 20)
                path.chmod(0o666)
            description = HOME / "domain.xml"
            virt_type = os.environ["NOVA_QUOBYTE_VIRT_TYPE"]
            description.write_text(DOMAIN.format(number=number, disk=disk, virt_type=virt_type), encoding="utf-8")
            output("virsh", "define", description)
            self.uuids.append(output("virsh", "domuuid", f"bench-{number}").strip())
            if start:
                output("virsh", "start", "--paused", self.uuids[-1])

    def drop(self, running):
        for domain in self.uuids:
            if running:
                output("virsh", "destroy", domain)
            output("virsh", "undefine", domain)
        self.uuids.clear()


def command(site, *words, **options):
    """Runs the command as nova, and returns the milliseconds that it took."""
    base = site.directory / "ours"
    line = [LAB / "bin" / "nova-quobyte", "--quobyte-mount-point-base", base, "--state-dir", base / "state",
            "--quobyte-client-cfg", site.config, *words]
    began = time.monotonic()
    done = subprocess.run([str(word) for word in line], capture_output=True, text=True, check=False, cwd="/",
                          **as_nova(), **options)
    took = (time.monotonic() - began) * 1e3
    if done.returncode:
        raise SystemExit(f"{line}: {done.stdout}{done.stderr}")
    return took


def measure(site, export):
    """The times of each operation, ours and the in-tree way's, alternating."""
    times = {"status": [], "reconcile": [], "last disconnect": [], "in-tree": []}
    image = ["--export", export, "--name", "disk"]
    for number in range(ROUNDS):
        guest = uuid.UUID(int=number + 1)
        command(site, "connect", "--instance", guest, *image, "--format", "raw")
        times["status"].append(command(site, "status"))
        times["reconcile"].append(command(site, "reconcile"))
        site.theirs("connect", export, guest)
        times["in-tree"].append(site.theirs("disconnect", export, guest))
        times["last disconnect"].append(command(site, "disconnect", "--instance", guest, *image))
    return times


def measure_in_nova(novas):
    """The same for the last disconnect in Nova, this driver's and Nova's own."""
    times = novas.in_turns(ROUNDS, (*CALLS, "gone"))
    return times["ours", "disconnect"], times["theirs", "disconnect"]


def grow_and_measure(site, export, novas, kind, sizes, bar):
    domains = Domains()
    none, nova_none = None, None
    for size in sizes:
        domains.grow(size, start=kind == "running")
        times = measure(site, export)
        ours, theirs = measure_in_nova(novas)
        none, nova_none = none or times, nova_none or ours
        row(f"last disconnect in Nova, {size} {kind} domains", ours, theirs)
        for what in ("last disconnect", "status", "reconcile"):
            row(f"{what}, {size} {kind} domains, beside the in-tree way", times[what], times["in-tree"])
        if size == sizes[-1]:
            for what in ("last disconnect", "status", "reconcile"):
                limited_rate(f"{what}, for each {kind} domain", times[what], none[what], size, bar)
            limited_rate(f"last disconnect in Nova, for each {kind} domain", ours, nova_none, size, bar)
    domains.drop(running=kind == "running")


def main():
    HOME.mkdir(exist_ok=True)
    give_to_nova(HOME)
    site = Site("guests")
    export = site.volume("guests")
    novas = Novas("nova-guests", processors=ALL_PROCESSORS)
    grow_and_measure(site, export, novas, "shut-off", SHUT_OFF, SHUT_OFF_BAR)
    grow_and_measure(site, export, novas, "running", RUNNING, RUNNING_BAR)
    save()
    if missed:
        print(f"\nMissed: {', '.join(missed)}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
