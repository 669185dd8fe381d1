"""The driver keeps to what nova-compute expects of a good part of it."""

import os
import signal
import subprocess
import time

import libvirt
import nova_host
import pytest
from nova import exception
from nova_quobyte import options
from waiting import Background, is_asked, until

# So many times the rest of the process has to come to do something while a call goes on.
BEATS = 100
# The threads that eventlet has for all that waits.
POOL = 20
QUOBYTE = {"driver_volume_type": "quobyte"}


def test_nothing_else_is_stalled_while_a_client_mounts(quobyte, storage, gate):
    info = storage.volume()
    storage.settings(pid_file=gate.path)
    connect = Background(quobyte.connect_volume, info, nova_host.instance())
    until("the client to come to the gate", gate.waiting)
    for _ in range(BEATS):
        time.sleep(0)
        assert not connect.is_done()
    gate.open()
    connect.result()


@pytest.mark.options(probe_timeout=60)
def test_nothing_else_is_stalled_while_a_client_hangs(quobyte, storage, scratch):
    info, instance = storage.volume(), nova_host.instance()
    quobyte.connect_volume(info, instance)
    storage.fault("no-answer")
    connect = Background(quobyte.connect_volume, info, instance)
    until("somebody to ask the hung client", lambda: is_asked(scratch))
    for _ in range(BEATS):
        time.sleep(0)
        assert not connect.is_done()
    storage.fault()
    os.kill(storage.client(), signal.SIGKILL)
    connect.result()


def test_a_libvirt_that_fails_when_the_driver_is_made_is_nova_s_own_failure(compute, monkeypatch, caplog):
    class Broken:
        def getVersion(self):
            raise libvirt.libvirtError("unix:///run/secret")

    monkeypatch.setattr(compute._host, "get_connection", Broken)
    with pytest.raises(exception.HypervisorUnavailable) as raised:
        compute._get_volume_driver(QUOBYTE)
    assert str(raised.value) == "Quobyte: the hypervisor failed [libvirt_error]"
    assert "Quobyte: unix:///run/secret [libvirt_error]" in caplog.text


def test_settings_that_cannot_be_used_are_nova_s_own_failure(compute, monkeypatch, caplog):
    settings = options.native
    monkeypatch.setattr(options, "native", lambda *facts: {**settings(*facts), "launcher": "nobody"})
    with pytest.raises(exception.InvalidVolume) as raised:
        compute._get_volume_driver(QUOBYTE)
    assert str(raised.value) == "Quobyte: the host's configuration cannot be used [invalid_config]"
    assert "Quobyte: nobody is none of auto" in caplog.text


def test_an_instance_that_cannot_be_one_is_nova_s_own_failure(quobyte, storage):
    info, nobody = storage.volume(), nova_host.instance("nobody")
    with pytest.raises(exception.VolumeAttachFailed, match=rf"^Quobyte volume {info['serial']}: .* \[internal\]$"):
        quobyte.connect_volume(info, nobody)
    with pytest.raises(exception.VolumeDetachFailed, match=r"\[internal\]$"):
        quobyte.disconnect_volume(info, nobody)


def test_a_volume_that_the_host_would_have_to_encrypt_is_refused(quobyte, storage):
    info = storage.volume(encrypted=True)
    for refused in (
        lambda: quobyte.connect_volume(info, nova_host.instance()),
        lambda: quobyte.get_config(info, {"type": "disk", "dev": "vdb", "bus": "virtio"}),
    ):
        with pytest.raises(exception.InvalidVolume, match="invalid_connection"):
            refused()


def test_what_a_tenant_may_see_names_no_host_and_no_path(quobyte, storage, caplog):
    info = storage.volume()
    info["data"]["export"] = "quobyte://secret-registry.example/volumes/.."
    with pytest.raises(exception.InvalidVolume) as raised:
        quobyte.connect_volume(info, nova_host.instance())
    assert str(raised.value) == (
        f"Quobyte volume {info['serial']}: the volume's export cannot be used [invalid_export]"
    )
    assert raised.value.__cause__ is None
    assert "secret-registry" in caplog.text


def test_a_volume_is_disconnected_while_libvirt_is_away(compute, quobyte, storage, monkeypatch):
    info, instance = storage.volume(), nova_host.instance()
    quobyte.connect_volume(info, instance)

    def fail():
        raise exception.HypervisorUnavailable

    with monkeypatch.context() as away:
        away.setattr(compute._host, "get_connection", fail)
        quobyte.disconnect_volume(info, instance)
    assert storage.mounts() == []


def test_libvirt_is_called_while_many_volumes_wait_for_one_share(compute, quobyte, storage, gate):
    infos = [storage.volume() for _ in range(POOL)]
    storage.settings(pid_file=gate.path)
    connects = [Background(quobyte.connect_volume, info, nova_host.instance()) for info in infos]
    until("the client to come to the gate", gate.waiting)
    compute._host.get_connection().getLibVersion()
    assert not any(connect.is_done() for connect in connects)
    gate.open()
    for connect in connects:
        connect.result()


@pytest.mark.options(io_mode="io_uring")
def test_io_uring_is_given_to_disks_where_qemu_has_it_and_refused_elsewhere(quobyte, storage):
    info, instance = storage.volume(), nova_host.instance()
    bench = ["qemu-img", "bench", "-c", "1", "-f", "raw", "-i", "io_uring", storage.image(info)]
    if subprocess.run(bench, capture_output=True).returncode == 0:
        quobyte.connect_volume(info, instance)
        disk = quobyte.get_config(info, {"type": "disk", "dev": "vdb", "bus": "virtio"})
        assert disk.driver_io == "io_uring"
    else:
        with pytest.raises(exception.InvalidVolume, match="invalid_config"):
            quobyte.connect_volume(info, instance)
