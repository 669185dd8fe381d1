"""Disks of a guest, one for each policy, and what the guest does to them."""

import time

from io_share import IMAGE_SIZE

# Seconds of full load before and during a measurement, and between two questions to the monitor.
RAMP, WINDOW, PAUSE = 0.1, 0.35, 0.005


class Disks:
    """Attached by the driver while it is entered."""

    def __init__(self, guest, share, policies):
        self.guest, self.share, self.policies = guest, share, policies

    def __enter__(self):
        self.serials, self.devices, self.targets = {}, {}, []
        for policy in self.policies:
            cache, mode = policy.split("/")
            info = self.share.image()
            # The policy that the driver chooses is its own choice here, too.
            options = [] if policy == self.share.chosen else ["--cache-mode", cache, "--io-mode", mode]
            answer = self.share.command("attach", self.guest.name, *options, info=info)
            if f"{answer['cache']}/{answer['io']}" != policy:
                raise RuntimeError(f"not {policy}: {answer}")
            self.targets.append(answer["target"])
            self.serials[policy] = info["serial"]
            self.devices[policy] = self.guest.run(
                f"until disk=$(grep -lx {info['serial'][:20]} /sys/block/vd*/serial 2>/dev/null); do usleep 1000; done; "
                "disk=${disk#/sys/block/}; echo ${disk%/serial}")
        return self

    def __exit__(self, *_):
        for target in self.targets:
            self.share.command("detach", self.guest.name, target)


class Load:
    """A workload that is ready to go on each disk. A request of each of its processes is under way at any time, past the
    guest's cache; random ones are sequential for each process, which nothing between it and the client can tell.
    """

    def __init__(self, disks, workload):
        self.disks, self.guest, self.workload = disks, disks.guest, workload

    def __enter__(self):
        workload = self.workload
        blocks = IMAGE_SIZE // workload.size // workload.depth
        for device in self.disks.devices.values():
            direction = (f"if=/dev/zero of=/dev/{device} oflag=direct conv=notrunc seek" if workload.writes
                         else f"if=/dev/{device} of=/dev/null iflag=direct skip")
            self.guest.run(
                f"setsid sh -c 'kill -STOP $$; n=0; while [ $n -lt {workload.depth} ]; do "
                f"while dd bs={workload.size} count={blocks} {direction}=$((n*{blocks})); do :; done & n=$((n+1)); "
                f"done; wait' >/dev/null 2>&1 & echo $! >/run/load.{device}; "
                f"until grep -q 'State:.T' /proc/$!/status; do usleep 1000; done")
        return self

    def __exit__(self, *_):
        for device in self.disks.devices.values():
            self.guest.run(f"kill -KILL -$(cat /run/load.{device}); rm /run/load.{device}")

    def run(self, policy):
        """Lets one disk have it for a while. Returns requests a second, and how many milliseconds each answer of the
        monitor took meanwhile.
        """
        group = f"-$(cat /run/load.{self.disks.devices[policy]})"
        monitor, serial = self.guest.monitor, self.disks.serials[policy]
        self.guest.run(f"kill -CONT {group}")
        time.sleep(RAMP)
        waited = []
        before, began = monitor.transferred(serial), time.perf_counter()
        while time.perf_counter() - began < WINDOW:
            waited.append(monitor.waited())
            time.sleep(PAUSE)
        transferred, took = monitor.transferred(serial) - before, time.perf_counter() - began
        self.guest.run(f"kill -STOP {group}")
        return transferred / self.workload.size / took, waited
