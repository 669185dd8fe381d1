"""This driver beside Nova's own in real Nova, in turns: what nova-compute waits for, and what keeps it from all else.

Prints medians, their spread and ratios, and beside each the bar it is held to; leaves all numbers in the file named.
Exits with 1 when a bar is missed.
"""

import os
import sys

from lab import HOME, LAB, give_to_nova
from mounts import Worker, fill_table, limited, make_table, missed, row, save

ROUNDS = {"cold": 15, "warm": 10, "by ones": 60, "attach": 15, "stall": 5}
# How often a side does the same before it is the other's turn.
WARM_TURN = 10
# All of both sides runs on it. Here a processor that sleeps is a virtual one, and to wake it takes longer than most of
# what it is woken for: it would be measured how often that happens.
PROCESSOR = str(min(os.sched_getaffinity(0)))
# Nothing may be slower; what is the same on both sides, such as what libvirt takes, comes out as 1 and some noise.
SAME = 0.9
# Milliseconds for which a connect may keep everything else in nova-compute from running.
MOST_STALL = 100
SIDES = ("ours", "theirs")


class Novas:
    """A Nova of its own for each driver, in one of Nova's modes. No nova-compute has both, and one pays for what the
    other leaves behind in its process: pages to be copied after each fork."""

    def __init__(self, name, *, eventlet):
        os.environ["OS_NOVA_DISABLE_EVENTLET_PATCHING"] = str(not eventlet).lower()
        self.workers = {side: self.worker(HOME / f"{name}-{side}", side) for side in SIDES}

    @staticmethod
    def worker(directory, side):
        directory.mkdir(parents=True)
        give_to_nova(directory)
        nova = LAB / "venv-nova" / "bin" / "python", LAB / "bench" / "in_nova_worker.py"
        return Worker("taskset", "--cpu-list", PROCESSOR, *nova, LAB / "tests" / "nova", directory, side)

    def both(self, word):
        for worker in self.workers.values():
            worker(word)

    def in_turns(self, rounds, words, turn=1):
        """Have both do the words, a turn each after the other, and return all the times."""
        times = {(side, word): [] for side in SIDES for word in words}
        for number in range(rounds):
            for side in SIDES[:: 1 if number % 2 else -1]:
                for word in words * turn:
                    times[side, word].append(self.workers[side](word))
        return times


def show(kind, times, bars):
    for word, bar in bars.items():
        row(f"{word}, {kind}", times["ours", word], times["theirs", word], bar)


def stalls():
    """The longest time for which nothing else runs while a connect waits for its client, in each of Nova's modes."""
    print(f"\n{'the longest stall while':44} {'this driver':>24} {'other':>24}")
    for mode in ("threading", "eventlet"):
        novas = Novas(f"nova-{mode}", eventlet=mode == "eventlet")
        for word, client in (("mount_slowly", "mounts in 2 s"), ("hang", "hangs for 2 s")):
            times = novas.in_turns(ROUNDS["stall"], (word,))
            limited(f"the client {client}, {mode}", times["ours", word], times["theirs", word], MOST_STALL)


def attach(novas, state, size):
    """A disk for a running guest and back, which takes all of the calls above."""
    times = novas.in_turns(ROUNDS["attach"], ("attach", "wait", "detach"))
    show(f"{state}, {size} more mounts", times, dict.fromkeys(("attach", "detach"), SAME))


def main():
    novas = Novas("nova", eventlet=False)
    place = HOME / "nova-table"
    make_table(place)
    filled = 0
    words = ("connect", "config", "disconnect")
    same = dict.fromkeys(words, SAME)
    novas.both("boot")
    for size, connect_bar in ((10, 2), (1_000, 20)):
        filled = fill_table(place, size, filled)
        cold = novas.in_turns(ROUNDS["cold"], words)
        show(f"cold, {size} more mounts", cold, same)
        attach(novas, "cold", size)
        novas.both("hold")
        warm = novas.in_turns(ROUNDS["warm"], words, WARM_TURN)
        show(f"warm, {size} more mounts", warm, {**same, "connect": connect_bar})
        # After whatever the other side does the processor's caches are not warm.
        by_ones = novas.in_turns(ROUNDS["by ones"], words)
        show(f"warm, by ones, {size} more mounts", by_ones, same)
        attach(novas, "warm", size)
        novas.both("release")
    novas.both("end")
    stalls()
    save()
    if missed:
        print(f"\nMissed: {', '.join(missed)}")
    return 1 if missed else 0


sys.exit(main())
