"""Nova's libvirt volume driver for Quobyte: Nova's words for what the native module does."""

import threading
from typing import Any

from nova import exception
from nova.virt import block_device
from nova.virt.libvirt import host as libvirt_host
from nova.virt.libvirt.volume import fs, volume
from oslo_log import log as logging
from oslo_serialization import jsonutils

from nova_quobyte import _native, options
from nova_quobyte.calls import call
from nova_quobyte.disk import QuobyteDisk
from nova_quobyte.guests import Domains

LOG = logging.getLogger(__name__)


class _HostWithoutSecrets:
    """Nova's host object, but that it has no secrets.

    Nova asks libvirt for a volume's secret whenever it describes one. A volume that is encrypted by the host, which
    alone has a secret, is refused.
    """

    def __init__(self, host: libvirt_host.Host) -> None:
        self._host = host

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._host, name)

    def find_secret(self, usage_type: str, usage_id: str) -> None:
        """Find nothing."""


class LibvirtQuobyteVolumeDriver(volume.LibvirtBaseVolumeDriver):
    """Serves volumes that are files on a Quobyte volume.

    Its methods have no annotations since those of Nova's class have none.
    """

    def __init__(self, host: libvirt_host.Host) -> None:
        """Begin to take up what an earlier run, or Nova's own driver, has left.

        Nova makes no other volume driver meanwhile, so the work itself goes on in the background.
        """
        super().__init__(_HostWithoutSecrets(host), is_block_dev=False)
        self._domains = Domains(host)
        settings = options.native(*self._domains.versions(), self._domains.capabilities())
        self._native = call(_native.Driver, settings, self._domains, otherwise=exception.InternalError)
        self._reconciling = threading.Thread(target=self._reconcile, daemon=True)
        self._reconciling.start()

    def connect_volume(self, connection_info, instance):
        """Mount the volume's share, if it is not, and keep it mounted for the instance."""
        # It puts guests on record for a share that has no record yet, as this is about to make one.
        self._reconciling.join()
        connected = call(
            self._native.connect,
            jsonutils.dumps(connection_info),
            instance.uuid,
            otherwise=exception.VolumeAttachFailed,
            volume_id=block_device.get_volume_id(connection_info),
            instance=instance,
        )
        _warn_of_lost(connected.lost)

    def get_config(self, connection_info, disk_info):
        """Describe the volume to libvirt."""
        disk = call(
            self._native.disk,
            jsonutils.dumps(connection_info),
            otherwise=exception.VolumeAttachFailed,
            volume_id=block_device.get_volume_id(connection_info),
        )
        return QuobyteDisk.of(super().get_config(connection_info, disk_info), disk)

    def disconnect_volume(self, connection_info, instance, force=False):
        """Let go of the volume, and unmount its share once nobody is left."""
        self._reconciling.join()
        self._domains.renew()
        volume_id = block_device.get_volume_id(connection_info)
        disconnected = call(
            self._native.disconnect,
            jsonutils.dumps(connection_info),
            instance.uuid,
            force,
            otherwise=exception.VolumeDetachFailed,
            volume_id=volume_id,
            instance=instance,
        )
        if disconnected.kept:
            LOG.debug(
                "Quobyte volume %s is disconnected; %s stays mounted: %s",
                volume_id,
                disconnected.mount_path,
                disconnected.kept,
                instance=instance,
            )

    def extend_volume(self, connection_info, instance, requested_size):
        """Return the size in bytes to which QEMU is to resize the volume, which it does itself."""
        return call(
            self._native.extend,
            jsonutils.dumps(connection_info),
            requested_size,
            otherwise=exception.VolumeExtendFailed,
            volume_id=block_device.get_volume_id(connection_info),
            instance=instance,
        )

    def _reconcile(self) -> None:
        try:
            findings = call(self._native.reconcile, otherwise=exception.InternalError)
        except exception.NovaException:
            # It has been logged, and what is to be done for a volume does not depend on it.
            return
        for found in findings:
            level = logging.INFO if found.mended else logging.WARNING
            why = f" ({found.why})" if found.why else ""
            LOG.log(level, "Quobyte share %s: %s%s", found.mount_path, found.what, why)
            if found.what in ("lost", "remounted"):
                _warn_of_lost(found.attachments)


def _warn_of_lost(attachments: list[tuple[str, str]]) -> None:
    for instance, volume_id in attachments:
        LOG.warning(
            "Quobyte volume %s was open on a mount that died: restart instance %s, or detach and attach the volume",
            volume_id,
            instance,
        )


# This driver counts who needs a mount. For others Nova does, by calling only for the last of several
# instances on a host that have a volume; by this class it knows those for which it must not.
fs.LibvirtMountedFileSystemVolumeDriver.register(LibvirtQuobyteVolumeDriver)
