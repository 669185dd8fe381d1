"""Nova swaps an attached volume for another: the new file is the guest's, under whichever volume's id Nova keeps."""

import nova_host
import pytest
from guest import MARK
from nova import exception
from storage import SIZE
from volume_swap import swap_volume

DEVICE = "/dev/vda"


@pytest.fixture
def swap(compute, storage, boot, hard_reboot):
    """Has Nova swap a volume with the guest's mark for another; returns guest, instance and stored connection_info."""

    def make(old_format, new_format, migrating=True):
        old, new = storage.volume(image_format=old_format), storage.volume(image_format=new_format)
        guest = boot()
        instance = nova_host.instance(guest.uuid)
        compute.attach_volume(nova_host.admin(), old, instance, DEVICE, encryption={})
        guest.write(old)
        stored = swap_volume(compute, instance, old, new, DEVICE, migrating)
        # Cinder deletes it.
        storage.image(old).unlink()
        assert stored["data"]["name"] == new["data"]["name"]
        assert stored["serial"] == (old if migrating else new)["serial"]
        assert guest.read(old) == MARK
        return guest, instance, stored

    return make


def detach(compute, guest, instance, stored, hard_reboot):
    """Detach the swapped volume."""
    compute.detach_volume(nova_host.admin(), stored, instance, DEVICE, encryption={})


def delete(compute, guest, instance, stored, hard_reboot):
    """Delete the instance."""
    disks = nova_host.block_device_info(instance, {DEVICE: stored})
    compute.destroy(nova_host.admin(), instance, nova_host.NO_NETWORK, disks)


def reboot_and_detach(compute, guest, instance, stored, hard_reboot):
    """Reboot the guest, which finds its data, and detach the swapped volume."""
    hard_reboot(guest, {DEVICE: stored})
    assert guest.read(stored) == MARK
    detach(compute, guest, instance, stored, hard_reboot)


@pytest.mark.parametrize("end", [detach, delete, reboot_and_detach])
@pytest.mark.parametrize("new_format", ["raw", "qcow2"])
@pytest.mark.parametrize("old_format", ["raw", "qcow2"])
def test_swapped_volume_is_released(compute, storage, swap, hard_reboot, old_format, new_format, end):
    guest, instance, stored = swap(old_format, new_format)
    assert storage.mounts() == [storage.mount_path(stored)]
    end(compute, guest, instance, stored, hard_reboot)
    storage.await_release()
    assert storage.content(stored, len(MARK)) == MARK.encode()


def test_volume_swapped_under_new_id_is_released(compute, storage, swap, hard_reboot):
    guest, instance, stored = swap("raw", "raw", migrating=False)
    detach(compute, guest, instance, stored, hard_reboot)
    storage.await_release()


def test_swapped_volume_is_refused_to_other_guest(quobyte, swap):
    guest, _instance, stored = swap("raw", "raw")
    for known_as in (stored["serial"], stored["data"]["name"].removeprefix("volume-")):
        other = stored | {"serial": known_as, "data": stored["data"] | {"volume_id": known_as}}
        with pytest.raises(exception.NovaException, match=r"\[volume_in_use\]$"):
            quobyte.connect_volume(other, nova_host.instance())
    assert guest.read(stored) == MARK


def test_failed_swap_keeps_old_volume(compute, storage, boot):
    old, new = storage.volume(), storage.volume(size=SIZE // 2)
    guest = boot()
    instance = nova_host.instance(guest.uuid)
    compute.attach_volume(nova_host.admin(), old, instance, DEVICE, encryption={})
    guest.write(old)
    # QEMU does not copy to a file that is smaller.
    with pytest.raises(exception.VolumeRebaseFailed):
        compute.swap_volume(nova_host.admin(), old, new, instance, DEVICE, 0)
    assert guest.read(old) == MARK
    delete(compute, guest, instance, old, None)
    storage.await_release()
