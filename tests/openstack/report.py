"""Puts the results of Tempest's runs into the table of docs/TESTING.md.

report.py RESULTS DOCUMENT

RESULTS has a directory for each kind of run, DRIVER-TYPE, with subunit streams by time: the last result of a test
counts. The table is what lies between two comments of DOCUMENT.
"""

import pathlib
import sys

import subunit
import testtools

RUNS = ["in-tree-qcow2", "ours-qcow2", "in-tree-raw", "ours-raw"]
WORDS = {"success": "pass", "skip": "skip", "fail": "**fail**"}
BEGIN, END = "<!-- results: begin -->\n", "<!-- results: end -->\n"


def read(stream: pathlib.Path) -> dict[str, dict]:
    """The outcome of each test, and of each class whose set-up decided for all of its tests."""
    tests = {}
    result = testtools.StreamToDict(lambda test: tests.update({test["id"]: test}))
    result.startTestRun()
    with stream.open("rb") as source:
        subunit.ByteStreamToStreamResult(source).run(result)
    result.stopTestRun()
    return tests


def name(test: str) -> str:
    """Without the module's common beginning and the identifiers that Tempest appends."""
    bare = test.split("[")[0].removesuffix(")").removeprefix("setUpClass (").removeprefix("tearDownClass (")
    return bare.removeprefix("tempest.")


def cell(test: dict | None) -> str:
    if test is None:
        return ""
    if interrupted(test):
        return "interrupted"
    begin, end = test["timestamps"]
    return f"{WORDS[test['status']]} {(end - begin).total_seconds():.0f} s"


def interrupted(test: dict) -> bool:
    """Of a test that was ended with its run there is a failure without a reason."""
    return test["status"] == "fail" and not why(test)


def why(test: dict) -> str:
    """The reason of a skip, or the last line of a failure."""
    details = test["details"]
    text = details["reason"] if "reason" in details else details.get("traceback")
    return text.as_text().strip().splitlines()[-1] if text else ""


def main(results: str, document: str) -> None:
    runs = {run: {} for run in RUNS}
    for run in RUNS:
        for stream in sorted(pathlib.Path(results, run).glob("*.subunit")):
            runs[run].update((name(test), outcome) for test, outcome in read(stream).items())
    lines = ["| test | " + " | ".join(RUNS) + " |", "|---|" + "---|" * len(RUNS)]
    notes = {}
    for test in sorted(set().union(*runs.values())):
        outcomes = [runs[run].get(test) for run in RUNS]
        lines.append(f"| {test} | " + " | ".join(map(cell, outcomes)) + " |")
        for run, outcome in zip(RUNS, outcomes, strict=True):
            if outcome and outcome["status"] != "success" and not interrupted(outcome):
                notes.setdefault((WORDS[outcome["status"]], test, why(outcome)), []).append(run)
    counts = []
    for run in RUNS:
        statuses = [outcome["status"] for outcome in runs[run].values()]
        counts.append(", ".join(f"{statuses.count(status)} {word}" for status, word in WORDS.items()))
    lines.append("| all | " + " | ".join(counts) + " |")

    text = pathlib.Path(document).read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    explained = [
        f"- {status}: {test} ({', '.join(who)}): {reason}" for (status, test, reason), who in sorted(notes.items())
    ]
    table = "\n".join([*lines, "", *explained])
    pathlib.Path(document).write_text(f"{before}{BEGIN}\n{table}\n\n{END}{after}")


main(*sys.argv[1:])
