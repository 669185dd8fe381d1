"""Calls of the native module, with Nova's manners: threads, logs and exceptions."""

import functools
import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import libvirt
from nova import exception, objects
from oslo_log import log as logging

from nova_quobyte import _native

LOG = logging.getLogger(__name__)

Answer = TypeVar("Answer")

# Nova's exceptions by code, then by kind. For the others it is that of the operation.
_BY_CODE = {
    "image_missing": exception.VolumeNotFound,
    "mount_stale": exception.StaleVolumeMount,
    "mount_hung": exception.StaleVolumeMount,
}
_BY_KIND = {"invalid": exception.InvalidVolume, "image": exception.InvalidVolume}


def call(
    method: Callable[..., Answer],
    *arguments: object,
    otherwise: type[exception.NovaException],
    volume_id: str | None = None,
    instance: objects.Instance | None = None,
) -> Answer:
    """Call a native method, and log what it had to say.

    It raises what Nova has for the failure, else ``otherwise``.
    """
    said: list[tuple[int, str]] = []
    try:
        return run(method, said, *arguments)
    except _native.QuobyteError as error:
        said.append((logging.ERROR, f"{error} [{error.code}]"))
        # Not caused by the error as far as others see: its text may name hosts.
        raise _translate(error, otherwise, volume_id) from None
    finally:
        for level, text in said:
            LOG.log(level, "%s: %s", _subject(volume_id), text, instance=instance)


def ask(method: Callable[..., Answer], *arguments: object) -> Answer:
    """Call libvirt; where that fails, raise what Nova's own volume drivers do without a hypervisor."""
    try:
        return run(method, *arguments)
    except libvirt.libvirtError as error:
        LOG.error("%s: %s [libvirt_error]", _subject(None), error)
        raise exception.HypervisorUnavailable(f"{_subject(None)}: the hypervisor failed [libvirt_error]") from None


def run(method: Callable[..., Answer], *arguments: object) -> Answer:
    """Call something that waits where it stalls nobody: in eventlet's mode there is but one thread for everything."""
    patcher: Any = sys.modules.get("eventlet.patcher")
    if patcher and patcher.is_monkey_patched("thread"):
        from eventlet import tpool

        with _places_in_pool():
            return tpool.execute(method, *arguments)
    return method(*arguments)


@functools.cache
def _places_in_pool() -> Any:  # noqa: ANN401
    """Count half of eventlet's threads: the rest stays free for Nova's calls of libvirt when all of ours wait."""
    from eventlet.semaphore import Semaphore

    # eventlet's own variable and default.
    threads = int(os.environ.get("EVENTLET_THREADPOOL_SIZE", "20"))
    return Semaphore(max(1, threads // 2))


def _translate(
    error: _native.QuobyteError,
    otherwise: type[exception.NovaException],
    volume_id: str | None,
) -> exception.NovaException:
    """Make Nova's exception. A tenant may be shown its text, so it has no more than a summary."""
    kind = _BY_CODE.get(error.code) or _BY_KIND.get(error.kind, otherwise)
    return kind(f"{_subject(volume_id)}: {error.summary} [{error.code}]")


def _subject(volume_id: str | None) -> str:
    return f"Quobyte volume {volume_id}" if volume_id else "Quobyte"
