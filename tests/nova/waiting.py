"""Waiting for what no event tells, and holding what would otherwise be over too soon."""

import contextlib
import fcntl
import os
import threading
import time
from pathlib import Path

# Ample on a busy machine.
TIMEOUT = 60


def wait_until(description, condition, timeout=TIMEOUT):
    """Wait until a condition holds, and return its answer."""
    deadline = time.monotonic() + timeout
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"in {timeout} s: {description}"
        time.sleep(0.01)
    return answer


def list_directory(directory):
    """Return the paths in a directory; none where it is gone, as a process's may be, or another user's."""
    try:
        return list(directory.iterdir())
    except OSError:
        return []


def is_probe_running(directory):
    """Tell whether a client is being asked, by a driver with its records below a directory."""
    for path in (directory / "state" / "locks").glob("*.probe"):
        with path.open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
    return False


class Background:
    """A call in a thread, or under eventlet in what stands for one."""

    def __init__(self, call, *arguments):
        self._outcome = []
        self._thread = threading.Thread(target=self._run, args=(call, *arguments), daemon=True)
        self._thread.start()

    def _run(self, call, *arguments):
        try:
            self._outcome = [call(*arguments), None]
        except Exception as error:
            self._outcome = [None, error]

    def is_done(self):
        """Tell whether the call is over."""
        return bool(self._outcome)

    def result(self):
        """Wait for the call; return what it returns, or raise what it raises."""
        wait_until("a call to return", self.is_done)
        answer, error = self._outcome
        if error:
            raise error
        return answer


class Gate:
    """Holds clients of the stand-in that are about to mount: they wait to write their process id."""

    def __init__(self, path):
        self.path = path
        os.mkfifo(path)
        path.chmod(0o666)
        # Both ends, so that opening it waits for nobody; then full, so that writing to it waits.
        self._pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        fcntl.fcntl(self._pipe, fcntl.F_SETPIPE_SZ, 4096)
        os.write(self._pipe, b"0" * 4096)

    def waiting(self):
        """Return how many clients have come to the gate."""
        clients = set()
        for process in Path("/proc").glob("[0-9]*"):
            for link in list_directory(process / "fd"):
                with contextlib.suppress(OSError):
                    # A process that is about to become a client has this one's open files for a moment.
                    if os.readlink(link) == str(self.path) and "standin" in os.readlink(process / "exe"):
                        clients.add(process.name)
        return len(clients)

    def open(self):
        """Let them all pass, now and later."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._pipe, 4096)
        fcntl.fcntl(self._pipe, fcntl.F_SETPIPE_SZ, 1 << 20)

    def close(self):
        """Take the gate away."""
        self.open()
        os.close(self._pipe)
        self.path.unlink()
