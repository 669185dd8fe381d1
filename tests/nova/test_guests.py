"""Nova deletes, offloads, migrates, suspends and rescues instances: their shares go with them, other guests' stay."""

import inspect
import uuid

import nova_host
import pytest
from guest import MARK
from nova import exception, objects
from waiting import Background

ROOT, DATA = "/dev/vda", "/dev/vdb"


@pytest.fixture
def attach(compute):
    """Attaches volumes, named by their devices, to a guest, and returns its instance."""

    def make(guest, volumes):
        instance = nova_host.instance(guest.uuid)
        for device, info in volumes.items():
            compute.attach_volume(nova_host.admin(), info, instance, device, encryption={})
        return instance

    return make


@pytest.fixture
def destroy(compute):
    """Has Nova delete an instance, as its compute manager does it."""

    def make(instance, volumes, **options):
        disks = nova_host.block_device_info(instance, volumes)
        compute.destroy(nova_host.admin(), instance, nova_host.NO_NETWORK, disks, **options)

    return make


@pytest.fixture
def rescue(compute, scratch, monkeypatch):
    """Has Nova boot an instance from a rescue image, whose properties tell whether its disk replaces the root disk."""

    def create_image(ctxt, instance, *arguments, suffix, **options):
        nova_host.create_images(scratch / instance.uuid, suffix)

    # Glance has no images here, and Cinder none of the root volume.
    monkeypatch.setattr(compute, "_create_image", create_image)
    monkeypatch.setattr(compute._volume_api, "get", lambda *_: {"volume_image_metadata": {}})

    def make(instance, volumes, properties):
        compute.power_off(instance)
        image = objects.ImageMeta.from_dict({"id": str(uuid.uuid4()), "properties": properties})
        disks = nova_host.block_device_info(instance, volumes)
        arguments = [nova_host.admin(), instance, nova_host.NO_NETWORK, image, "password", disks]
        # Older Novas know no shares of files.
        if "share_info" in inspect.signature(compute.rescue).parameters:
            arguments.append(objects.ShareMappingList())
        compute.rescue(*arguments)

    return make


def test_deletion_releases_two_volumes(storage, boot, attach, destroy):
    volumes = {ROOT: storage.volume(), DATA: storage.volume(image_format="qcow2")}
    guest = boot()
    instance = attach(guest, volumes)
    for info in volumes.values():
        guest.write(info)
    destroy(instance, volumes)
    assert not guest.exists()
    storage.await_release()
    for info in volumes.values():
        assert storage.content(info, len(MARK)) == MARK.encode()


def test_deletion_releases_cached_snapshot(storage, boot, attach, destroy):
    info, _snapshot = storage.overlay("in the snapshot")
    guest = boot()
    instance = attach(guest, {ROOT: info})
    assert guest.read(info).startswith("in the snapshot")
    guest.write(info)
    destroy(instance, {ROOT: info})
    storage.await_release()
    assert storage.content(info, len(MARK)) == MARK.encode()


@pytest.mark.parametrize("destroy_disks", [True, False])
def test_stopped_guest_leaves_nothing(storage, define, attach, destroy, destroy_disks):
    # Nova keeps the disks of an instance that was evacuated from here.
    volumes = {ROOT: storage.overlay("")[0], DATA: storage.volume()}
    guest = define()
    instance = attach(guest, volumes)
    destroy(instance, volumes, destroy_disks=destroy_disks)
    assert not guest.exists()
    storage.await_release()


def test_cleanup_leaves_nothing(compute, storage, define, attach):
    volumes = {ROOT: storage.volume(), DATA: storage.volume()}
    instance = attach(define(), volumes)
    disks = nova_host.block_device_info(instance, volumes)
    compute.cleanup(nova_host.admin(), instance, nova_host.NO_NETWORK, disks)
    storage.await_release()


def test_repeated_deletion_leaves_nothing(storage, define, attach, destroy):
    volumes = {ROOT: storage.volume(), DATA: storage.volume()}
    instance = attach(define(), volumes)
    for _ in range(2):
        destroy(instance, volumes)
    storage.await_release()


def test_shelve_offload_leaves_nothing(compute, storage, boot, attach, destroy):
    volumes = {ROOT: storage.volume(), DATA: storage.volume()}
    guest = boot()
    instance = attach(guest, volumes)
    for info in volumes.values():
        guest.disk(info["serial"])
    compute.power_off(instance)
    assert storage.mounts() == [storage.mount_path(volumes[ROOT])]
    destroy(instance, volumes)
    storage.await_release()


def test_cold_migration_leaves_nothing(compute, storage, scratch, define, attach, override):
    volumes = {ROOT: storage.volume(), DATA: storage.volume()}
    guest = define()
    instance = attach(guest, volumes)
    override("instances_path", str(scratch))
    (scratch / guest.uuid).mkdir()
    disks = nova_host.block_device_info(instance, volumes)
    here = compute.get_host_ip_addr()
    network = nova_host.NO_NETWORK
    compute.migrate_disk_and_power_off(nova_host.admin(), instance, here, instance.flavor, network, disks)
    # Nova keeps the domain until the migration is confirmed.
    assert guest.exists()
    storage.await_release()


