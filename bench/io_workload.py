"""What is done to images, and how fast qemu-img does it."""

import dataclasses
import re

from io_share import IMAGE_SIZE
from lab import as_nova, output

# Long enough for a rate, in seconds.
DURATION = 0.15
# Between two requests of a random workload: all over the image, without coming back before it has been everywhere.
RANDOM_STEP = 4096 * 10007


@dataclasses.dataclass(frozen=True)
class Workload:
    name: str
    writes: bool
    size: int
    depth: int

    @property
    def is_random(self):
        return self.size == 4096


WORKLOADS = (
    Workload("4k random read d1", False, 4096, 1),
    Workload("4k random read d32", False, 4096, 32),
    Workload("4k random write d1", True, 4096, 1),
    Workload("4k random write d32", True, 4096, 32),
    Workload("1M sequential read", False, 1 << 20, 4),
    Workload("1M sequential write", True, 1 << 20, 4),
)


def image_rate(share, workload):
    """A function that runs qemu-img with a policy and returns its requests a second.

    The first run with a policy is short, and tells how long the others have to be.
    """
    counts = {}

    def run(policy):
        cache, mode = policy.split("/")
        count = counts.get(policy, max(48, 4 * workload.depth))
        step = RANDOM_STEP if workload.is_random else workload.size
        command = ["qemu-img", "bench", "-f", "raw", "-t", cache, "-i", mode, "-c", count, "-d", workload.depth,
                   "-s", workload.size, "-S", step, *(["-w"] if workload.writes else []), share.path]
        text = output(*command, cwd="/", **as_nova())
        rate = count / float(re.search(r"Run completed in ([0-9.]+) seconds", text)[1])
        if policy not in counts:
            counts[policy] = max(count, int(rate * DURATION))
            return run(policy)
        return rate

    return run
