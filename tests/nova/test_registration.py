"""A Nova that has dropped its own Quobyte driver, and that driver's options, is served all the same."""

import json
import subprocess
import sys

# Only a process that has not read its configuration can do without options.
SCRIPT_WITHOUT_IN_TREE_DRIVER = """
import json, os, pathlib, sys

import nova_host
from nova.conf import libvirt
from nova.virt.libvirt import driver

del driver.VOLUME_DRIVERS["quobyte"]
nova_host.CONF.unregister_opts(libvirt.libvirt_volume_quobyte_opts, group="libvirt")
assert "quobyte_mount_point_base" not in nova_host.CONF.libvirt

directory, configuration, info = sys.argv[1:]
compute = nova_host.start(pathlib.Path(directory), [configuration])
info = json.loads(info)
compute._get_volume_driver(info).connect_volume(info, nova_host.instance())
# Nova leaves threads behind.
os._exit(0)
"""


def test_driver_registers_in_nova_without_quobyte(storage, scratch):
    info = storage.volume()
    configuration = f"""[libvirt]
quobyte_mount_point_base = {storage.base}
quobyte_client_cfg = {storage.config}
[quobyte]
state_dir = {scratch}/state
"""
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT_WITHOUT_IN_TREE_DRIVER, scratch, configuration, json.dumps(info)],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert storage.mounts() == [storage.mount_path(info)]
