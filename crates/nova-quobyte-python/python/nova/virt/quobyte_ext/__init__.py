"""Nova's libvirt driver with Quobyte volumes served by nova-quobyte.

In nova.conf: ``[DEFAULT] compute_driver = quobyte_ext.LibvirtDriver``. Nova looks for its drivers
below its own package, hence the place.
"""

from nova.virt.libvirt import driver
from nova_quobyte.registration import VOLUME_DRIVER, register
from oslo_log import log as logging

__all__ = ["LibvirtDriver"]

LOG = logging.getLogger(__name__)


class LibvirtDriver(driver.LibvirtDriver):
    """Nova's own, but that it takes up at once what an earlier run has left of Quobyte volumes."""

    def init_host(self, host: str) -> None:
        """Make the volume driver, which Nova does for the first volume only, and say so if it is another's."""
        super().init_host(host)
        try:
            made = type(self._get_volume_driver({"driver_volume_type": "quobyte"}))
        except Exception:
            # Others' volumes and guests do not depend on it; the first Quobyte volume has it tried again.
            LOG.exception("Quobyte volumes cannot be served")
            return
        name = f"{made.__module__}.{made.__qualname__}"
        if name != VOLUME_DRIVER:
            LOG.error("Quobyte volumes are served by %s, not by %s", name, VOLUME_DRIVER)


register()
