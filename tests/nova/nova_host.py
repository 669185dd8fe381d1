"""Real Nova's libvirt driver, without any service of Nova's and without a database.

Everything but the conductor is Nova's own. The mode is chosen by Nova's own environment variable, which the first
import obeys.
"""

from nova import monkey_patch

# Before Nova 33 importing it does that.
if hasattr(monkey_patch, "patch"):
    monkey_patch.patch(backend="threading")

import os
import uuid

import nova.db.main.api
from nova import config, context, objects
from nova.network import model as network_model
from nova.objects import base, block_device, virtual_interface
from nova.virt import driver as virt_driver
from nova.virt.fake import FakeVirtAPI
from oslo_log import log as logging

CONF = config.CONF


class Conductor:
    """Answers what the driver asks of the database: that there is nothing."""

    def object_class_action_versions(self, ctxt, objname, method, versions, args, kwargs):
        lists = {
            "VirtualInterfaceList": virtual_interface.VirtualInterfaceList,
            "BlockDeviceMappingList": block_device.BlockDeviceMappingList,
        }
        if objname in lists:
            return lists[objname](objects=[])
        if (objname, method) == ("Service", "get_by_compute_host"):
            return objects.Service(ctxt, host="lab", disabled=False, forced_down=False)
        cls = getattr(objects, objname)
        return cls(ctxt, objects=[])

    def object_action(self, ctxt, obj, method, args, kwargs):
        assert (obj.obj_name(), method) == ("Instance", "save"), (obj.obj_name(), method)
        return {}, None


def configure(directory, lines=()):
    """Have Nova read a configuration with its own files below a directory."""
    path = directory / "nova.conf"
    path.write_text(
        "\n".join(
            [
                "[DEFAULT]",
                "compute_driver = quobyte_ext.LibvirtDriver",
                f"state_path = {directory}/nova",
                "[libvirt]",
                f"virt_type = {os.environ['NOVA_QUOBYTE_VIRT_TYPE']}",
                "[oslo_concurrency]",
                f"lock_path = {directory}/locks",
                *lines,
            ]
        )
        + "\n"
    )
    (directory / "nova" / "instances").mkdir(parents=True)
    config.parse_args(["nova", "--config-file", str(path)], configure_db=False, init_rpc=False)
    logging.setup(CONF, "nova")


def start(directory, lines=()):
    """Return Nova's libvirt driver as nova-compute has it once it has started, with these lines of configuration."""
    configure(directory, lines)
    nova.db.main.api.DISABLE_DB_ACCESS = True
    objects.register_all()
    base.NovaObject.indirection_api = Conductor()
    compute = virt_driver.load_compute_driver(FakeVirtAPI())
    compute.init_host("lab")
    return compute


def admin():
    """Return the context of Nova's own calls."""
    return context.get_admin_context()


def instance(guest_uuid=None):
    """Return an instance, that of a domain if its UUID is given."""
    return objects.Instance(
        admin(),
        id=1,
        uuid=guest_uuid or str(uuid.uuid4()),
        display_name="test",
        image_ref="",
        info_cache=objects.InstanceInfoCache(network_info=network_model.NetworkInfo()),
        host="lab",
        node="lab",
        system_metadata={},
        metadata={},
        vm_state="active",
        task_state=None,
        power_state=1,
        pci_devices=objects.PciDeviceList(objects=[]),
        pci_requests=objects.InstancePCIRequests(requests=[]),
        resources=None,
        numa_topology=None,
        flavor=objects.Flavor(name="small", memory_mb=128, vcpus=1, root_gb=0, ephemeral_gb=0, swap=0, extra_specs={}),
    )
