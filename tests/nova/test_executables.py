"""The programs that operators start."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import nova_host
import pytest

REGISTERED = "Quobyte volumes are served by nova_quobyte.volume.LibvirtQuobyteVolumeDriver"
# Nova's own word, once its driver has been loaded and is being started.
STARTED = " INFO nova.virt.libvirt.host "
PROGRAMS = Path(sys.executable).parent
CONDUCTOR = Path(__file__).with_name("conductor")
WITHOUT_EVENTLET = ["true", "false"] if nova_host.HAS_THREADING else ["false"]
# Ample for nova-compute to start on a busy machine, in seconds.
TIMEOUT = 300


class Placement(BaseHTTPRequestHandler):
    """Says that it is Nova's Placement service, which nova-compute looks for when it starts."""

    def do_GET(self):
        """Answer with the versions of its interface."""
        version = {"id": "v1.0", "min_version": "1.0", "max_version": "1.39", "status": "CURRENT"}
        version["links"] = [{"rel": "self", "href": ""}]
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps({"versions": [version]}).encode())

    def log_message(self, *_):
        """Keep quiet."""


@pytest.fixture
def placement():
    """The address of a Placement service."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Placement) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


# What docs/NOVA.md has operators set for each of the programs.
COMPUTE_DRIVER = {"nova-compute": "quobyte_ext.LibvirtDriver", "nova-compute-quobyte": "libvirt.LibvirtDriver"}


def test_compute_drivers_match_documentation():
    documentation = Path(__file__).parents[2].joinpath("docs", "NOVA.md").read_text()
    assert set(re.findall(r"compute_driver = ([\w.]+)", documentation)) == set(COMPUTE_DRIVER.values())


@pytest.mark.parametrize("without_eventlet", WITHOUT_EVENTLET)
@pytest.mark.parametrize(("program", "driver"), COMPUTE_DRIVER.items())
def test_nova_compute_starts_and_logs_registration(scratch, placement, program, driver, without_eventlet):
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
            if STARTED in line:
                break
        else:
            pytest.fail("".join(lines))
        assert any(" INFO nova_quobyte.registration " in line and REGISTERED in line for line in lines)
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
