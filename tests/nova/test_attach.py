"""Volumes reach a running guest through Nova's libvirt driver, and leave it."""

import nova_host
import pytest

MARK = "written by the guest"


@pytest.fixture
def attach(compute):
    """Attaches a volume to a guest and returns what detaches it."""

    def make(info, guest, device="/dev/vdb"):
        instance = nova_host.instance(guest.uuid)
        compute.attach_volume(nova_host.admin(), info, instance, device, encryption={})
        return lambda: compute.detach_volume(nova_host.admin(), info, instance, device, encryption={})

    return make


def write(guest, info):
    """Have a guest write to the start of a volume."""
    guest.run(f"echo -n '{MARK}' | dd of={guest.disk(info['serial'])} conv=fsync")


@pytest.mark.parametrize("image_format", ["raw", "qcow2"])
def test_a_guest_sees_the_serial_and_its_bytes_reach_the_volume(attach, storage, boot, image_format):
    info = storage.volume(image_format=image_format)
    guest = boot()
    detach = attach(info, guest)
    assert storage.mounts() == [storage.mount_path(info)]
    write(guest, info)
    detach()
    assert storage.content(info, len(MARK)) == MARK.encode()
    assert storage.mounts() == []


def test_repeated_connects_are_undone_by_one_disconnect(quobyte, storage):
    info, instance = storage.volume(), nova_host.instance()
    for _ in range(3):
        quobyte.connect_volume(info, instance)
    assert storage.mounts() == [storage.mount_path(info)]
    quobyte.disconnect_volume(info, instance)
    assert storage.mounts() == []


def test_two_guests_share_a_volumes_bytes_when_it_is_for_several(attach, storage, boot):
    shared, own = storage.volume(), storage.volume()
    shared["multiattach"] = True
    guest, other = boot(), boot()
    detach = attach(shared, guest)
    detach_own = attach(own, guest, "/dev/vdc")
    detach_other = attach(shared, other)
    write(guest, shared)
    seen = other.run(f"dd if={other.disk(shared['serial'])} bs={len(MARK)} count=1 iflag=direct,fullblock 2>/dev/null")
    assert seen == MARK
    detach()
    assert storage.mounts() == [storage.mount_path(shared)]
    detach_own()
    write(other, shared)
    detach_other()
    assert storage.mounts() == []


def test_a_suspended_guest_keeps_its_volume_and_goes_on_with_it(compute, attach, quobyte, storage, boot):
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
    guest.domain.create()
    guest.attend()
    write(guest, info)
    detach()
    assert storage.content(info, len(MARK)) == MARK.encode()


def test_a_stopped_guest_gets_and_keeps_its_volume(attach, storage, define):
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
