"""Reading and writing images: the policy that the driver chooses against every other that the host can have.

Each set of features that a client can negotiate with the kernel is a share of its own, each answer of whose client takes
a millisecond. There every workload runs with each policy in turn, through qemu-img and in a guest. Prints medians, and
beside each the bar it is held to; leaves all numbers in the file named. Exits with 1 when a bar is missed.
"""

import itertools
import json
import statistics
import sys
import time

from io_disks import Disks, Load
from io_guest import Guest
from io_share import Share
from io_workload import WORKLOADS, image_rate
from lab import machine

LATENCY_US = 1000
FEATURES = [{"async_dio": async_dio, "parallel_direct_writes": parallel, "max_background": background}
            for async_dio, parallel, background in itertools.product((True, False), (False, True), (12, 64))]
# The chosen policy is held to the better of these.
BEST_OF = ("none/native", "none/threads")
FIXED = BEST_OF[0]
POLICIES = (*BEST_OF, "none/io_uring")
OTHERS = ("directsync/native", "directsync/threads", "writeback/threads", "writethrough/threads")
RATE_BAR, LATENCY_BAR = 0.9, 1.5
# A cell that misses its bar is measured so many times more before that counts: noise does not outlast it.
REPEATS = 3


def alternate(policies, rounds, measure):
    """Measures each policy once a round, forwards and backwards by turns."""
    values = {policy: [] for policy in policies}
    for number in range(rounds):
        for policy in policies[:: 1 if number % 2 else -1]:
            values[policy].append(measure(policy))
    return values


def paired(values, policy, other):
    """The median of the ratios of two policies in the same round, so that what disturbs both disturbs neither."""
    return statistics.median(a / b for a, b in zip(values[policy], values[other], strict=False))


def against_best(values, policy):
    """Of the better of native and threads; above 1 where the policy is the better one itself."""
    return min(paired(values, policy, other) for other in BEST_OF if other != policy)


def p95s(times):
    """Of each policy's answers of the monitor, in milliseconds."""
    return {policy: statistics.quantiles(waited, n=20)[-1] for policy, waited in times.items()}


def measured(values, measure, rounds, holds):
    """`values`, and as many rounds more of what decides as it takes to tell a miss from noise."""
    for _ in range(REPEATS):
        if holds(values):
            break
        for policy, more in alternate(BEST_OF, rounds, measure).items():
            values[policy] += more
    return values


class Report:
    """What was measured, and what was missed."""

    def __init__(self):
        self.rates, self.latencies, self.missed = [], [], []

    def rate(self, features, via, workload, chosen, values):
        ratio, fixed = against_best(values, chosen), against_best(values, FIXED)
        self.rates.append({"features": features, "via": via, "workload": workload.name, "chosen": chosen,
                           "rates": values, "chosen_to_best": ratio, "fixed_to_best": fixed})
        medians = "  ".join(f"{policy} {statistics.median(rates):.0f}" for policy, rates in values.items())
        self.tell(f"{via:8} {workload.name:22} x{ratio:.2f} (fixed x{fixed:.2f})", ratio >= RATE_BAR, medians, features)

    def latency(self, features, workload, chosen, values):
        p95 = p95s(values)
        ratio = p95[chosen] / p95["none/threads"]
        self.latencies.append({"features": features, "workload": workload.name, "chosen": chosen, "p95_ms": p95})
        medians = "  ".join(f"{policy} {value:.2f}" for policy, value in p95.items())
        self.tell(f"{'monitor':8} {workload.name:22} x{ratio:.2f} p95 in ms", ratio <= LATENCY_BAR, medians, features)

    def tell(self, what, holds, medians, features):
        print(f"{what:64} {'holds' if holds else 'MISSED'}  {medians}", flush=True)
        if not holds:
            self.missed.append(f"{describe(features)}: {what}")


def describe(features):
    return ", ".join(f"{name}={'on' if value is True else 'off' if value is False else value}"
                     for name, value in features.items())


def through_images(share, report):
    for workload in WORKLOADS:
        rate = image_rate(share, workload)
        values = alternate(POLICIES, 5, rate)
        measured(values, rate, 5, lambda values: against_best(values, share.chosen) >= RATE_BAR)
        values |= alternate(OTHERS, 2, rate)
        report.rate(share.features, "qemu-img", workload, share.chosen, values)


def through_guest(share, guest, report):
    policies = [policy for policy in POLICIES if share.allows(policy)]
    with Disks(guest, share, policies) as disks:
        for workload in WORKLOADS:
            times = {policy: [] for policy in policies}
            with Load(disks, workload) as load:
                def rate(policy):
                    value, waited = load.run(policy)
                    times[policy] += waited
                    return value

                def holds(values):
                    p95 = p95s(times)
                    is_calm = not workload.writes or p95[share.chosen] <= LATENCY_BAR * p95["none/threads"]
                    return is_calm and against_best(values, share.chosen) >= RATE_BAR

                values = measured(alternate(policies, 3, rate), rate, 3, holds)
            report.rate(share.features, "guest", workload, share.chosen, values)
            if workload.writes:
                report.latency(share.features, workload, share.chosen, times)


def main():
    began = time.monotonic()
    report = Report()
    with Guest() as guest:
        for features in FEATURES:
            with Share(features, LATENCY_US) as share:
                print(f"\n{describe(features)}: the driver chooses {share.chosen}", flush=True)
                through_images(share, report)
                through_guest(share, guest, report)
    worst, worst_fixed = (min(rate[key] for rate in report.rates) for key in ("chosen_to_best", "fixed_to_best"))
    print(f"\nOf {len(report.rates)} cells the worst of the chosen policy has x{worst:.2f} of the best, "
          f"the worst of {FIXED} x{worst_fixed:.2f}; {time.monotonic() - began:.0f} s")
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        json.dump({"machine": machine(), "latency_us": LATENCY_US, "rates": report.rates,
                   "monitor": report.latencies}, file, indent=1)
    if report.missed:
        print("\nMissed:", *report.missed, sep="\n  ")
    return 1 if report.missed else 0


sys.exit(main())
