"""The driver keeps to what nova-compute expects of a good part of it."""

import logging
import os
import signal
import subprocess
import time
import traceback

import libvirt
import nova_host
import pytest
from nova import exception
from nova_quobyte import options
from oslo_log import formatters
from storage import SIZE
from waiting import Background, is_probe_running, wait_until

# So many times the rest of the process has to come to do something while a call goes on.
YIELDS = 100
# The threads that eventlet has for all that waits.
EVENTLET_POOL_SIZE = 20
QUOBYTE = {"driver_volume_type": "quobyte"}
SECRET = "open-sesame"


def test_slow_mount_does_not_block_nova_compute(quobyte, storage, gate):
    info = storage.volume()
    storage.settings(pid_file=gate.path)
    connect = Background(quobyte.connect_volume, info, nova_host.instance())
    wait_until("the client to come to the gate", gate.waiting)
    for _ in range(YIELDS):
        time.sleep(0)
        assert not connect.is_done()
    gate.open()
    connect.result()


@pytest.mark.options(probe_timeout=60)
def test_hung_client_does_not_block_nova_compute(quobyte, storage, scratch):
    info, instance = storage.volume(), nova_host.instance()
    quobyte.connect_volume(info, instance)
    storage.fault("no-answer")
    connect = Background(quobyte.connect_volume, info, instance)
    wait_until("somebody to ask the hung client", lambda: is_probe_running(scratch))
    for _ in range(YIELDS):
        time.sleep(0)
        assert not connect.is_done()
    storage.fault()
    os.kill(storage.client(), signal.SIGKILL)
    connect.result()


def test_libvirt_failure_raises_nova_exception(compute, monkeypatch, caplog):
    class Broken:
        def getVersion(self):
            error = libvirt.libvirtError("")
            # Its own text is that of the thread's last failure, if there was one.
            error.args = ("unix:///run/secret",)
            raise error

    monkeypatch.setattr(compute._host, "get_connection", Broken)
    with pytest.raises(exception.HypervisorUnavailable) as raised:
        compute._get_volume_driver(QUOBYTE)
    assert str(raised.value) == "Quobyte: the hypervisor failed [libvirt_error]"
    assert "Quobyte: unix:///run/secret [libvirt_error]" in caplog.text


def test_invalid_config_raises_nova_exception(compute, monkeypatch, caplog):
    settings = options.native
    monkeypatch.setattr(options, "native", lambda *facts: {**settings(*facts), "launcher": "nobody"})
    with pytest.raises(exception.InvalidVolume) as raised:
        compute._get_volume_driver(QUOBYTE)
    assert str(raised.value) == "Quobyte: the host's configuration cannot be used [invalid_config]"
    assert "Quobyte: nobody is none of auto" in caplog.text


