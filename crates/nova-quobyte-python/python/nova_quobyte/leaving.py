"""Shares that wait for instances to release volumes which Nova has disconnected."""

import threading
from pathlib import Path

from nova import exception
from oslo_log import log as logging

from nova_quobyte import _native
from nova_quobyte.calls import call_native, start_thread

LOG = logging.getLogger(__name__)

# How long to wait for an event of libvirt's, in seconds: at first, and at most.
_FIRST_WAIT = 1.0
_LONGEST_WAIT = 60.0

# Findings that change by themselves: the instance has the volume, that is not known, or QEMU has yet to close a file.
_NOT_YET = ("leaving", "unknown", "unknown_guest", "busy")


class LeavingShares:
    """Takes shares down once the instances that use them have released them.

    Nova disconnects the volumes of an instance before it undefines its domain. What the domain holds until then, such
    as the state of a suspended instance, is released when Nova's call has returned.
    """

    def __init__(self, native: _native.NativeDriver) -> None:
        self._native = native
        self._lock = threading.Lock()
        self._is_running = False
        self._shares: set[Path] = set()

    def add(self, mount_path: Path) -> None:
        """Take the share down in the background as soon as nobody uses it."""
        with self._lock:
            self._shares.add(mount_path)
            if self._is_running:
                return
            self._is_running = True
        try:
            start_thread(self._run)
        except exception.ComputeResourcesUnavailable:
            # It is logged, and the volume is disconnected. The share waits for the next one that is added.
            with self._lock:
                self._is_running = False

    def _run(self) -> None:
        seen = 0
        wait = _FIRST_WAIT
        while True:
            seen = call_native(self._native.wait_for_domain_event, seen, wait, default_error=exception.InternalError)
            wait = min(wait * 2, _LONGEST_WAIT)
            with self._lock:
                shares, self._shares = self._shares, set()
            leaving = {mount_path for mount_path in shares if self._is_leaving(mount_path)}
            with self._lock:
                # Those that were added meanwhile are among them.
                self._shares |= leaving
                if not self._shares:
                    self._is_running = False
                    return

    def _is_leaving(self, mount_path: Path) -> bool:
        """Reconcile the share; return whether it may yet be released."""
        try:
            findings = call_native(self._native.reconcile_share, mount_path, default_error=exception.InternalError)
        except exception.NovaException:
            # call_native has logged the error; the next look may succeed.
            return True
        for finding in findings:
            LOG.debug("Quobyte share %s: %s", mount_path, finding.code)
        return any(finding.code in _NOT_YET for finding in findings)
