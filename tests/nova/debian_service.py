"""Debian's own nova-compute, with this driver beside it as docs/NOVA.md says, started by its own service's script.

For a machine that `tests/nova/debian` has made. Its configuration is the packages' own but for what stands in for other
services; what runs is known by nova-compute's log.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from placement import serve_placement

REPOSITORY = Path(__file__).parents[2]
(WHEEL,) = REPOSITORY.glob("dist/*.whl")
CONDUCTOR = Path(__file__).parent / "conductor" / "sitecustomize.py"
LAB = Path(os.environ["NOVA_QUOBYTE_LAB"])
NOVA = Path("/etc/nova")
LOG = Path("/var/log/nova/nova-compute.log")
SERVED = "Quobyte volumes are served by nova_quobyte.volume.LibvirtQuobyteVolumeDriver"
# Ample for nova-compute to start on a busy machine, in seconds.
TIMEOUT = 300


def documented_ways():
    """Return what docs/NOVA.md has root type beside Debian's packages and where the command is then, by title."""
    documentation = (REPOSITORY / "docs" / "NOVA.md").read_text()
    (section,) = re.findall(r"^### Beside Debian's packages\n(.*?)^##+ ", documentation, re.MULTILINE | re.DOTALL)
    way = r"^\*\*(.+?)\*\*.*?The command is `(.+?)`.*?\n\n((?:    [^\n]*\n)+)"
    ways = re.findall(way, section, re.MULTILINE | re.DOTALL)
    assert len(ways) == 2
    return {title: (re.sub("^    ", "", block, flags=re.MULTILINE), command) for title, command, block in ways}


WAYS = documented_ways()


@pytest.fixture
def service():
    """Starts nova-compute as its unit does, and waits for a line of its log; returns the log up to there."""
    unit = Path("/usr/lib/systemd/system/nova-compute.service").read_text()
    settings = dict(line.split("=", 1) for line in unit.splitlines() if "=" in line)
    assert settings["User"] == settings["Group"] == "nova"
    # The lab's nova is another user than Debian's.
    subprocess.run(["chown", "--recursive", "nova:nova", "/var/lib/nova", "/var/log/nova", NOVA], check=True)
    runtime = [f"/run/{name}" for name in settings["RuntimeDirectory"].split()]
    cache = [f"/var/cache/{name}" for name in settings["CacheDirectory"].split()]
    subprocess.run(["install", "--directory", "--owner=nova", "--group=nova", *runtime, *cache], check=True)
    processes = []

    def start(awaited):
        LOG.unlink(missing_ok=True)
        process = subprocess.Popen(
            settings["ExecStart"].split(),
            env={"HOME": str(LAB / "nova"), "PATH": f"{LAB}/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"},
            cwd=LAB / "nova",
            user="nova",
            group="nova",
            extra_groups=["nova", "libvirt", "fuse"],
            start_new_session=True,
        )
        processes.append(process)
        deadline = time.monotonic() + TIMEOUT
        while awaited not in (log := LOG.read_text() if LOG.exists() else ""):
            assert process.poll() is None, log
            assert time.monotonic() < deadline, log
            time.sleep(0.1)
        return log

    yield start
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def restored():
    """What the packages have installed is there again in the end, and nothing else."""
    kept = LAB / "kept"
    shutil.copytree("/etc", kept, symlinks=True)
    yield
    shutil.rmtree("/opt/nova-quobyte", ignore_errors=True)
    Path("/etc/default/nova-compute").unlink(missing_ok=True)
    shutil.copytree(kept / "nova", NOVA, dirs_exist_ok=True)
    shutil.rmtree(kept)
    subprocess.run(
        ["/usr/bin/python3", "-m", "pip", "uninstall", "--quiet", "--yes", "--break-system-packages", "nova-quobyte"],
        check=True,
    )


@pytest.fixture
def host(restored):
    """A compute host as Debian's packages set it up, on which other services are stood in for."""
    site = subprocess.run(
        ["/usr/bin/python3", "-c", "import site; print(site.USER_SITE)"],
        env={"HOME": str(LAB / "nova")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    # The service's environment is what /etc/default makes it, so the user's own packages start the conductor.
    Path(site).mkdir(parents=True, exist_ok=True)
    shutil.copy(CONDUCTOR, Path(site, "usercustomize.py"))
    with serve_placement() as address, (NOVA / "nova.conf").open("a") as configuration:
        configuration.write(
            f"""
[DEFAULT]
transport_url = fake:/
[placement]
auth_type = none
endpoint_override = {address}
[quobyte]
state_dir = /run/nova-quobyte
"""
        )
        configuration.flush()
        yield


def type_as_root(commands):
    """Type what a way consists of, in the directory of the wheel."""
    # Its name says which glibc it was built with.
    commands = re.sub(r"nova_quobyte-\S+\.whl", WHEEL.name, commands)
    subprocess.run(["bash", "-euo", "pipefail", "-c", commands], cwd=WHEEL.parent, check=True)


@pytest.mark.parametrize("way", WAYS)
def test_documented_way_serves_quobyte(host, service, way):
    typed, command = WAYS[way]
    type_as_root(typed)
    subprocess.run([command, "--version"], env={}, user="nova", check=True)
    log = service("Quobyte volumes are ")
    assert re.search(rf" INFO nova_quobyte\.registration .*\] {re.escape(SERVED)}$", log, re.MULTILINE)
    assert " ERROR nova_quobyte." not in log


def test_compute_driver_in_nova_conf_is_overridden(host, service):
    (typed,) = (typed for typed, _ in WAYS.values() if "quobyte_ext" in typed)
    type_as_root("".join(line for line in typed.splitlines(keepends=True) if "nova-compute.conf" not in line))
    with (NOVA / "nova.conf").open("a") as configuration:
        configuration.write("[DEFAULT]\ncompute_driver = quobyte_ext.LibvirtDriver\n")
    assert "Loading compute driver 'libvirt.LibvirtDriver'" in service("Loading compute driver '")
