"""What goes wrong with Nova's own Quobyte driver, case by case, and what this one does instead.

docs/NOVA.md has both side by side.
"""

import logging
import os
import signal
import subprocess

import nova_host
import pytest
from nova import exception
from storage import SIZE
from waiting import Background, is_probe_running, wait_until


def raises_code(kind, code):
    """Expect a Nova exception whose text ends in that code."""
    return pytest.raises(kind, match=rf"\[{code}\]$")


def test_detach_keeps_share_used_by_second_volume(quobyte, storage, caplog):
    first, second = storage.volume(), storage.volume()
    first_instance, second_instance = nova_host.instance(), nova_host.instance()
    quobyte.connect_volume(first, first_instance)
    quobyte.connect_volume(second, second_instance)
    caplog.clear()
    quobyte.disconnect_volume(first, first_instance)
    assert storage.mounts() == [storage.mount_path(first)]
    assert "unmounting" not in caplog.text
    quobyte.disconnect_volume(second, second_instance)
    assert storage.mounts() == []
    driver_records = [record for record in caplog.records if record.name.startswith("nova_quobyte")]
    assert not [record for record in driver_records if record.levelno >= logging.WARNING]


def test_connected_unopened_volume_keeps_share(compute, quobyte, storage, boot):
    first, second = storage.volume(), storage.volume()
    guest = boot()
    instance = nova_host.instance(guest.uuid)
    compute.attach_volume(nova_host.admin(), first, instance, "/dev/vdb", encryption={})
    guest.disk(first["serial"])
    quobyte.connect_volume(second, instance)
    compute.detach_volume(nova_host.admin(), first, instance, "/dev/vdb", encryption={})
    assert storage.mounts() == [storage.mount_path(second)]
    compute.attach_volume(nova_host.admin(), second, instance, "/dev/vdc", encryption={})
    guest.disk(second["serial"])


def test_failed_connect_is_rolled_back(quobyte, storage):
    good, missing = storage.volume(), storage.volume()
    storage.image(missing).unlink()
    with raises_code(exception.VolumeNotFound, "image_missing"):
        quobyte.connect_volume(missing, nova_host.instance())
    assert storage.mounts() == []
    instance = nova_host.instance()
    quobyte.connect_volume(good, instance)
    with pytest.raises(exception.VolumeNotFound):
        quobyte.connect_volume(missing, nova_host.instance())
    assert storage.mounts() == [storage.mount_path(good)]
    quobyte.disconnect_volume(good, instance)


def test_dead_client_is_replaced_and_allows_detach(compute, quobyte, storage, boot):
    info, instance = storage.volume(), nova_host.instance()
    quobyte.connect_volume(info, instance)
    os.kill(storage.client(), signal.SIGKILL)
    quobyte.connect_volume(info, instance)
    assert storage.image(info).stat().st_size == (storage.mount_path(info) / info["data"]["name"]).stat().st_size
    os.kill(storage.client(), signal.SIGKILL)
    quobyte.disconnect_volume(info, instance)
    assert storage.mounts() == []

    guest = boot()
    instance = nova_host.instance(guest.uuid)
    compute.attach_volume(nova_host.admin(), info, instance, "/dev/vdb", encryption={})
    guest.disk(info["serial"])
    os.kill(storage.client(), signal.SIGKILL)
    compute.detach_volume(nova_host.admin(), info, instance, "/dev/vdb", encryption={})
    assert info["serial"] not in guest.domain.XMLDesc(0)
    assert storage.mounts() == []
    compute.attach_volume(nova_host.admin(), info, instance, "/dev/vdb", encryption={})
    # It is there once the guest has read of it.
    guest.disk(info["serial"])


@pytest.mark.options(probe_timeout=60)
def test_hung_client_does_not_block_other_shares(quobyte, storage, scratch):
    hung, healthy = storage.volume("hung"), storage.volume("fine")
    connect = connect_to_hung_client(quobyte, storage, hung)
    wait_until("somebody to ask the hung client", lambda: is_probe_running(scratch))
    client = storage.client()
    connect_and_disconnect(quobyte, healthy)
    assert not connect.is_done()
    os.kill(client, signal.SIGKILL)
    connect.result()


@pytest.mark.options(probe_timeout=5)
def test_hung_client_is_reported_after_probe_timeout(quobyte, storage):
    connect = connect_to_hung_client(quobyte, storage, storage.volume())
    with raises_code(exception.StaleVolumeMount, "mount_hung"):
        connect.result()


def connect_to_hung_client(quobyte, storage, info):
    """Connect a volume again whose client does not answer any more, and have later clients do so."""
    instance = nova_host.instance()
    quobyte.connect_volume(info, instance)
    storage.fault("no-answer")
    storage.control = storage.control.with_name("no-fault")
    storage.settings()
    return Background(quobyte.connect_volume, info, instance)


def connect_and_disconnect(quobyte, info):
    """Connect a volume and disconnect it."""
    instance = nova_host.instance()
    quobyte.connect_volume(info, instance)
    quobyte.disconnect_volume(info, instance)


def test_hung_mount_does_not_block_other_shares(quobyte, storage, gate):
    hung, healthy = storage.volume("hung"), storage.volume("fine")
    storage.settings(pid_file=gate.path)
    connect = Background(quobyte.connect_volume, hung, nova_host.instance())
    wait_until("the client to come to the gate", gate.waiting)
    storage.settings()
    connect_and_disconnect(quobyte, healthy)
    assert not connect.is_done()
    gate.open()
    connect.result()


