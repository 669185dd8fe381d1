"""What the tests share: Nova, storage, guests."""

import os
import signal
import sys
import tempfile
from pathlib import Path

import nova_host
import outcome
import pytest
from guest import Guest
from nova.virt.libvirt import driver as libvirt_driver
from storage import Storage
from waiting import Gate


@pytest.fixture(scope="session", autouse=True)
def threading_mode():
    """Nova runs in the mode that was asked for: with eventlet in every thread's place, or without it altogether."""
    # Nova 33 imports eventlet to keep others from doing so.
    patcher = sys.modules.get("eventlet.patcher")
    is_patched = patcher is not None and bool(patcher.is_monkey_patched("thread"))
    assert is_patched == (os.environ["OS_NOVA_DISABLE_EVENTLET_PATCHING"] != "true")


@pytest.fixture(scope="session")
def nova(tmp_path_factory):
    """Nova's libvirt driver, started as nova-compute starts it."""
    return nova_host.start(tmp_path_factory.mktemp("nova"))


@pytest.fixture
def scratch():
    """A directory that QEMU's user can reach."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        path = Path(directory)
        path.chmod(0o755)
        yield path


@pytest.fixture
def storage(scratch):
    """Volumes, all unmounted in the end."""
    storage = Storage(scratch)
    yield storage
    storage.clean_up()


@pytest.fixture
def gate(scratch):
    """A place where clients can be held."""
    gate = Gate(scratch / "gate")
    yield gate
    gate.close()


@pytest.fixture
def compute(nova, storage, request):
    """Nova's libvirt driver with a Quobyte volume driver of its own for this test, which may mark its options."""
    conf = nova_host.CONF
    marker = request.node.get_closest_marker("options")
    options = {"state_dir": str(storage.state), **(marker.kwargs if marker else {})}
    conf.set_override("quobyte_mount_point_base", str(storage.base), "libvirt")
    conf.set_override("quobyte_client_cfg", str(storage.config), "libvirt")
    for name, value in options.items():
        conf.set_override(name, value, "quobyte")
    nova.volume_drivers.clear()
    yield nova
    nova.volume_drivers.clear()
    for name in options:
        conf.clear_override(name, "quobyte")


@pytest.fixture
def quobyte(compute):
    """Nova's driver for Quobyte volumes."""
    return compute._get_volume_driver({"driver_volume_type": "quobyte"})


@pytest.fixture
def restart(compute, storage, monkeypatch):
    """Starts this package's part of Nova's driver again, and returns it; Nova's own is for once in a process."""
    monkeypatch.setattr(libvirt_driver.LibvirtDriver, "init_host", lambda *_: None)

    def restart():
        compute.volume_drivers.clear()
        # They end with their nova-compute.
        for process, command_line in storage.processes():
            if "quobyte-share-helper" in command_line:
                os.kill(process, signal.SIGKILL)
        compute.init_host("lab")
        return compute._get_volume_driver({"driver_volume_type": "quobyte"})

    return restart


@pytest.fixture
def override():
    """Sets an option of Nova's for this test."""
    overridden = []

    def override(name, value, group=None):
        nova_host.CONF.set_override(name, value, group)
        overridden.append((name, group))

    yield override
    for name, group in overridden:
        nova_host.CONF.clear_override(name, group)


@pytest.fixture
def hard_reboot(compute, scratch, override):
    """Has Nova boot a guest anew with volumes, in a domain of Nova's own making with the lab's kernel."""
    override("instances_path", str(scratch))
    # A guest takes commands on its second serial port; whoever shows its screen stays out.
    override("enabled", True, "serial_console")
    override("enabled", False, "vnc")

    def make(guest, volumes, display_name="test"):
        # An emulated processor's cmpxchg16b may be wrong, see tests/vm/run.
        image = {"hw_serial_port_count": "2", "os_command_line": "console=ttyS0 quiet clearcpuid=cx16"}
        instance = nova_host.instance(guest.uuid, display_name, **image)
        nova_host.create_images(scratch / guest.uuid)
        disks = nova_host.block_device_info(instance, volumes)
        compute.reboot(nova_host.admin(), instance, nova_host.NO_NETWORK, "HARD", block_device_info=disks)
        guest.connect_after_reboot()
        return instance

    return make


@pytest.fixture
def define(nova, scratch):
    """Makes domains, all gone in the end."""
    guests = []

    def make():
        guests.append(Guest(nova._host.get_connection(), scratch))
        return guests[-1]

    yield make
    for guest in guests:
        guest.remove()


@pytest.fixture
def boot(define):
    """Makes running guests."""

    def make():
        guest = define()
        guest.start()
        return guest

    return make


def pytest_configure(config):
    """Make the marker known."""
    config.addinivalue_line("markers", "options(**options): options of [quobyte] that the test needs")


def pytest_sessionfinish(session, exitstatus):
    """Remember how the tests went, and write it down where that is asked for."""
    session.config.exit_status = int(exitstatus)
    if file := os.environ.get("NOVA_QUOBYTE_RESULT"):
        outcome.write(Path(file), session.config.pluginmanager.get_plugin("terminalreporter").stats)


def pytest_unconfigure(config):
    """End the process: Nova leaves threads behind that would keep it for ever."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(getattr(config, "exit_status", 1))
