"""What nova-compute does for Quobyte volumes when it starts, before the first is attached or detached."""

import os
import signal

import nova_host
from nova.virt.libvirt import driver as libvirt_driver
from nova_quobyte import registration
from waiting import wait_until

IN_TREE = "nova.virt.libvirt.volume.quobyte.LibvirtQuobyteVolumeDriver"


def test_dead_shares_are_remounted_and_logged(restart, quobyte, storage, caplog):
    # More than one, since several are looked at by as many threads.
    volumes = [storage.volume(share) for share in ("one", "another")]
    clients = []
    for info in volumes:
        quobyte.connect_volume(info, nova_host.instance())
        clients.append(storage.client())
    for client in clients:
        os.kill(client, signal.SIGKILL)
    caplog.clear()
    restart()
    for info in volumes:
        at = storage.mount_path(info)
        # Of a dead mount it says no.
        wait_until("the image to be there again", lambda at=at, info=info: os.path.exists(at / info["data"]["name"]))
        wait_until("the log to tell", lambda at=at: f"Quobyte share {at}: remounted" in caplog.text)
        # What the library says of a share is about no volume.
        assert any(" Quobyte: mounting " in line and f"{at}" in line for line in caplog.text.splitlines())
    assert sorted(storage.mounts()) == sorted(storage.mount_path(info) for info in volumes)


def test_foreign_mount_is_logged_with_reason(restart, storage, caplog):
    info = storage.volume()
    storage.settings("standin.subtype=other")
    storage.mount(info)
    restart()
    line = f"Quobyte share {storage.mount_path(info)}: foreign ("
    wait_until("the log to tell", lambda: line in caplog.text)


def test_another_volume_driver_is_logged_as_error(restart, caplog, monkeypatch):
    monkeypatch.setitem(libvirt_driver.VOLUME_DRIVERS, "quobyte", IN_TREE)
    restart()
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert errors == [f"Quobyte volumes are served by {IN_TREE}, not by {registration.VOLUME_DRIVER}"]


def test_own_volume_driver_logs_no_error(restart, caplog):
    restart()
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
