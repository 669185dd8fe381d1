"""Calls of the native module and of libvirt, with Nova's threads, logs and exceptions."""

import functools
import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import libvirt
from nova import exception, objects
from oslo_log import log as logging

from nova_quobyte import _native, releases

LOG = logging.getLogger(__name__)

Result = TypeVar("Result")

# Nova's exceptions by code, then by kind. Any other error raises the exception of the operation.
_EXCEPTION_BY_CODE = {
    "image_missing": exception.VolumeNotFound,
    "mount_stale": exception.StaleVolumeMount,
    "mount_hung": exception.StaleVolumeMount,
    _native.HOST_EXHAUSTED: exception.ComputeResourcesUnavailable,
}
_EXCEPTION_BY_KIND = {"invalid": exception.InvalidVolume, "image": exception.InvalidVolume}


def call_native(
    method: Callable[..., Result],
    *arguments: object,
    default_error: type[exception.NovaException],
    volume_id: str | None = None,
    instance: objects.Instance | None = None,
) -> Result:
    """Call a native method, and log its records.

    It raises Nova's exception for the error's code or kind, else ``default_error``.
    """
    log_records: list[tuple[int, str]] = []
    _follow_log_level()
    try:
        return run_blocking(method, log_records, *arguments)
    except _native.QuobyteError as error:
        log_records.append((logging.ERROR, f"{error} [{error.code}]"))
        # ``from None``: the text of the cause may name hosts, and must not be shown with the exception.
        raise _to_nova_exception(error, default_error, volume_id) from None
    finally:
        for level, text in log_records:
            LOG.log(level, "%s: %s", _message_prefix(volume_id), text, instance=instance)


class _Debugging:
    """Whether the native module reports what is for debugging alone."""

    wanted = False


def _follow_log_level() -> None:
    """Have it do so while Nova logs that: ``debug`` may change while nova-compute runs."""
    wanted = LOG.isEnabledFor(logging.DEBUG)
    if wanted != _Debugging.wanted:
        _native.log_debug_lines(wanted)
        _Debugging.wanted = wanted


def call_libvirt(method: Callable[..., Result], *arguments: object) -> Result:
    """Call libvirt; if that fails, raise the exception of Nova's own volume drivers for a missing hypervisor."""
    try:
        return run_blocking(method, *arguments)
    except libvirt.libvirtError as error:
        LOG.error("%s: %s [%s]", _message_prefix(None), _native.one_line(str(error)), _native.LIBVIRT_ERROR)
        raise exception.HypervisorUnavailable(
            f"{_message_prefix(None)}: the hypervisor failed [{_native.LIBVIRT_ERROR}]"
        ) from None


def start_thread(target: Callable[[], None]) -> threading.Thread:
    """Start a thread that ends with the process; raise Nova's exception for resources if there is none to be had."""
    thread = threading.Thread(target=target, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        LOG.error("%s: %s [%s]", _message_prefix(None), error, _native.HOST_EXHAUSTED)
        raise exception.ComputeResourcesUnavailable(
            f"{_message_prefix(None)}: the host has no thread left for it [{_native.HOST_EXHAUSTED}]"
        ) from None
    return thread


def run_blocking(method: Callable[..., Result], *arguments: object) -> Result:
    """Make a blocking call. With eventlet it runs in the thread pool: all else of nova-compute shares one thread."""
    if releases.has_eventlet_threads():
        from eventlet import tpool

        with _pool_limit():
            return tpool.execute(method, *arguments)
    return method(*arguments)


@functools.cache
def _pool_limit() -> Any:  # noqa: ANN401
    """Limit our calls to half of eventlet's threads: the rest stays free for Nova's calls of libvirt."""
    from eventlet.semaphore import Semaphore

    # eventlet's own variable and default.
    threads = int(os.environ.get("EVENTLET_THREADPOOL_SIZE", "20"))
    return Semaphore(max(1, threads // 2))


def _to_nova_exception(
    error: _native.QuobyteError,
    default_error: type[exception.NovaException],
    volume_id: str | None,
) -> exception.NovaException:
    """Make Nova's exception. A tenant may see its text, so that has no more than the error's summary."""
    exception_class = _EXCEPTION_BY_CODE.get(error.code) or _EXCEPTION_BY_KIND.get(error.kind, default_error)
    return exception_class(f"{_message_prefix(volume_id)}: {error.summary} [{error.code}]")


def _message_prefix(volume_id: str | None) -> str:
    return f"Quobyte volume {volume_id}" if volume_id else "Quobyte"
