"""A server with an attached volume that no test of Tempest's knows.

bystander.py create    boots it and attaches its volume
bystander.py extend    has Nova enlarge the volume in the server, as after an extension by Cinder
bystander.py delete    takes both away
"""

import subprocess
import sys
import time
from collections.abc import Callable

import openstack
import sdk

NAME = "bystander"
GIB = 1 << 30


def create(cloud: openstack.connection.Connection) -> None:
    server = cloud.create_server(NAME, image="guest", flavor="guest-128", network="private", wait=True, timeout=600)
    volume = cloud.create_volume(1, name=NAME, wait=True, timeout=600)
    cloud.attach_volume(server, volume, wait=True, timeout=600)
    print(f"{NAME} is {server.id} with volume {volume.id}")


def extend(cloud: openstack.connection.Connection) -> None:
    """Cinder's Quobyte driver refuses to extend what is attached, so only the rest of the way is gone.

    What Cinder would have put on record is put there by hand, and Nova is told as Cinder would.
    """
    server, volume = cloud.get_server(NAME), cloud.get_volume(NAME)
    size = volume.size + 1
    update = f"UPDATE cinder.volumes SET size = {size} WHERE id = '{volume.id}'"
    subprocess.run(["mariadb", f"--socket={sys.argv[2]}", f"--execute={update}"], check=True)
    event = {"name": "volume-extended", "server_uuid": server.id, "tag": volume.id}
    answer = cloud.compute.post("/os-server-external-events", json={"events": [event]}, microversion="2.51")
    answer.raise_for_status()
    wait(lambda: capacity(server.id) == size * GIB)
    print(f"the disk of {NAME} has {size} GiB")


def delete(cloud: openstack.connection.Connection) -> None:
    cloud.delete_server(NAME, wait=True, timeout=600)
    cloud.delete_volume(NAME, wait=True, timeout=600)


def capacity(domain: str) -> int:
    command = ["virsh", "--quiet", "--connect", "qemu:///system", "domblkinfo", domain, "vdb"]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return int(next(line.split()[1] for line in answer.splitlines() if line.startswith("Capacity:")))


def wait(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(1)


{"create": create, "extend": extend, "delete": delete}[sys.argv[1]](sdk.connect())
