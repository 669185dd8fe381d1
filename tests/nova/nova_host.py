"""Real Nova's libvirt driver, without any service of Nova's and without a database.

Everything but the conductor is Nova's own. The mode is chosen by Nova's own environment variable, which the first
import obeys.
"""

import inspect

from nova import monkey_patch

# Before Nova 32 importing it does that, and before Nova 33 nova-compute has no threads of the system's.
patch = getattr(monkey_patch, "patch", None)
HAS_THREADING = patch is not None and "backend" in inspect.signature(patch).parameters
if patch:
    patch(**({"backend": "threading"} if HAS_THREADING else {}))

import os
import shutil
import subprocess
import uuid

import nova.conf.neutron
import nova.db.main.api
from guest import LAB
from nova import config, context, objects
from nova.network import model as network_model
from nova.objects import base, block_device, virtual_interface
from nova.virt import driver as virt_driver
from nova.virt.fake import FakeVirtAPI
from oslo_log import log as logging
from oslo_serialization import jsonutils

CONF = config.CONF
NO_NETWORK = network_model.NetworkInfo()


class Conductor:
    """Answers what the driver asks of the database: that there is nothing but a test's block devices."""

    block_device_mappings = ()

    def object_class_action_versions(self, ctxt, objname, method, versions, args, kwargs):
        lists = {
            "VirtualInterfaceList": virtual_interface.VirtualInterfaceList,
            "BlockDeviceMappingList": block_device.BlockDeviceMappingList,
        }
        if objname in lists:
            return lists[objname](objects=[])
        if (objname, method) == ("Service", "get_by_compute_host"):
            return objects.Service(ctxt, host="lab", disabled=False, forced_down=False)
        if method == "get_by_volume_and_instance":
            (row,) = self.block_device_mappings
            return row
        cls = getattr(objects, objname)
        return cls(ctxt, objects=[])

    def object_action(self, ctxt, obj, method, args, kwargs):
        assert method == "save" and obj.obj_name() in ("Instance", "BlockDeviceMapping"), (obj.obj_name(), method)
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
    nova.conf.neutron.register_dynamic_opts(CONF)
    base.NovaObject.indirection_api = Conductor()
    compute = virt_driver.load_compute_driver(FakeVirtAPI())
    compute.init_host("lab")
    return compute


def admin():
    """Return the context of Nova's own calls."""
    return context.get_admin_context()


def instance(guest_uuid=None, display_name="test", **image):
    """Return an instance, that of a domain if its UUID is given, with these properties of its image."""
    return objects.Instance(
        admin(),
        id=1,
        uuid=guest_uuid or str(uuid.uuid4()),
        display_name=display_name,
        image_ref="",
        info_cache=objects.InstanceInfoCache(network_info=NO_NETWORK),
        host="lab",
        node="lab",
        kernel_id="kernel",
        ramdisk_id="ramdisk",
        root_device_name="/dev/vda",
        user_id="user",
        project_id="project",
        os_type=None,
        vm_mode=None,
        config_drive="",
        launched_at=None,
        vcpu_model=None,
        memory_mb=128,
        vcpus=1,
        root_gb=0,
        ephemeral_gb=0,
        system_metadata={f"image_{name}": value for name, value in image.items()},
        metadata={},
        vm_state="active",
        task_state=None,
        power_state=1,
        pci_devices=objects.PciDeviceList(objects=[]),
        pci_requests=objects.InstancePCIRequests(requests=[]),
        resources=None,
        numa_topology=None,
        trusted_certs=None,
        migration_context=None,
        flavor=objects.Flavor(
            name="small",
            flavorid="small",
            memory_mb=128,
            vcpus=1,
            root_gb=0,
            ephemeral_gb=0,
            swap=0,
            extra_specs={},
        ),
    )


def create_images(directory, suffix=""):
    """Make in an instance's directory what Nova makes of images: the lab's kernel, and an empty local disk."""
    directory.mkdir(exist_ok=True)
    for file, name in (("vmlinuz", "kernel"), ("initramfs", "ramdisk")):
        shutil.copy(LAB / "guest" / file, directory / f"{name}{suffix}")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", directory / f"disk{suffix}", "1M"], check=True)


def block_device_mapping(info, instance, device="/dev/vda"):
    """Return Nova's row of a volume that an instance has as that device."""
    return objects.BlockDeviceMapping(
        admin(),
        id=1,
        uuid=str(uuid.uuid4()),
        instance_uuid=instance.uuid,
        source_type="volume",
        destination_type="volume",
        volume_id=info["serial"],
        connection_info=jsonutils.dumps(info),
        device_name=device,
        disk_bus="virtio",
        device_type="disk",
        boot_index=0 if device == instance.root_device_name else None,
        no_device=False,
        delete_on_termination=False,
        guest_format=None,
        snapshot_id=None,
        image_id=None,
        volume_size=1,
        volume_type=None,
        attachment_id=str(uuid.uuid4()),
        tag=None,
    )


def block_device_info(instance, volumes):
    """Return the block devices of an instance, which has volumes: connection_info by device."""
    rows = [block_device_mapping(info, instance, device) for device, info in volumes.items()]
    return virt_driver.get_block_device_info(instance, objects.BlockDeviceMappingList(objects=rows))
