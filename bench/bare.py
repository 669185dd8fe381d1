"""Nothing but the client: what mounting costs at the least. Same protocol as in_tree.py."""

import os
import subprocess
import sys
import time

BASE, CLIENT_CFG = sys.argv[1:3]


def begin(word, export):
    """Starts the client, or what unmounts, for a directory of the export's own."""
    path = os.path.join(BASE, os.path.basename(export))
    os.makedirs(path, exist_ok=True)
    command = (["mount.quobyte", "--disable-xattrs", export, path, "-c", CLIENT_CFG] if word == "connect"
               else ["fusermount3", "-u", path])
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


for line in sys.stdin:
    word, export, count = line.split()
    began = time.perf_counter_ns()
    if word.endswith("-all"):
        running = [begin(word.removesuffix("-all"), f"{export}{number}") for number in range(int(count))]
    else:
        running = [begin(word, export)]
    if any([process.wait() for process in running]):
        raise RuntimeError(f"{line} failed")
    print(time.perf_counter_ns() - began, flush=True)
