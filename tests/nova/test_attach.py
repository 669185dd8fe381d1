"""Volumes reach a running guest through Nova's libvirt driver, and leave it."""

import shutil

import nova_host
import pytest
from guest import LAB
from nova.network import model as network_model

MARK = "written by the guest"
NO_NETWORK = network_model.NetworkInfo()


@pytest.fixture
def attach(compute):
    """Attaches a volume to a guest and returns what detaches it."""

    def make(info, guest, device="/dev/vdb"):
        instance = nova_host.instance(guest.uuid)
        compute.attach_volume(nova_host.admin(), info, instance, device, encryption={})
        return lambda: compute.detach_volume(nova_host.admin(), info, instance, device, encryption={})

    return make


@pytest.fixture
def hard_reboot(compute, scratch):
    """Has Nova boot a guest anew from a volume, in a domain of Nova's own making with the lab's kernel."""
    conf = nova_host.CONF
    # A guest takes commands on its second serial port; whoever shows its screen stays out.
    overrides = [("instances_path", str(scratch), None), ("enabled", True, "serial_console"), ("enabled", False, "vnc")]
    for name, value, group in overrides:
        conf.set_override(name, value, group)

    def make(guest, info):
        instance = nova_host.instance(guest.uuid, hw_serial_port_count="2", os_command_line="console=ttyS0 quiet")
        directory = scratch / guest.uuid
        directory.mkdir()
        for image, name in (("vmlinuz", "kernel"), ("initramfs", "ramdisk")):
            shutil.copy(LAB / "guest" / image, directory / name)
        disks = nova_host.root_block_device_info(info, instance)
        compute.reboot(nova_host.admin(), instance, NO_NETWORK, "HARD", block_device_info=disks)
        guest.connect_after_reboot()

    yield make
    for name, _, group in overrides:
        conf.clear_override(name, group)


def write(guest, info):
    """Have a guest write to the start of a volume."""
    guest.run(f"echo -n '{MARK}' | dd of={guest.disk(info['serial'])} conv=fsync")


def read(guest, info):
    """Have a guest read what is at the start of a volume now."""
    disk = guest.disk(info["serial"])
    return guest.run(f"dd if={disk} bs={len(MARK)} count=1 iflag=direct,fullblock 2>/dev/null")


@pytest.mark.parametrize("image_format", ["raw", "qcow2"])
def test_guest_writes_reach_attached_volume(attach, storage, boot, image_format):
    info = storage.volume(image_format=image_format)
    guest = boot()
    detach = attach(info, guest)
    assert storage.mounts() == [storage.mount_path(info)]
    write(guest, info)
    detach()
    assert storage.content(info, len(MARK)) == MARK.encode()
    assert storage.mounts() == []


def test_repeated_connect_needs_single_disconnect(quobyte, storage):
    info, instance = storage.volume(), nova_host.instance()
    for _ in range(3):
        quobyte.connect_volume(info, instance)
    assert storage.mounts() == [storage.mount_path(info)]
    quobyte.disconnect_volume(info, instance)
    assert storage.mounts() == []


def test_multiattach_volume_is_shared_by_guests(attach, storage, boot):
    shared, own = storage.volume(), storage.volume()
    shared["multiattach"] = True
    guest, other = boot(), boot()
    detach = attach(shared, guest)
    detach_own = attach(own, guest, "/dev/vdc")
    detach_other = attach(shared, other)
    write(guest, shared)
    assert read(other, shared) == MARK
    detach()
    assert storage.mounts() == [storage.mount_path(shared)]
    detach_own()
    write(other, shared)
    detach_other()
    assert storage.mounts() == []


def test_suspended_guest_keeps_volume_after_resume(compute, attach, quobyte, storage, boot):
    info, other = storage.volume(), storage.volume()
    guest = boot()
    detach = attach(info, guest)
    guest.disk(info["serial"])
    instance = nova_host.instance(guest.uuid)
    compute.suspend(nova_host.admin(), instance)
    assert not guest.domain.isActive()
    # The records alone would let the share go once both are gone.
    quobyte.connect_volume(other, instance)
    quobyte.disconnect_volume(other, instance)
    assert storage.mounts() == [storage.mount_path(info)]
    compute.resume(nova_host.admin(), instance, NO_NETWORK)
    guest.accept_commands()
    write(guest, info)
    detach()
    assert storage.content(info, len(MARK)) == MARK.encode()
    assert storage.mounts() == []


@pytest.mark.parametrize("image_format", ["raw", "qcow2"])
def test_hard_reboot_keeps_volume_attached(attach, storage, boot, hard_reboot, image_format):
    info = storage.volume(image_format=image_format)
    guest = boot()
    detach = attach(info, guest, "/dev/vda")
    write(guest, info)
    hard_reboot(guest, info)
    assert read(guest, info) == MARK
    assert storage.mounts() == [storage.mount_path(info)]
    detach()
    assert storage.mounts() == []


def test_stopped_guest_gets_and_keeps_volume(attach, storage, define):
    info = storage.volume()
    guest = define()
    detach = attach(info, guest)
    assert storage.mounts() == [storage.mount_path(info)]
    guest.start()
    write(guest, info)
    guest.domain.destroy()
    assert storage.mounts() == [storage.mount_path(info)]
    detach()
    assert storage.mounts() == []
