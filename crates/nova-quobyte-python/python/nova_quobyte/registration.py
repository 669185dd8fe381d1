"""Making Nova know this driver."""

from nova.virt.libvirt import driver
from oslo_log import log as logging

from nova_quobyte import options

LOG = logging.getLogger(__name__)

VOLUME_DRIVER = "nova_quobyte.volume.LibvirtQuobyteVolumeDriver"


def register() -> None:
    """Have Nova's libvirt driver serve Quobyte volumes with this driver from now on.

    It takes the place of Nova's own, which Nova will drop. Calling it again changes nothing.
    """
    options.register()
    driver.VOLUME_DRIVERS["quobyte"] = VOLUME_DRIVER
    LOG.info("Quobyte volumes are served by %s", VOLUME_DRIVER)
