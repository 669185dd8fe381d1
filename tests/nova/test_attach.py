"""Volumes reach a running guest through Nova's libvirt driver, and leave it."""

import nova_host
import pytest
from guest import MARK


@pytest.fixture
def attach(compute):
    """Attaches a volume to a guest and returns what detaches it."""

    def make(info, guest, device="/dev/vdb"):
        instance = nova_host.instance(guest.uuid)
        compute.attach_volume(nova_host.admin(), info, instance, device, encryption={})
        return lambda: compute.detach_volume(nova_host.admin(), info, instance, device, encryption={})

    return make


@pytest.mark.parametrize("image_format", ["raw", "qcow2"])
def test_guest_writes_reach_attached_volume(attach, storage, boot, image_format):
    info = storage.volume(image_format=image_format)
    guest = boot()
    detach = attach(info, guest)
    assert storage.mounts() == [storage.mount_path(info)]
    guest.write(info)
    detach()
    assert storage.content(info, len(MARK)) == MARK.encode()
    assert storage.mounts() == []


def test_odd_raw_length_is_cached(attach, quobyte, storage, boot):
    info = storage.volume(size=2_048_512)
    guest = boot()
    detach = attach(info, guest)
    disk = quobyte.get_config(info, {"type": "disk", "dev": "vdb", "bus": "virtio"})
    assert (disk.driver_cache, disk.driver_io) == ("writeback", "threads")
    guest.write(info)
    detach()
    assert storage.content(info, len(MARK)) == MARK.encode()


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
    guest.write(shared)
    assert other.read(shared) == MARK
    detach()
    assert storage.mounts() == [storage.mount_path(shared)]
    detach_own()
    other.write(shared)
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
    compute.resume(nova_host.admin(), instance, nova_host.NO_NETWORK)
    guest.accept_commands()
    guest.write(info)
    detach()
    assert storage.content(info, len(MARK)) == MARK.encode()
    assert storage.mounts() == []


@pytest.mark.parametrize("image_format", ["raw", "qcow2"])
def test_hard_reboot_keeps_volume_attached(attach, storage, boot, hard_reboot, image_format):
    info = storage.volume(image_format=image_format)
    guest = boot()
    detach = attach(info, guest, "/dev/vda")
    guest.write(info)
    hard_reboot(guest, {"/dev/vda": info})
    assert guest.read(info) == MARK
    assert storage.mounts() == [storage.mount_path(info)]
    detach()
    assert storage.mounts() == []


def test_stopped_guest_gets_and_keeps_volume(attach, storage, define):
    info = storage.volume()
    guest = define()
    detach = attach(info, guest)
    assert storage.mounts() == [storage.mount_path(info)]
    guest.start()
    guest.write(info)
    guest.domain.destroy()
    assert storage.mounts() == [storage.mount_path(info)]
    detach()
    assert storage.mounts() == []
