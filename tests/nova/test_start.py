"""What nova-compute does for Quobyte volumes when it starts, before the first is attached or detached."""

import os
import signal

import nova_host
import pytest
from nova.virt.libvirt import driver as libvirt_driver
from waiting import until


@pytest.fixture
def start(compute, monkeypatch):
    """Starts this package's part of Nova's driver again; Nova's own is for once in a process."""
    monkeypatch.setattr(libvirt_driver.LibvirtDriver, "init_host", lambda *_: None)

    def start():
        compute.volume_drivers.clear()
        compute.init_host("lab")

    return start


def test_a_dead_share_is_mounted_again_and_the_log_says_so(start, quobyte, storage, caplog):
    info = storage.volume()
    quobyte.connect_volume(info, nova_host.instance())
    os.kill(storage.client(), signal.SIGKILL)
    caplog.clear()
    start()
    # Of a dead mount it says no.
    until("the image to be there again", lambda: os.path.exists(storage.mount_path(info) / info["data"]["name"]))
    assert storage.mounts() == [storage.mount_path(info)]
    until("the log to tell", lambda: f"Quobyte share {storage.mount_path(info)}: remounted" in caplog.text)
    # What the library says of a share is about no volume.
    assert " Quobyte: mounting " in caplog.text


def test_what_is_left_alone_is_logged_with_its_reason(start, storage, caplog):
    info = storage.volume()
    storage.settings("standin.subtype=other")
    storage.mount(info)
    start()
    line = f"Quobyte share {storage.mount_path(info)}: foreign ("
    until("the log to tell", lambda: line in caplog.text)
