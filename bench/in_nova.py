"""This driver beside Nova's own in real Nova, in turns: what nova-compute waits for, and what keeps it from all else.

Prints medians, their spread and ratios, and beside each the bar it is held to; leaves all numbers in the file named.
Exits with 1 when a bar is missed.
"""

import os
import sys

from lab import HOME, LAB, give_to_nova
from mounts import Worker, drop_table, fill_table, limited, make_table, missed, row, save

ROUNDS = {"cold": 15, "warm": 10, "by ones": 60, "attach": 15, "stall": 5}
# How often a side does the same before it is the other's turn.
WARM_TURN = 10
# What nova-compute, its helpers and the clients it mounts by run on, with either driver. To wake a processor that sleeps
# takes a virtual machine longer than most of what it is woken for; so warm calls are held to their bars on one, and shown
# on all as well.
ALL_PROCESSORS = sorted(os.sched_getaffinity(0))
ONE_PROCESSOR = ALL_PROCESSORS[:1]
# Nothing may be slower; what is the same on both sides, such as what libvirt takes, comes out as 1 and some noise.
SAME = 0.9
# Milliseconds for which a connect may keep everything else in nova-compute from running.
MOST_STALL = 100
SIDES = ("theirs", "ours")
CALLS = ("connect", "config", "disconnect")
NO_SLOWER = dict.fromkeys(CALLS, SAME)


class Novas:
    """A Nova of its own for each driver, in one of Nova's modes. No nova-compute has both, and one pays for what the
    other leaves behind in its process: pages to be copied after each fork."""

    def __init__(self, name, *, eventlet=False, processors=ONE_PROCESSOR):
        self.processors = ",".join(map(str, processors))
        os.environ["OS_NOVA_DISABLE_EVENTLET_PATCHING"] = str(not eventlet).lower()
        self.workers = {side: self.worker(HOME / f"{name}-{side}", side) for side in SIDES}

    def worker(self, directory, side):
        directory.mkdir(parents=True)
        give_to_nova(directory)
        nova = LAB / "venv-nova" / "bin" / "python", LAB / "bench" / "in_nova_worker.py"
        return Worker("taskset", "--cpu-list", self.processors, *nova, LAB / "tests" / "nova", directory, side)

    def both(self, word):
        for worker in self.workers.values():
            worker(word)

    def in_turns(self, rounds, words, turn=1):
        """Have both do the words, a turn each after the other, and return all the times."""
        times = {(side, word): [] for side in SIDES for word in words}
        for _ in range(rounds):
            for side in SIDES:
                for word in words * turn:
                    times[side, word].append(self.workers[side](word))
        return times


def show(kind, times, bars):
    for word, bar in bars.items():
        row(f"{word}, {kind}", times["ours", word], times["theirs", word], bar)


def stalls():
    """The longest time for which nothing else runs while a connect waits for its client, in each of Nova's modes."""
    print(f"\n{'the longest stall while':60} {'this driver':>24} {'other':>24}")
    for mode in ("threading", "eventlet"):
        novas = Novas(f"nova-{mode}", eventlet=mode == "eventlet")
        for word, client in (("mount_slowly", "mounts in 2 s"), ("hang", "hangs for 2 s")):
            times = novas.in_turns(ROUNDS["stall"], (word,))
            limited(f"the client {client}, {mode}", times["ours", word], times["theirs", word], MOST_STALL)


def attach(novas, state, size):
    """A disk for a running guest and back, which takes all of the calls above."""
    check = ("gone",) if state == "cold" else ()
    times = novas.in_turns(ROUNDS["attach"], ("attach", "wait", "detach", *check))
    show(f"{state}, {size} more mounts", times, dict.fromkeys(("attach", "detach"), SAME))


def warm(novas, where, size, bars):
    """Calls on a share that stays mounted, in turns of ten and by ones."""
    novas.both("hold")
    show(f"warm{where}, {size} more mounts", novas.in_turns(ROUNDS["warm"], CALLS, WARM_TURN), bars)
    # After all that the other side does the processor's caches are not warm.
    show(f"warm{where}, by ones, {size} more mounts", novas.in_turns(ROUNDS["by ones"], CALLS), NO_SLOWER)


def main():
    novas = Novas("nova")
    spread = Novas("nova-spread", processors=ALL_PROCESSORS)
    place = HOME / "nova-table"
    make_table(place)
    filled = 0
    novas.both("boot")
    for size, connect_bar in ((10, 2), (1_000, 20)):
        filled = fill_table(place, size, filled)
        show(f"cold, {size} more mounts", novas.in_turns(ROUNDS["cold"], (*CALLS, "gone")), NO_SLOWER)
        attach(novas, "cold", size)
        warm(novas, "", size, {**NO_SLOWER, "connect": connect_bar})
        attach(novas, "warm", size)
        novas.both("release")
        warm(spread, ", all processors", size, NO_SLOWER)
        spread.both("release")
    novas.both("end")
    drop_table(place)
    stalls()
    save()
    if missed:
        print(f"\nMissed: {', '.join(missed)}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
