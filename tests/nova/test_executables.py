"""The programs that operators start."""

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import nova_host
import pytest
from nova_quobyte import registration
from placement import serve_placement

SERVED = f"Quobyte volumes are served by {registration.VOLUME_DRIVER}"
PROGRAMS = Path(sys.executable).parent
CONDUCTOR = Path(__file__).with_name("conductor")
WITHOUT_EVENTLET = ["true", "false"] if nova_host.HAS_THREADING else ["false"]
# Ample for nova-compute to start on a busy machine, in seconds.
TIMEOUT = 300


# What docs/NOVA.md has operators set for each of the programs.
COMPUTE_DRIVER = {"nova-compute": "quobyte_ext.LibvirtDriver", "nova-compute-quobyte": "libvirt.LibvirtDriver"}


@pytest.fixture
def placement():
    """The address of a Placement service."""
    with serve_placement() as address:
        yield address


def test_compute_drivers_match_documentation():
    documentation = Path(__file__).parents[2].joinpath("docs", "NOVA.md").read_text()
    assert set(re.findall(r"compute_driver = ([\w.]+)", documentation)) == set(COMPUTE_DRIVER.values())
    assert SERVED in documentation


@pytest.mark.parametrize("without_eventlet", WITHOUT_EVENTLET)
@pytest.mark.parametrize(("program", "driver"), COMPUTE_DRIVER.items())
def test_nova_compute_starts_and_logs_volume_driver(scratch, placement, program, driver, without_eventlet):
    config = scratch / "nova.conf"
    config.write_text(
        f"""[DEFAULT]
compute_driver = {driver}
transport_url = fake:/
state_path = {scratch}
[libvirt]
virt_type = qemu
[oslo_concurrency]
lock_path = {scratch}
[quobyte]
state_dir = {scratch}/state
[placement]
auth_type = none
endpoint_override = {placement}
"""
    )
    # Its first line, which says where the interpreter was when it was installed, may be out of reach.
    service = subprocess.Popen(
        [sys.executable, PROGRAMS / program, "--config-file", config],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(CONDUCTOR), "OS_NOVA_DISABLE_EVENTLET_PATCHING": without_eventlet},
        start_new_session=True,
    )
    # A service that says nothing more would be listened to for ever.
    watchdog = threading.Timer(TIMEOUT, os.killpg, (service.pid, signal.SIGKILL))
    watchdog.start()
    try:
        lines = []
        for line in service.stdout:
            lines.append(line)
            if "Quobyte volumes" in line:
                break
        assert " INFO nova_quobyte.registration " in lines[-1] and SERVED in lines[-1], "".join(lines)
    finally:
        watchdog.cancel()
        watchdog.join()
        os.killpg(service.pid, signal.SIGKILL)
        service.wait()


def test_package_ships_nova_quobyte_command():
    result = subprocess.run(
        [sys.executable, PROGRAMS / "nova-quobyte", "--version"], capture_output=True, text=True, check=True
    )
    assert result.stdout.startswith("nova-quobyte ")


def test_sample_config_lists_quobyte_options():
    generator = "from oslo_config.generator import main; main()"
    sample = subprocess.run(
        [sys.executable, "-c", generator, "--namespace", "nova_quobyte"], capture_output=True, text=True, check=True
    ).stdout
    assert "[quobyte]" in sample
    for option in ("state_dir", "launcher", "mount_timeout", "cache_mode", "physical_block_size"):
        assert f"#{option} = " in sample
