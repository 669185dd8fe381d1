"""The native module in a process with unusual surroundings: none of them decides over an operation."""

import contextlib
import json
import subprocess
import sys
import threading
from pathlib import Path
from unittest import mock

import pytest
from nova import exception
from nova_quobyte import calls, leaving, options
from waiting import wait_until

PROGRAM = Path(__file__).with_name("edge_program.py")
CLOCK = Path(__file__).parents[1] / "lab/jumping_clock.c"

# What a shell does before it becomes the program, and what follows the program's command line there.
EDGES = {
    "output closed": ("", ">&-"),
    "output full": ("", ">/dev/full"),
    "output broken": ("", "> >(true)"),
    "errors closed": ("", "2>&-"),
    "errors full": ("", "2>/dev/full"),
    "errors broken": ("", "2> >(true)"),
    "streams closed": ("", "<&- >&- 2>&-"),
    "umask 000": ("umask 000;", ""),
    "umask 027": ("umask 027;", ""),
    "umask 077": ("umask 077;", ""),
    "umask 777": ("umask 777;", ""),
    "no home": ("unset HOME; export TMPDIR=/nonexistent LC_ALL=de_DE.UTF-8;", ""),
    "directory gone": ("mkdir gone && cd gone && rmdir ../gone;", ""),
    "clock jumps": ("env LD_PRELOAD=$PWD/clock.so", ""),
    "children ignored": ("env --ignore-signal=CHLD", ""),
    "signals ignored": ("env --ignore-signal", ""),
    "signals blocked": ("env --block-signal", ""),
}


@pytest.fixture
def run_program(compute, storage, scratch):
    """Runs the program with a volume, and returns what came of it."""

    def run(before="", after="", *arguments):
        native = {**options.native(7_002_000, 9_000_000, None), "launcher": "direct"}
        report = scratch / "report"
        # Made with this process's umask.
        report.touch()
        subprocess.run(["cc", "-shared", "-fPIC", "-o", scratch / "clock.so", CLOCK], check=True)
        words = [sys.executable, PROGRAM, json.dumps(native), json.dumps(storage.volume()), report, *arguments]
        execute = before if before.startswith("env") else f"{before} exec"
        shell = ["bash", "-c", f'{execute} "$@" {after}', "bash", *words]
        finished = subprocess.run(shell, cwd=scratch, stderr=subprocess.PIPE, timeout=300, check=False)
        outcome = json.loads(report.read_text())
        assert finished.returncode == 0, outcome
        return outcome

    return run


@pytest.mark.parametrize("edge", EDGES)
def test_surroundings_decide_nothing(run_program, storage, edge):
    streams = run_program(*EDGES[edge])
    # What a library prints must not end in a file of ours.
    assert not any(str(storage.state) in stream for stream in streams)
    storage.await_release()


def test_few_descriptors_leave_nothing_half_done(run_program):
    codes = run_program("", "", "few descriptors")
    assert codes[-2:] == ["done", "done"]
    assert set(codes) == {"done", "host_exhausted"}


def test_little_memory_leaves_nothing_half_done(run_program):
    codes = set(run_program("", "", "little memory"))
    assert {"done", "host_exhausted"} <= codes <= {"done", "host_exhausted", "MemoryError"}


def test_no_process_is_host_exhausted(run_program):
    assert run_program("", "", "no process") == ["host_exhausted"]


def test_held_guest_holds_few_threads(run_program):
    # As many questions as may be under way.
    assert run_program("", "", "held guest") <= 4


@pytest.fixture
def no_thread(monkeypatch):
    """Has no thread start for as long as a with block takes."""

    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    @contextlib.contextmanager
    def no_thread():
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            yield

    return no_thread


def test_missing_thread_has_nova_exception(no_thread):
    with no_thread(), pytest.raises(exception.ComputeResourcesUnavailable, match=r"\[host_exhausted\]$"):
        calls.start_thread(lambda: None)


def test_leaving_share_waits_for_thread(no_thread):
    native = mock.Mock()
    native.wait_for_domain_event.return_value = 0
    native.reconcile_share.return_value = []
    shares = leaving.LeavingShares(native)
    with no_thread():
        shares.add(Path("/first"))
    shares.add(Path("/second"))
    wait_until("both shares to be reconciled", lambda: native.reconcile_share.call_count == 2)
