"""Nothing but the client: what mounting costs at the least. Same protocol as in_tree.py."""

import os
import subprocess
import sys
import time

BASE, CLIENT_CFG = sys.argv[1:3]

for line in sys.stdin:
    word, export, _ = line.split()
    path = os.path.join(BASE, "bare")
    os.makedirs(path, exist_ok=True)
    command = (["mount.quobyte", "--disable-xattrs", export, path, "-c", CLIENT_CFG] if word == "connect"
               else ["fusermount3", "-u", path])
    began = time.perf_counter_ns()
    subprocess.run(command, check=True, capture_output=True)
    print(time.perf_counter_ns() - began, flush=True)
