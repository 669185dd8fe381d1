"""Attaching: this driver, the in-tree way of working, and the bare client, alternating in one run.

Prints medians, their spread and ratios, and beside each the bar it is held to; leaves all numbers in the file named.
Exits with 1 when a bar is missed.
"""

import collections
import ctypes
import hashlib
import json
import os
import pathlib
import platform
import signal
import statistics
import subprocess
import sys
import uuid

from lab import HOME, LAB, as_nova, give_to_nova, machine

HERE = LAB / "bench"
TABLE_SIZES = (10, 1_000, 10_000)
MS_BIND, MS_PRIVATE, MNT_DETACH = 0x1000, 0x40000, 2
libc = ctypes.CDLL(None, use_errno=True)
results, missed = [], []


class Worker:
    """A process that does one thing a line and says how many nanoseconds it took; here they are milliseconds."""

    def __init__(self, *command):
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, cwd="/", **as_nova())

    def __call__(self, *words):
        self.tell(*words)
        return self.answer()

    def tell(self, *words):
        """Has it begin, and does not wait for the answer."""
        print(*words, file=self.process.stdin, flush=True)

    def answer(self):
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"{' '.join(self.process.args)} failed")
        return int(answer) / 1e6

    def processor_time(self):
        """Milliseconds of processor time used by it and by the children it has waited for."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) * 1e3 / os.sysconf("SC_CLK_TCK")


class Site:
    """A mount base, a client configuration and a store for each of three workers: ours, theirs, the bare client."""

    def __init__(self, name, *settings):
        self.directory = HOME / name
        for part in ("ours", "theirs", "bare", "store"):
            (self.directory / part).mkdir(parents=True)
        self.config = self.directory / "client.cfg"
        self.config.write_text("\n".join((f"store={self.directory}/store", *settings)) + "\n")
        give_to_nova(self.directory)
        self.theirs = Worker(sys.executable, HERE / "in_tree.py", self.directory / "theirs", self.config)
        self.bare = Worker(sys.executable, HERE / "bare.py", self.directory / "bare", self.config)
        self.ours = self.our_worker()

    def our_worker(self, *prefix):
        helper = LAB / "bin" / "quobyte-share-helper"
        state = self.directory / "ours" / "state"
        return Worker(*prefix, LAB / "bin" / "bench", self.directory / "ours", state, self.config, helper)

    def volume(self, name):
        """Makes a volume with an image in the store, and returns its export."""
        path = self.directory / "store" / name
        path.mkdir()
        (path / "disk").touch()
        os.truncate(path / "disk", 1 << 20)
        give_to_nova(path)
        return f"registry/{name}"


def summary(times):
    low, _, high = statistics.quantiles(times, n=4)
    return f"{statistics.median(times):9.3f} [{low:.3f}, {high:.3f}]"


def look_up_way():
    """How this kernel has one mount looked up; `mount_table` says which versions offer what."""
    version = tuple(int(part) for part in platform.release().split(".")[:2])
    return "statmount" if version >= (6, 13) else "unique id" if version >= (6, 8) else "mountinfo"


def row(what, ours, theirs, bar=None, at_most=False):
    """A line of the table: two medians with their quartiles, the ratio, and whether it is as it should be."""
    results.append({"what": what, "ours_ms": ours, "theirs_ms": theirs, "bar": bar, "at_most": at_most})
    a, b = statistics.median(ours), statistics.median(theirs)
    ratio = a / b if at_most else b / a
    if bar is None:
        print(f"{what:60} {summary(ours)} {summary(theirs)}  x{ratio:.2f}")
        return
    holds = ratio <= bar if at_most else ratio >= bar
    verdict = f"{'<=' if at_most else '>='} {bar}: {'holds' if holds else 'MISSED'}"
    if not holds:
        missed.append(what)
    print(f"{what:60} {summary(ours)} {summary(theirs)}  x{ratio:<8.2f} {verdict}")


def limited(what, ours, theirs, most):
    """A line of the table: two medians with their quartiles, and whether the longest of ours is short enough."""
    results.append({"what": what, "ours_ms": ours, "theirs_ms": theirs, "ours_at_most_ms": most})
    holds = max(ours) <= most
    if not holds:
        missed.append(what)
    print(f"{what:60} {summary(ours)} {summary(theirs)}  <= {most} ms: {'holds' if holds else 'MISSED'}")


def limited_rate(what, many, none, count, most):
    """A line of the table: what each of so many adds to the median, and whether that is little enough."""
    each = (statistics.median(many) - statistics.median(none)) / count
    results.append({"what": what, "many_ms": many, "none_ms": none, "count": count, "each_at_most_ms": most})
    holds = each <= most
    if not holds:
        missed.append(what)
    print(f"{what:60} {each:9.3f} ms  <= {most}: {'holds' if holds else 'MISSED'}")


def save():
    """Leaves the rows so far in the file named, beside what they were measured on."""
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        json.dump({"machine": machine(), "rows": results}, file, indent=1)


def mount_bind(where):
    if libc.mount(b"/run/lock", os.fsencode(where), None, MS_BIND, None):
        raise OSError(ctypes.get_errno(), "mount")


def make_table(place):
    """Makes a place for mounts that do not appear a second time elsewhere."""
    place.mkdir()
    mount_bind(place)
    libc.mount(None, os.fsencode(place), None, MS_PRIVATE, None)


def fill_table(place, size, filled):
    for number in range(filled, size):
        where = place / str(number)
        # All tables are in the one directory that is mounted.
        where.mkdir(exist_ok=True)
        mount_bind(where)
    return size


def drop_table(place):
    """Takes a place and all its mounts away, so that whatever is measured next has a table of its own."""
    if libc.umount2(os.fsencode(place), MNT_DETACH):
        raise OSError(ctypes.get_errno(), "umount")


def warm():
    """A share that stays mounted, at every size of the mount table."""
    site = Site("warm")
    export = site.volume("warm")
    site.ours("connect", export, uuid.UUID(int=1))
    site.theirs("connect", export, uuid.UUID(int=1))
    site.theirs("hold", export)
    place = HOME / "table"
    make_table(place)
    # Sees the table as it is now, however full it gets.
    few = site.our_worker("unshare", "--user", "--map-root-user", "--mount", "--propagation", "private", "--")
    filled = 0
    for size, validation_bar, connect_bar in zip(TABLE_SIZES, (5, 50, 500), (2, 20, 200), strict=True):
        filled = fill_table(place, size, filled)
        ours, theirs, alone = (collections.defaultdict(list) for _ in range(3))
        for number in range(50 if size < 10_000 else 12):
            guest = uuid.UUID(int=number + 2)
            for word in ("look-up", "validate"):
                # Whoever comes after the in-tree way finds the caches full of its mount table, so both take turns.
                for times, worker in ((ours, site.ours), (alone, few))[:: 1 if number % 2 else -1]:
                    times[word].append(worker(word, export))
            theirs["validate"].append(site.theirs("validate", export))
            for word in ("connect", "disconnect"):
                ours[word].append(site.ours(word, export, guest))
                theirs[word].append(site.theirs(word, export, guest))
        row(f"validation, {size} more mounts", ours["validate"], theirs["validate"], validation_bar)
        row(f"  of which look-up ({look_up_way()})", ours["look-up"], theirs["validate"])
        row(f"hot connect, {size} more mounts", ours["connect"], theirs["connect"], connect_bar)
        row(f"hot disconnect, {size} more mounts", ours["disconnect"], theirs["disconnect"])
    drop_table(place)
    for word in ("validate", "look-up"):
        row(f"{word}, 10000 more mounts against none", ours[word], alone[word], 1.3, at_most=True)


def cold():
    """A client that takes 200 ms: one mounted and unmounted, then 64 at once."""
    # One thread: what is timed is not what the client spends on itself.
    site = Site("cold", "standin.mount_delay_ms=200", "standin.threads=1")
    export = site.volume("cold")
    guest = uuid.UUID(int=0)
    times = {"ours": [], "theirs": [], "bare": []}
    for _ in range(15):
        for name in times:
            worker = getattr(site, name)
            times[name].append(worker("connect", export, guest))
            worker("disconnect", export, guest)
    row("cold connect against the bare 200 ms client", times["ours"], times["bare"], 1.1, at_most=True)
    over = statistics.median(times["ours"]) - statistics.median(times["bare"])
    print(f"{'  which is':60} {over:9.3f} more than the client alone")
    row("cold connect against the in-tree way", times["ours"], times["theirs"])

    for number in range(64):
        site.volume(f"many-{number}")
    together, one, used, bare = [], [], [], []
    for _ in range(5):
        one.append(site.ours("connect", export, guest))
        site.ours("disconnect", export, guest)
        before = site.ours.processor_time()
        together.append(site.ours("connect-all", "registry/many-", 64))
        used.append(site.ours.processor_time() - before)
        for number in range(64):
            site.ours("disconnect", f"registry/many-{number}", guest)
        bare.append(site.bare("connect-all", "registry/many-", 64))
        site.bare("disconnect-all", "registry/many-", 64)
    row("64 cold connects at once against one", together, one, 2, at_most=True)
    print(f"{'  processor time, clients included':60} {summary(used)}")
    row("64 cold connects at once, 64 bare clients", together, bare)
    in_tree = site.theirs("connect-all", "registry/many-", 64)
    print(f"{'64 cold connects at once, the in-tree way':60} {'':>24} {in_tree:9.3f}")
    for number in range(64):
        site.theirs("disconnect", f"registry/many-{number}", guest)


def hung():
    """A hot connect while callers wait for another share, whose client is stopped, and while that one answers."""
    pid = HOME / "hung" / "pid"
    site = Site("hung", f"standin.pid_file={pid}")
    served, silent = site.volume("served"), site.volume("silent")
    site.ours("connect", served, uuid.UUID(int=0))
    # In the state directory of the one that is timed, and under its locks.
    waiting = [site.our_worker() for _ in range(4)]

    def each(what):
        return [what(uuid.UUID(int=number), caller) for number, caller in enumerate(waiting)]

    each(lambda guest, caller: caller("connect", silent, guest))
    client = int(pid.read_text(encoding="ascii"))
    where = site.directory / "ours" / hashlib.md5(silent.encode()).hexdigest()
    requests = pathlib.Path(f"/sys/fs/fuse/connections/{os.minor(where.stat().st_dev)}/waiting")
    hanging, answering = [], []

    def connect(times):
        for number in range(10):
            guest = uuid.UUID(int=number + 1)
            times.append(site.ours("connect", served, guest))
            site.ours("disconnect", served, guest)

    for _ in range(30):
        connect(answering)
        os.kill(client, signal.SIGSTOP)
        each(lambda guest, caller: caller.tell("connect", silent, guest))
        while requests.read_text(encoding="ascii") == "0\n":
            os.sched_yield()
        connect(hanging)
        os.kill(client, signal.SIGCONT)
        each(lambda guest, caller: caller.answer())
    row("hot connect, another share hung, against none", hanging, answering, 1.3, at_most=True)


def main():
    HOME.mkdir()
    give_to_nova(HOME)
    print(f"{platform.system()} {platform.release()}, {os.cpu_count()} processors; "
          "milliseconds: median [quartiles]\n")
    print(f"{'':60} {'this driver':>24} {'other':>24}")
    cold()
    hung()
    warm()
    save()
    if missed:
        print(f"\nMissed: {', '.join(missed)}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