def test_deleted_suspended_guest_leaves_nothing(compute, storage, boot, attach, destroy):
    volumes = {ROOT: storage.volume(), DATA: storage.volume(image_format="qcow2")}
    guest = boot()
    instance = attach(guest, volumes)
    guest.disk(volumes[ROOT]["serial"])
    compute.suspend(nova_host.admin(), instance)
    assert guest.domain.hasManagedSaveImage(0)
    destroy(instance, volumes)
    assert not guest.exists()
    storage.await_release()


def test_suspended_guest_keeps_disconnected_volume(compute, quobyte, storage, boot, attach):
    info = storage.volume()
    guest = boot()
    instance = attach(guest, {ROOT: info})
    guest.write(info)
    compute.suspend(nova_host.admin(), instance)
    # So Nova begins to delete it; a nova-compute that ends now leaves the saved state.
    quobyte.disconnect_volume(info, instance, force=True)
    assert storage.mounts() == [storage.mount_path(info)]
    with pytest.raises(exception.NovaException, match=r"\[volume_in_use\]$"):
        quobyte.connect_volume(info, nova_host.instance())
    compute.resume(nova_host.admin(), instance, nova_host.NO_NETWORK)
    guest.accept_commands()
    assert guest.read(info) == MARK


def test_running_guest_keeps_disconnected_volume(compute, quobyte, storage, boot, attach, destroy, caplog):
    info = storage.volume()
    guest = boot()
    instance = attach(guest, {ROOT: info})
    guest.write(info)
    caplog.clear()
    quobyte.disconnect_volume(info, instance)
    warnings = [record for record in caplog.records if record.levelname == "WARNING"]
    assert any(info["serial"] in record.getMessage() for record in warnings)
    with pytest.raises(exception.NovaException, match=r"\[volume_in_use\]$"):
        quobyte.connect_volume(info, nova_host.instance())
    assert guest.read(info) == MARK
    destroy(instance, {ROOT: info})
    storage.await_release()


def test_volume_left_by_running_guest_is_released(compute, quobyte, storage, boot, attach):
    info = storage.volume()
    guest = boot()
    instance = attach(guest, {ROOT: info})
    guest.disk(info["serial"])
    quobyte.disconnect_volume(info, instance)
    # Nobody tells the driver that this is the end of the guest.
    guest.domain.destroy()
    storage.await_release()


def test_restart_continues_release(quobyte, storage, boot, attach, restart):
    info = storage.volume()
    guest = boot()
    instance = attach(guest, {ROOT: info})
    guest.disk(info["serial"])
    quobyte.disconnect_volume(info, instance)
    restart()
    assert storage.mounts() == [storage.mount_path(info)]
    guest.domain.destroy()
    storage.await_release()


def test_parallel_deletions_leave_nothing(storage, define, attach, destroy):
    deletions = []
    for _ in range(4):
        volumes = {ROOT: storage.volume(), DATA: storage.volume()}
        deletions.append((attach(define(), volumes), volumes))
    for deletion in [Background(destroy, *deletion) for deletion in deletions]:
        deletion.result()
    storage.await_release()


@pytest.mark.parametrize("base", ["none", "shared"])
def test_deletion_keeps_other_guest(storage, boot, attach, destroy, base):
    if base == "shared":
        deleted, snapshot = storage.overlay("in the snapshot")
        kept, _snapshot = storage.overlay("", snapshot)
    else:
        deleted, kept = storage.volume(), storage.volume()
    guest, other = boot(), boot()
    instance, other_instance = attach(guest, {ROOT: deleted}), attach(other, {ROOT: kept})
    for writer, info in ((guest, deleted), (other, kept)):
        writer.write(info)
    client = storage.client()
    destroy(instance, {ROOT: deleted})
    assert storage.mounts() == [storage.mount_path(kept)]
    assert storage.client() == client
    other.write(kept)
    assert other.read(kept) == MARK
    destroy(other_instance, {ROOT: kept})
    storage.await_release()


@pytest.mark.parametrize("ends_with", ["unrescue", "deletion"])
@pytest.mark.parametrize("rescue_disk", ["instead", "added"])
def test_rescued_guest_keeps_volumes(
    compute, storage, define, hard_reboot, rescue, restart, destroy, rescue_disk, ends_with
):
    guest = define()
    data, other = storage.volume(), storage.volume()
    if rescue_disk == "added":
        volumes, properties = {ROOT: storage.volume(), DATA: data}, {"hw_rescue_device": "disk"}
    else:
        # The guest then runs without any volume. Nova does that only where the root disk is none.
        volumes, properties = {DATA: data}, {}
    instance = hard_reboot(guest, volumes)
    guest.write(data)
    rescue(instance, volumes, properties)
    quobyte = restart()
    other_instance = nova_host.instance()
    quobyte.connect_volume(other, other_instance)
    quobyte.disconnect_volume(other, other_instance)
    assert storage.mounts() == [storage.mount_path(data)]
    with pytest.raises(exception.NovaException, match=r"\[volume_in_use\]$"):
        quobyte.connect_volume(data, nova_host.instance())
    if ends_with == "unrescue":
        compute.unrescue(nova_host.admin(), instance)
        guest.connect_after_reboot()
        assert guest.read(data) == MARK
    destroy(instance, volumes)
    storage.await_release()
