"""Nova's libvirt volume driver for Quobyte: Nova's interface to the native module."""

import uuid
from typing import Any

from nova import exception
from nova.virt.libvirt import host as libvirt_host
from nova.virt.libvirt.volume import fs, volume
from oslo_log import log as logging
from oslo_utils import uuidutils

from nova_quobyte import _native, options
from nova_quobyte.calls import call_native, start_thread
from nova_quobyte.disk import QuobyteDisk
from nova_quobyte.guests import Domains
from nova_quobyte.leaving import LeavingShares

LOG = logging.getLogger(__name__)

# How long a call waits for the reconcile of the service's start, in seconds. A share that hangs may hold that up.
_RECONCILE_WAIT = 10.0


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
        self._native = call_native(_native.NativeDriver, settings, self._domains, default_error=exception.InternalError)
        self._leaving = LeavingShares(self._native)
        self._domains.call_on_events(self._native.note_domain_event)
        self._reconciling = start_thread(self._reconcile)

    def connect_volume(self, connection_info, instance):
        """Mount the volume's share, if it is not, and keep it mounted for the instance."""
        # What the reconcile puts on record, connecting a volume would have to find out itself.
        self._reconciling.join(_RECONCILE_WAIT)
        connected = call_native(
            self._native.connect,
            connection_info,
            instance.uuid,
            default_error=exception.VolumeAttachFailed,
            volume_id=_volume_id(connection_info),
            instance=instance,
        )
        _warn_of_lost_attachments(connected.lost)

    def get_config(self, connection_info, disk_info):
        """Describe the volume to libvirt."""
        disk = call_native(
            self._native.disk,
            connection_info,
            default_error=exception.VolumeAttachFailed,
            volume_id=_volume_id(connection_info),
        )
        return QuobyteDisk.from_nova(super().get_config(connection_info, disk_info), disk)

    def disconnect_volume(self, connection_info, instance, force=False):
        """Disconnect the volume, and unmount its share once nobody is left.

        Nova forces it for every volume of an instance that it deletes. That is no reason to take anything from anybody.
        """
        self._reconciling.join(_RECONCILE_WAIT)
        self._domains.refresh_connection()
        volume_id = _volume_id(connection_info)
        disconnected = call_native(
            self._native.disconnect,
            connection_info,
            instance.uuid,
            default_error=exception.VolumeDetachFailed,
            volume_id=volume_id,
            instance=instance,
        )
        if disconnected.leaving:
            self._leaving.add(disconnected.mount_path)
        if disconnected.still_mounted:
            LOG.debug(
                "Quobyte volume %s is disconnected; %s stays mounted: %s",
                volume_id,
                disconnected.mount_path,
                disconnected.still_mounted,
                instance=instance,
            )

    def extend_volume(self, connection_info, instance, requested_size):
        """Return the size in bytes to which QEMU is to resize the volume, which it does itself."""
        return call_native(
            self._native.extend,
            connection_info,
            requested_size,
            default_error=exception.VolumeExtendFailed,
            volume_id=_volume_id(connection_info),
            instance=instance,
        )

    def _reconcile(self) -> None:
        try:
            findings = call_native(self._native.reconcile, default_error=exception.InternalError)
        except exception.NovaException:
            # call_native has logged the error, and no later call depends on this one.
            return
        for finding in findings:
            level = logging.INFO if finding.repaired else logging.WARNING
            detail = f" ({finding.detail})" if finding.detail else ""
            LOG.log(level, "Quobyte share %s: %s%s", finding.mount_path, finding.code, detail)
            if finding.lost:
                _warn_of_lost_attachments(finding.attachments)
            if finding.code == "leaving":
                self._leaving.add(finding.mount_path)


def _volume_id(connection_info: object) -> str | None:
    """Return the volume's id for messages; what is no UUID is somebody's text, and is not shown."""
    if not isinstance(connection_info, dict):
        return None
    data = connection_info.get("data")
    ids = (data.get("volume_id") if isinstance(data, dict) else None, connection_info.get("serial"))
    return next((str(uuid.UUID(volume_id)) for volume_id in ids if uuidutils.is_uuid_like(volume_id)), None)


def _warn_of_lost_attachments(attachments: list[tuple[str, str]]) -> None:
    volumes: dict[str, list[str]] = {}
    for instance, volume_id in attachments:
        volumes.setdefault(instance, []).append(volume_id)
    for instance, volume_ids in volumes.items():
        LOG.warning(
            "Quobyte volumes %s were open on a mount that died: restart instance %s, or detach and attach them",
            ", ".join(volume_ids),
            instance,
        )


# Nova calls disconnect_volume only for the last of several instances on a host that have a volume, unless the driver
# is of this class: such a driver counts the users of a mount itself, as this one does.
fs.LibvirtMountedFileSystemVolumeDriver.register(LibvirtQuobyteVolumeDriver)
