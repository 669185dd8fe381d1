"""From Nova's own Quobyte driver to this one with guests running, and back."""

import nova_host
import pytest
from guest import LAB
from nova.virt.libvirt import driver as libvirt_driver
from nova_quobyte import registration
from storage import Storage

IN_TREE = "nova.virt.libvirt.volume.quobyte.LibvirtQuobyteVolumeDriver"
QUOBYTE = {"driver_volume_type": "quobyte"}


@pytest.fixture
def switch_driver(compute):
    """Has Nova serve Quobyte volumes by another driver, as it would after a restart."""

    def switch(driver):
        libvirt_driver.VOLUME_DRIVERS["quobyte"] = driver
        compute.volume_drivers.clear()
        return compute._get_volume_driver(QUOBYTE)

    yield switch
    libvirt_driver.VOLUME_DRIVERS["quobyte"] = registration.VOLUME_DRIVER


def test_upgrade_adopts_in_tree_attachments(compute, switch_driver, storage, boot, caplog):
    switch_driver(IN_TREE)
    info, other = storage.volume(), storage.volume()
    guest = boot()
    instance = nova_host.instance(guest.uuid)
    compute.attach_volume(nova_host.admin(), info, instance, "/dev/vdb", encryption={})
    guest.disk(info["serial"])

    driver, other_instance = switch_driver(registration.VOLUME_DRIVER), nova_host.instance()
    driver.connect_volume(other, other_instance)
    assert f"Quobyte share {storage.mount_path(info)}: adopted" in caplog.text
    assert storage.mounts() == [storage.mount_path(info)]
    driver.disconnect_volume(other, other_instance)
    assert storage.mounts() == [storage.mount_path(info)]
    guest.run(f"dd if=/dev/zero of={guest.disk(info['serial'])} bs=4096 count=1 conv=fsync")
    compute.detach_volume(nova_host.admin(), info, instance, "/dev/vdb", encryption={})
    assert storage.mounts() == []


def test_downgrade_to_in_tree_driver_keeps_guests(compute, switch_driver, storage, boot):
    info = storage.volume()
    guest = boot()
    instance = nova_host.instance(guest.uuid)
    compute.attach_volume(nova_host.admin(), info, instance, "/dev/vdb", encryption={})
    guest.disk(info["serial"])

    in_tree = switch_driver(IN_TREE)
    in_tree.connect_volume(storage.volume(), nova_host.instance())
    assert storage.mounts() == [storage.mount_path(info)]
    guest.run(f"dd if=/dev/zero of={guest.disk(info['serial'])} bs=4096 count=1 conv=fsync")
    compute.detach_volume(nova_host.admin(), info, instance, "/dev/vdb", encryption={})
    assert not guest.domain.XMLDesc(0).count(info["serial"])


@pytest.mark.parametrize("attached_by", [IN_TREE, registration.VOLUME_DRIVER])
def test_root_mounted_share_is_used_and_preserved(compute, switch_driver, boot, attached_by):
    storage = Storage(LAB / "by-root")
    nova_host.CONF.set_override("quobyte_mount_point_base", str(storage.base), "libvirt")
    switch_driver(attached_by)
    info = storage.volume()
    assert storage.mounts() == [storage.mount_path(info)]
    guest = boot()
    instance = nova_host.instance(guest.uuid)
    compute.attach_volume(nova_host.admin(), info, instance, "/dev/vdb", encryption={})
    guest.disk(info["serial"])
    quobyte = switch_driver(registration.VOLUME_DRIVER)
    compute.detach_volume(nova_host.admin(), info, instance, "/dev/vdb", encryption={})
    quobyte.disconnect_volume(info, instance, force=True)
    assert storage.mounts() == [storage.mount_path(info)]
