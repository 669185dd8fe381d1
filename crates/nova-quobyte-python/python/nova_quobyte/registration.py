"""Making Nova know this driver."""

from nova.virt.libvirt import driver
from oslo_log import log as logging

from nova_quobyte import options

LOG = logging.getLogger(__name__)

VOLUME_DRIVER = "nova_quobyte.volume.LibvirtQuobyteVolumeDriver"


def register() -> None:
    """Have Nova's libvirt driver serve Quobyte volumes with this driver from now on.

    It takes the place of Nova's own, if Nova still has one. Calling it again changes nothing.
    """
    options.register()
    driver.VOLUME_DRIVERS["quobyte"] = VOLUME_DRIVER


class LibvirtDriver(driver.LibvirtDriver):
    """Nova's own, but that it takes up at once what an earlier run has left of Quobyte volumes."""

    def init_host(self, host: str) -> None:
        """Make the volume driver, which Nova does for the first volume only, and say which it is."""
        super().init_host(host)
        try:
            made = type(self._get_volume_driver({"driver_volume_type": "quobyte"}))
        except Exception:
            # Others' volumes and guests do not depend on it; the first Quobyte volume has it tried again.
            LOG.exception("Quobyte volumes cannot be served")
            return
        name = f"{made.__module__}.{made.__qualname__}"
        if name == VOLUME_DRIVER:
            LOG.info("Quobyte volumes are served by %s", name)
        else:
            LOG.error("Quobyte volumes are served by %s, not by %s", name, VOLUME_DRIVER)
