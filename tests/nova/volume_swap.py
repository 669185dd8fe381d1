"""Nova's swap of an instance's volume by its compute manager, as a retype or a migration in Cinder calls for."""

import uuid
from unittest import mock

import nova_host
from nova.compute import manager as compute_manager
from nova.objects import base
from oslo_serialization import jsonutils


class Cinder:
    """Answers what the compute manager asks of Cinder."""

    def __init__(self, new_info, migrating):
        self._new_info = new_info
        self._migration_status = "migrating" if migrating else None

    def get(self, ctxt, volume_id):
        return {"id": volume_id, "size": 1, "migration_status": self._migration_status}

    def attachment_update(self, ctxt, attachment_id, connector, mountpoint):
        # The serial number is Nova's.
        return {"connection_info": {key: value for key, value in self._new_info.items() if key != "serial"}}

    def attachment_complete(self, ctxt, attachment_id):
        pass

    def attachment_delete(self, ctxt, attachment_id):
        pass

    def migrate_volume_completion(self, ctxt, old_volume_id, new_volume_id, error):
        # Cinder then has the new file under the old volume's id, and deletes the old file.
        assert not error
        return {"save_volume_id": old_volume_id}


def swap_volume(compute, instance, old_info, new_info, device="/dev/vda", migrating=True):
    """Have Nova swap a volume for another; return connection_info as Nova stores it afterwards.

    That has the old volume's id if Cinder is migrating the volume, else the new one's.
    """
    manager = object.__new__(compute_manager.ComputeManager)
    manager.driver = compute
    manager.host = "lab"
    manager.volume_api = Cinder(new_info, migrating)
    row = nova_host.block_device_mapping(old_info, instance, device)
    base.NovaObject.indirection_api.block_device_mappings = [row]
    with (
        mock.patch("nova.compute.utils.notify_about_volume_swap"),
        # Its answer is for Cinder.
        mock.patch.object(compute, "get_volume_connector"),
    ):
        ids = old_info["serial"], new_info["serial"]
        manager._do_swap_volume(nova_host.admin(), *ids, instance, str(uuid.uuid4()))
    return jsonutils.loads(row.connection_info)
