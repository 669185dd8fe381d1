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
