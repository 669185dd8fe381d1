#!/usr/bin/env python3
"""Writes the table of releases in docs/NOVA.md from what the runs have left in target/nova-results, or checks it.

    tests/nova/report.py [--check]

Each run of all tests leaves its own file, so a row is that of the last run.
"""

import difflib
import json
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
RESULTS = REPOSITORY / "target" / "nova-results"
DOCUMENT = REPOSITORY / "docs" / "NOVA.md"
BEGIN, END = "<!-- releases: begin -->\n", "<!-- releases: end -->\n"
COLUMNS = ("Nova", "Debian", "Python", "libvirt", "QEMU", "threads", "tests passed", "tested by")


def command(outcome):
    """Return what runs these tests."""
    if outcome["from"] == "Debian":
        return "make nova-debian"
    if outcome["debian"] != "12":
        return "make debian-13"
    return "make nova" if outcome["nova"].startswith("34.") else "make nova-releases"


def row(outcome):
    """Return a run's row."""
    count = sum(outcome[name] for name in ("passed", "failed", "error", "skipped"))
    cells = (
        f"{outcome['nova']} ({outcome['from']})",
        *(outcome[name] for name in ("debian", "python", "libvirt", "qemu", "mode")),
        f"{outcome['passed']} of {count}",
        f"`{command(outcome)}`",
    )
    return f"| {' | '.join(cells)} |\n"


def table():
    """Return the table of all runs."""
    outcomes = [json.loads(file.read_text()) for file in RESULTS.glob("*.json")]
    # The latest release first.
    outcomes.sort(key=lambda run: (-float(run["nova"]), int(run["debian"]), run["from"], run["mode"] == "eventlet"))
    head = f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|\n"
    return f"\n{head}{''.join(row(outcome) for outcome in outcomes)}\n"


def main():
    """Write the table, or fail with what differs."""
    document = DOCUMENT.read_text()
    before, rest = document.split(BEGIN)
    _, after = rest.split(END)
    wanted = f"{before}{BEGIN}{table()}{END}{after}"
    if sys.argv[1:] == ["--check"]:
        lines = (text.splitlines(keepends=True) for text in (document, wanted))
        difference = "".join(difflib.unified_diff(*lines, "docs/NOVA.md", "the runs"))
        sys.exit(difference or None)
    DOCUMENT.write_text(wanted)


main()
