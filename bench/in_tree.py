"""The work that Nova's in-tree Quobyte driver does for a volume, for bench/run to time beside ours.

Written anew from what that driver does, not from its code: validate by listing every mount of the host through psutil
and looking at the mount's root, once before and once after mounting; unmount whenever somebody leaves, and take the
kernel's refusal for the sign that others are still there; one lock for all shares of the host.

Told on standard input what to do, a line at a time; answers each with the nanoseconds it took.
"""

import hashlib
import os
import subprocess
import sys
import threading
import time

import psutil

BASE, CLIENT_CFG = sys.argv[1:3]
ONE_LOCK = threading.Lock()
# Files that guests have open.
OPEN = []


def mount_path(export):
    return os.path.join(BASE, hashlib.md5(export.encode()).hexdigest())


def is_valid(path):
    for partition in psutil.disk_partitions(all=True):
        if partition.mountpoint == path:
            is_quobyte = partition.device.startswith("quobyte@") or partition.fstype == "fuse.quobyte"
            return is_quobyte and os.stat(path).st_size == 0
    return False


def connect(export):
    path = mount_path(export)
    with ONE_LOCK:
        if not is_valid(path):
            os.makedirs(path, exist_ok=True)
            command = ["mount.quobyte", "--disable-xattrs", export, path, "-c", CLIENT_CFG]
            subprocess.run(command, check=True, capture_output=True)
        if not is_valid(path):
            raise RuntimeError(f"{export} is not mounted")


def disconnect(export):
    path = mount_path(export)
    with ONE_LOCK:
        if is_valid(path):
            subprocess.run(["fusermount3", "-u", path], check=False, capture_output=True)


def connect_all(prefix, count):
    threads = [threading.Thread(target=connect, args=(f"{prefix}{number}",)) for number in range(int(count))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def validate(export):
    """As often as one connect does it."""
    path = mount_path(export)
    if not (is_valid(path) and is_valid(path)):
        raise RuntimeError(f"{export} is not mounted")


def hold(export):
    OPEN.append(open(os.path.join(mount_path(export), "disk"), "rb"))


WORK = {"validate": validate, "hold": hold, "connect": lambda export, _: connect(export),
        "disconnect": lambda export, _: disconnect(export), "connect-all": connect_all}

for line in sys.stdin:
    word, *arguments = line.split()
    began = time.perf_counter_ns()
    WORK[word](*arguments)
    print(time.perf_counter_ns() - began, flush=True)
