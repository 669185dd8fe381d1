"""This driver beside Nova's own in real Nova, in turns: what nova-compute waits for.

Prints medians, their spread and ratios, and beside each the bar it is held to; leaves all numbers in the file named.
Exits with 1 when a bar is missed.
"""

import os
import subprocess
import sys

from mounts import HOME, LAB, Worker, fill_table, make_table, missed, row, save

ROUNDS = {"cold": 15, "warm": 40, "attach": 15}
# Nothing may be slower; what is the same on both sides, such as what libvirt takes, comes out as 1 and some noise.
SAME = 0.9


def in_turns(worker, rounds, words):
    """Has both do the words, one after the other, and returns the times."""
    times = {(side, word): [] for side in ("ours", "theirs") for word in words}
    for number in range(rounds):
        for side in ("ours", "theirs")[:: 1 if number % 2 else -1]:
            for word in words:
                times[side, word].append(worker(side, word))
    return times


def show(kind, times, bars):
    for word, bar in bars.items():
        row(f"{word}, {kind}", times["ours", word], times["theirs", word], bar)


def main():
    directory = HOME / "nova"
    directory.mkdir(parents=True)
    subprocess.run(["chown", "-R", "nova:nova", directory], check=True)
    python = LAB / "venv-nova" / "bin" / "python"
    os.environ["OS_NOVA_DISABLE_EVENTLET_PATCHING"] = "true"
    worker = Worker(python, LAB / "bench" / "in_nova_worker.py", LAB / "tests" / "nova", directory)
    place = HOME / "nova-table"
    make_table(place)
    filled = 0
    words = ("connect", "config", "disconnect")
    for size, connect_bar in ((10, 2), (1_000, 20)):
        filled = fill_table(place, size, filled)
        cold = in_turns(worker, ROUNDS["cold"], words)
        show(f"cold, {size} more mounts", cold, dict.fromkeys(words, SAME))
        for side in ("ours", "theirs"):
            worker(side, "hold")
        warm = in_turns(worker, ROUNDS["warm"], words)
        show(f"warm, {size} more mounts", warm, {"connect": connect_bar, "config": SAME, "disconnect": SAME})
        for side in ("ours", "theirs"):
            worker(side, "release")
    for side in ("ours", "theirs"):
        worker(side, "boot")
    times = in_turns(worker, ROUNDS["attach"], ("attach", "wait", "detach"))
    show(f"through Nova, {filled} more mounts", times, dict.fromkeys(("attach", "detach"), SAME))
    for side in ("ours", "theirs"):
        worker(side, "end")
    save()
    if missed:
        print(f"\nMissed: {', '.join(missed)}")
    return 1 if missed else 0


sys.exit(main())