@pytest.mark.parametrize(
    ("option", "length", "bound"),
    [
        ("mount_point_base", 3807, "3806 bytes"),
        ("mount_point_base", 4046, "3806 bytes"),
        ("state_dir", 3831, "3830 bytes"),
        ("client_cfg", 4096, "4095 bytes"),
        ("helper", 4096, "4095 bytes"),
    ],
)
def test_long_path_names_its_bound(compute, monkeypatch, caplog, option, length, bound):
    settings = options.native
    long = ("/" + "a" * 99) * (length // 100) + "/" + "a" * (length % 100 - 1)
    assert len(long) == length
    for path, reason in [(long, bound), ("/" + "a" * 300, "255 bytes")]:
        monkeypatch.setattr(options, "native", lambda *facts, path=path: {**settings(*facts), option: path})
        with pytest.raises(exception.InvalidVolume, match="invalid_config"):
            compute._get_volume_driver(QUOBYTE)
        assert reason in caplog.text


def test_unusable_state_dir_raises_nova_exception(compute, monkeypatch, scratch, caplog):
    (scratch / "file").touch()
    settings = options.native
    monkeypatch.setattr(
        options, "native", lambda *facts: {**settings(*facts), "state_dir": str(scratch / "file" / "x")}
    )
    with pytest.raises(exception.InternalError, match=r"^Quobyte: .* \[state_unavailable\]$"):
        compute._get_volume_driver(QUOBYTE)
    assert f"Quobyte: state directory {scratch}/file/x" in caplog.text


def test_state_dir_open_to_others_raises_nova_exception(compute, monkeypatch, scratch, caplog):
    state = scratch / "open"
    state.mkdir()
    state.chmod(0o777)
    settings = options.native
    monkeypatch.setattr(options, "native", lambda *facts: {**settings(*facts), "state_dir": str(state)})
    with pytest.raises(exception.InternalError, match=r"^Quobyte: .* \[state_unavailable\]$"):
        compute._get_volume_driver(QUOBYTE)
    assert f"state directory {state} may be written by others; chmod go-w {state}" in caplog.text


@pytest.mark.parametrize(("modes", "cache"), [({}, "none"), ({"file": "directsync"}, "directsync")])
def test_nova_cache_mode_takes_precedence(compute, quobyte, storage, define, monkeypatch, modes, cache):
    guest = define()
    monkeypatch.setattr(compute, "disk_cachemodes", modes)
    instance = nova_host.instance(guest.uuid)
    compute.attach_volume(nova_host.admin(), storage.volume(), instance, "/dev/vdb", encryption={})
    assert f" cache='{cache}'" in guest.domain.XMLDesc(0)


def test_invalid_instance_uuid_raises_nova_exception(quobyte, storage):
    info, invalid_instance = storage.volume(), nova_host.instance("nobody")
    with pytest.raises(exception.VolumeAttachFailed, match=rf"^Quobyte volume {info['serial']}: .* \[internal\]$"):
        quobyte.connect_volume(info, invalid_instance)
    with pytest.raises(exception.VolumeDetachFailed, match=r"\[internal\]$"):
        quobyte.disconnect_volume(info, invalid_instance)


def test_host_encrypted_volume_is_refused(quobyte, storage):
    info = storage.volume(encrypted=True)
    for operation in (
        lambda: quobyte.connect_volume(info, nova_host.instance()),
        lambda: quobyte.get_config(info, {"type": "disk", "dev": "vdb", "bus": "virtio"}),
    ):
        with pytest.raises(exception.InvalidVolume, match="invalid_connection"):
            operation()


def test_tenant_visible_error_hides_host_and_path(quobyte, storage, caplog):
    info = storage.volume()
    info["data"]["export"] = "quobyte://secret-registry.example/volumes/.."
    with pytest.raises(exception.InvalidVolume) as raised:
        quobyte.connect_volume(info, nova_host.instance())
    assert str(raised.value) == (
        f"Quobyte volume {info['serial']}: the volume's export cannot be used [invalid_export]"
    )
    assert raised.value.__cause__ is None
    assert "secret-registry" in caplog.text


@pytest.mark.options(lock_timeout=0.5)
def test_detach_and_extend_errors_log_instance(quobyte, storage, gate, caplog):
    info, instance = storage.volume(), nova_host.instance()
    with pytest.raises(exception.VolumeExtendFailed) as raised:
        quobyte.extend_volume(info, instance, 2 * SIZE)
    assert str(raised.value) == f"Quobyte volume {info['serial']}: the volume is not mounted [not_mounted]"
    storage.settings(pid_file=gate.path)
    connect = Background(quobyte.connect_volume, storage.volume(), nova_host.instance())
    wait_until("the client to come to the gate", gate.waiting)
    with pytest.raises(exception.VolumeDetachFailed) as raised:
        quobyte.disconnect_volume(info, instance)
    assert str(raised.value) == (
        f"Quobyte volume {info['serial']}: another operation on the volume's share takes too long [lock_timeout]"
    )
    gate.open()
    connect.result()
    for code in ("not_mounted", "lock_timeout"):
        (line,) = [line for line in format_log(caplog.records) if line.endswith(f" [{code}]")]
        assert f" [instance: {instance.uuid}] Quobyte volume {info['serial']}: " in line


def format_log(records):
    """Return what was logged as it stands in nova-compute's log."""
    formatter = formatters.ContextFormatter(config=nova_host.CONF)
    return [formatter.format(record) for record in records]


@pytest.mark.parametrize(
    ("refused", "failures"),
    [({}, 1), ({"encrypted": True}, 3), ({"export": "../.."}, 4), ({"name": ".."}, 4), ({"format": "vmdk"}, 3)],
)
def test_volume_secrets_are_not_logged_or_shown(compute, quobyte, storage, define, caplog, refused, failures):
    info = storage.volume(auth_password=SECRET, options=f"-o password={SECRET}", qos_specs={"vendor:key": SECRET})
    info |= {"auth_password": SECRET, "data": info["data"] | refused}
    instance = nova_host.instance(define().uuid)
    disk = {"type": "disk", "dev": "vdb", "bus": "virtio"}
    steps = [
        lambda: compute.attach_volume(nova_host.admin(), info, instance, "/dev/vdb", encryption={}),
        lambda: quobyte.get_config(info, disk).to_xml(),
        lambda: quobyte.extend_volume(info, instance, SIZE // 2),
        lambda: compute.detach_volume(nova_host.admin(), info, instance, "/dev/vdb", encryption={}),
    ]
    caplog.set_level(logging.DEBUG)
    failed = 0
    for step in steps:
        try:
            assert SECRET not in str(step())
        except exception.NovaException as error:
            assert SECRET not in "".join(traceback.format_exception(error))
            failed += 1
    assert failed == failures
    assert SECRET not in "".join(format_log(caplog.records))


def test_disconnect_succeeds_while_libvirt_is_down(compute, quobyte, storage, monkeypatch):
    info, instance = storage.volume(), nova_host.instance()
    quobyte.connect_volume(info, instance)

    def fail():
        raise exception.HypervisorUnavailable

    with monkeypatch.context() as patched:
        patched.setattr(compute._host, "get_connection", fail)
        quobyte.disconnect_volume(info, instance)
    assert storage.mounts() == []


def test_waiting_connects_do_not_block_libvirt_calls(compute, quobyte, storage, gate):
    infos = [storage.volume() for _ in range(EVENTLET_POOL_SIZE)]
    storage.settings(pid_file=gate.path)
    connects = [Background(quobyte.connect_volume, info, nova_host.instance()) for info in infos]
    wait_until("the client to come to the gate", gate.waiting)
    compute._host.get_connection().getLibVersion()
    assert not any(connect.is_done() for connect in connects)
    gate.open()
    for connect in connects:
        connect.result()


@pytest.mark.options(io_mode="io_uring")
def test_io_uring_requires_qemu_support(quobyte, storage):
    info, instance = storage.volume(), nova_host.instance()
    bench = ["qemu-img", "bench", "-c", "1", "-f", "raw", "-i", "io_uring", storage.image(info)]
    if subprocess.run(bench, capture_output=True).returncode == 0:
        quobyte.connect_volume(info, instance)
        disk = quobyte.get_config(info, {"type": "disk", "dev": "vdb", "bus": "virtio"})
        assert disk.driver_io == "io_uring"
    else:
        with pytest.raises(exception.InvalidVolume, match="invalid_config"):
            quobyte.connect_volume(info, instance)
