"""What this package does otherwise in one release of Nova than in another, of those that it runs in, 26 to 34.

What differs between them and needs nothing done here:

- 29: Nova names each disk, and calls an attachment's encryption ``volume_encryption``.
- 31: ``nova.virt`` is a regular package, so that ``quobyte_ext`` has to be in the same directory.
- 33: a guest has one IOThread.
- 34: Nova's objects for libvirt's XML take keywords alone.
"""

import sys
from collections.abc import Iterable
from typing import Any

from oslo_config import types


def has_eventlet_threads() -> bool:
    """Tell whether all of nova-compute shares one thread, by eventlet: before 33 always, from 33 on by choice."""
    patcher: Any = sys.modules.get("eventlet.patcher")
    # 33 and 34 import eventlet to keep others from doing so.
    return patcher is not None and bool(patcher.is_monkey_patched("thread"))


def integer_of(choices: Iterable[int]) -> types.Integer:
    """Return an option's type: one of these numbers. ``IntOpt`` takes choices only with the oslo.config of 27."""
    return types.Integer(choices=list(choices))
