"""This driver beside Nova's own in real Nova, in turns: what nova-compute waits for, and what keeps it from all else.

Prints medians, their spread and ratios, and beside each the bar it is held to; leaves all numbers in the file named.
Exits with 1 when a bar is missed.
"""

import os
import subprocess
import sys

from mounts import HOME, LAB, Worker, fill_table, limited, make_table, missed, row, save

ROUNDS = {"cold": 15, "warm": 10, "by ones": 40, "attach": 15, "stall": 5}
# How often a side goes through the same before it is the other's turn. A warm call of ours takes less than a
# millisecond, and after one turn of the other side, whose calls start processes, twice as long as after one of its own.
WARM_TURN = 10
# Nothing may be slower; what is the same on both sides, such as what libvirt takes, comes out as 1 and some noise.
SAME = 0.9
# Milliseconds for which a connect may keep everything else in nova-compute from running.
MOST_STALL = 100


def nova(name, *, eventlet):
    """A worker with a Nova of its own, in one of Nova's modes."""
    directory = HOME / name
    directory.mkdir(parents=True)
    subprocess.run(["chown", "-R", "nova:nova", directory], check=True)
    os.environ["OS_NOVA_DISABLE_EVENTLET_PATCHING"] = str(not eventlet).lower()
    python = LAB / "venv-nova" / "bin" / "python"
    return Worker(python, LAB / "bench" / "in_nova_worker.py", LAB / "tests" / "nova", directory)


def in_turns(worker, rounds, words, turn=1):
    """Has both do the words, a turn each after the other, and returns all the times."""
    times = {(side, word): [] for side in ("ours", "theirs") for word in words}
    for number in range(rounds):
        for side in ("ours", "theirs")[:: 1 if number % 2 else -1]:
            for word in words * turn:
                times[side, word].append(worker(side, word))
    return times


def show(kind, times, bars):
    for word, bar in bars.items():
        row(f"{word}, {kind}", times["ours", word], times["theirs", word], bar)


def stalls():
    """The longest time for which nothing else runs while a connect waits for its client, in each of Nova's modes."""
    print(f"\n{'the longest stall while':44} {'this driver':>24} {'other':>24}")
    for mode in ("threading", "eventlet"):
        worker = nova(f"nova-{mode}", eventlet=mode == "eventlet")
        for word, client in (("mount_slowly", "mounts in 2 s"), ("hang", "hangs for 2 s")):
            times = in_turns(worker, ROUNDS["stall"], (word,))
            limited(f"the client {client}, {mode}", times["ours", word], times["theirs", word], MOST_STALL)


def attach(worker, state, size):
    """A disk for a running guest and back, which takes all of the calls above."""
    times = in_turns(worker, ROUNDS["attach"], ("attach", "wait", "detach"))
    show(f"{state}, {size} more mounts", times, dict.fromkeys(("attach", "detach"), SAME))


def both(worker, word):
    for side in ("ours", "theirs"):
        worker(side, word)


def main():
    worker = nova("nova", eventlet=False)
    place = HOME / "nova-table"
    make_table(place)
    filled = 0
    words = ("connect", "config", "disconnect")
    same = dict.fromkeys(words, SAME)
    both(worker, "boot")
    for size, connect_bar in ((10, 2), (1_000, 20)):
        filled = fill_table(place, size, filled)
        cold = in_turns(worker, ROUNDS["cold"], words)
        show(f"cold, {size} more mounts", cold, same)
        attach(worker, "cold", size)
        both(worker, "hold")
        warm = in_turns(worker, ROUNDS["warm"], words, WARM_TURN)
        show(f"warm, {size} more mounts", warm, {**same, "connect": connect_bar})
        by_ones = in_turns(worker, ROUNDS["by ones"], words)
        show(f"warm, by ones, {size} more mounts", by_ones, {**same, "connect": connect_bar})
        attach(worker, "warm", size)
        both(worker, "release")
    both(worker, "end")
    stalls()
    save()
    if missed:
        print(f"\nMissed: {', '.join(missed)}")
    return 1 if missed else 0


sys.exit(main())
