"""Connects, describes and disconnects a volume by the native module, in whatever surroundings it was started.

Its arguments are a JSON object of options, a connection_info, a file for what came of it, and the name of another task,
if any. Standard streams may be closed.
"""

import json
import os
import re
import resource
import sys
import threading
import time
import traceback
from pathlib import Path

from nova_quobyte import _native

INSTANCE = "a11ce000-0000-4000-8000-000000000001"
OTHER = "b0b00000-0000-4000-8000-000000000002"


class NoDomains:
    """A hypervisor without guests."""

    def list_all(self):
        """List none."""
        return []

    def describe(self, _domain, _saved):
        """Describe none."""

    def describe_one(self, _uuid):
        """Describe none."""


class HeldDomain(NoDomains):
    """A hypervisor with one guest, which it does not describe until that is released."""

    def __init__(self):
        self.asked = 0
        self.released = threading.Event()

    def list_all(self):
        """List the guest."""
        return [(OTHER, "held", None, False, None)]

    def describe(self, _domain, _saved):
        """Describe the guest once it is released."""
        self.asked += 1
        self.released.wait()
        return OTHER, "held", None, [("persistent", "<domain/>", "")]


def leftovers(options):
    """Return what there is of mounted shares."""
    table = Path("/proc/self/mountinfo").read_text()
    base, state = Path(options["mount_point_base"]), Path(options["state_dir"])
    mounts = [line for line in table.splitlines() if f" {base}/" in line]
    directories = [str(path) for path in [*base.glob("*"), *(state / "shares").glob("*")]]
    return [*mounts, *directories]


def standard_streams():
    """Return which files are in the place of the standard streams."""
    return [os.readlink(f"/proc/self/fd/{number}") for number in range(3)]


def cycle(options, info):
    """Do everything once; return what is in the place of the standard streams meanwhile."""
    driver = _native.NativeDriver([], options, NoDomains())
    driver.connect([], info, INSTANCE)
    driver.disk([], info)
    streams = standard_streams()
    driver.disconnect([], info, INSTANCE)
    return streams


def attempt(call, kind, limit):
    """Make a call under a limit of this process; return the error's code, or that it is done."""
    usual = resource.getrlimit(kind)
    resource.setrlimit(kind, (limit, usual[1]))
    try:
        call()
    except _native.QuobyteError as error:
        return error.code
    except MemoryError:
        return "MemoryError"
    finally:
        resource.setrlimit(kind, usual)
    return "done"


def sweep(options, info, kind, limits):
    """Connect and disconnect under each limit, and return the codes; what fails leaves nothing."""
    driver = _native.NativeDriver([], options, NoDomains())
    codes = []
    for limit in limits:
        code = attempt(lambda: driver.connect([], info, INSTANCE), kind, limit)
        codes.append(code)
        if code == "done":
            codes.append(attempt(lambda: driver.disconnect([], info, INSTANCE), kind, limit))
            if codes[-1] != "done" or leftovers(options):
                driver.disconnect([], info, INSTANCE)
                driver.reconcile([])
        assert not (left := leftovers(options)), (limit, codes, left)
    return codes


def sweep_descriptors(options, info):
    """Have few descriptors, and one more each time."""
    first = len(os.listdir("/proc/self/fd"))
    return sweep(options, info, resource.RLIMIT_NOFILE, range(first, first + 60))


def with_room(rooms):
    """Give limits that leave so much memory beyond what is used at that time, in bytes."""
    for room in rooms:
        status = Path("/proc/self/status").read_text()
        used = int(re.search(r"VmSize:\s*(\d+)", status)[1]) << 10
        yield used + room


def sweep_memory(options, info):
    """Have as much memory as there is, and more each time; then as much as just suffices to begin, and little more."""

    def with_memory(*rooms):
        return sweep(options, info, resource.RLIMIT_AS, with_room(rooms))

    most, page = 512 << 20, resource.getpagesize()
    codes = with_memory(*range(0, most, 8 << 20))
    too_little, enough = 0, most
    while enough - too_little > page:
        room = (too_little + enough) // 2
        if with_memory(room) == ["host_exhausted"]:
            too_little = room
        else:
            enough = room
    return codes + with_memory(*range(too_little, too_little + 64 * page, page))


def start_no_process(options, info):
    """Have the process that there is."""
    return sweep(options, info, resource.RLIMIT_NPROC, [1])


def ask_while_held(options, info):
    """Ask more often than is answered; return how many questions wait. Once the guest is released, nothing is left."""
    domains = HeldDomain()
    driver = _native.NativeDriver([], options, domains)
    driver.connect([], info, INSTANCE)
    for _ in range(8):
        driver.reconcile([])
    waiting = domains.asked
    domains.released.set()
    driver.disconnect([], info, INSTANCE)
    # The questions that have waited end by and by.
    deadline = time.monotonic() + 60
    while leftovers(options) and time.monotonic() < deadline:
        driver.reconcile([])
    return waiting


TASKS = {
    "cycle": cycle,
    "few descriptors": sweep_descriptors,
    "little memory": sweep_memory,
    "no process": start_no_process,
    "held guest": ask_while_held,
}


def main(options, info, report, task="cycle"):
    """Do as the arguments say."""
    options, info = json.loads(options), json.loads(info)
    outcome = TASKS[task](options, info)
    assert not (left := leftovers(options)), left
    Path(report).write_text(json.dumps(outcome))


try:
    main(*sys.argv[1:])
except BaseException:
    Path(sys.argv[3]).write_text(json.dumps(traceback.format_exc()))
    raise