@pytest.mark.options(mount_timeout=1)
def test_hung_mount_is_aborted_after_timeout(quobyte, storage):
    info = storage.volume()
    storage.settings("standin.fault=hang-before-mount")
    with raises_code(exception.VolumeAttachFailed, "mount_timeout"):
        quobyte.connect_volume(info, nova_host.instance())
    assert storage.mounts() == []


def test_four_shares_are_mounted_in_parallel(quobyte, storage, gate):
    infos = [storage.volume(f"share{number}") for number in range(4)]
    storage.settings(pid_file=gate.path)
    connects = [Background(quobyte.connect_volume, info, nova_host.instance()) for info in infos]
    wait_until("four clients to come to the gate", lambda: gate.waiting() == len(infos))
    gate.open()
    for connect in connects:
        connect.result()
    assert sorted(storage.mounts()) == sorted(map(storage.mount_path, infos))


def test_client_exit_without_mount_is_detected(quobyte, storage):
    info = storage.volume()
    storage.fault("exit-without-mounting")
    with raises_code(exception.VolumeAttachFailed, "mount_failed"):
        quobyte.connect_volume(info, nova_host.instance())
    local = storage.mount_path(info)
    local.mkdir()
    (local / info["data"]["name"]).write_text("a file of the host")
    with raises_code(exception.VolumeAttachFailed, "mount_failed"):
        quobyte.connect_volume(info, nova_host.instance())


def test_foreign_mount_is_refused_and_preserved(quobyte, storage):
    info = storage.volume()
    storage.settings("standin.subtype=other")
    storage.mount(info)
    with raises_code(exception.VolumeAttachFailed, "not_quobyte"):
        quobyte.connect_volume(info, nova_host.instance())
    assert storage.mounts() == [storage.mount_path(info)]


def test_stale_mount_is_replaced_not_overmounted(quobyte, storage):
    info = storage.volume()
    storage.settings("standin.fault=stale-root")
    storage.mount(info)
    storage.settings()
    quobyte.connect_volume(info, nova_host.instance())
    assert storage.mounts() == [storage.mount_path(info)]
    assert storage.mount_path(info).stat().st_size == 0


@pytest.mark.parametrize("fault", ["stale-root", "no-answer"])
@pytest.mark.options(probe_timeout=1)
def test_mount_in_use_is_kept_even_if_forced(quobyte, storage, fault):
    info, other, instance = storage.volume(), storage.volume(), nova_host.instance()
    quobyte.connect_volume(info, instance)
    # By another process: each that this one starts would close the file, which a hung client does not answer.
    with (storage.mount_path(info) / info["data"]["name"]).open("rb") as image:
        user = subprocess.Popen(["sleep", "infinity"], stdin=image)
    try:
        storage.fault(fault)
        with raises_code(exception.StaleVolumeMount, "mount_hung" if fault == "no-answer" else "mount_stale"):
            quobyte.connect_volume(other, nova_host.instance())
        for force in (False, True):
            quobyte.disconnect_volume(info, instance, force=force)
            assert storage.mounts() == [storage.mount_path(info)]
    finally:
        user.kill()
        # Only then can it end, should the client still hang.
        storage.clean_up()
        user.wait()


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd", "sub/../../x", "..", ""])
def test_invalid_image_name_is_refused(quobyte, storage, name):
    info = storage.volume()
    info["data"]["name"] = name
    with raises_code(exception.InvalidVolume, "invalid_name"):
        quobyte.connect_volume(info, nova_host.instance())
    with pytest.raises(exception.InvalidVolume):
        quobyte.get_config(info, {"type": "disk", "dev": "vdb", "bus": "virtio"})


@pytest.mark.parametrize("export", ["--version", "-x", "", "quobyte://", "../../..", "registry/../.."])
def test_invalid_export_is_refused(quobyte, storage, export):
    info = storage.volume()
    info["data"]["export"] = export
    with raises_code(exception.InvalidVolume, "invalid_export"):
        quobyte.connect_volume(info, nova_host.instance())
    assert storage.mounts() == []


def test_equivalent_exports_share_one_mount(quobyte, storage):
    first, second = storage.volume(), storage.volume()
    second["data"]["export"] = second["data"]["export"].removeprefix("quobyte://") + "/"
    for info in (first, second):
        quobyte.connect_volume(info, nova_host.instance())
    assert storage.mounts() == [storage.mount_path(first)]


@pytest.mark.parametrize("image_format", ["raw", "qcow2"])
def test_attached_volume_extends_but_never_shrinks(compute, storage, boot, image_format):
    info = storage.volume(image_format=image_format)
    guest = boot()
    instance = nova_host.instance(guest.uuid)
    compute.attach_volume(nova_host.admin(), info, instance, "/dev/vdb", encryption={})
    size = f"cat /sys/class/block/{guest.disk(info['serial']).rpartition('/')[2]}/size"
    compute.extend_volume(nova_host.admin(), info, instance, 2 * SIZE)
    # The guest is told, and takes a moment to see it.
    guest.run(f"until [ $({size}) = {2 * SIZE // 512} ]; do usleep 1000; done")
    assert int(guest.run(size)) * 512 == 2 * SIZE
    with raises_code(exception.InvalidVolume, "would_shrink"):
        compute.extend_volume(nova_host.admin(), info, instance, SIZE)
    assert int(guest.run(size)) * 512 == 2 * SIZE
