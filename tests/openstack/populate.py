"""Gives the cloud what Tempest needs to find in it. Does nothing where it is there already.

populate.py endpoints    where each service is, and the user that services are to each other
populate.py resources    flavors, a network, images, a volume type; waits until guests can be placed
"""

import os
import sys
import time

import openstack
import sdk
from openstack import exceptions

GUEST = os.environ["NOVA_QUOBYTE_CLOUD"] + "/guest.qcow2"
ENDPOINTS = {
    "placement": "http://127.0.0.1:8778",
    "image": "http://127.0.0.1:9292",
    "network": "http://127.0.0.1:9696",
    "compute": "http://127.0.0.1:8774/v2.1",
    "volumev3": "http://127.0.0.1:8776/v3",
}
# tempest.conf names these.
FLAVORS = {"1": 128, "2": 192}
IMAGES = {"guest": "00000000-0000-4000-8000-000000000001", "guest-alt": "00000000-0000-4000-8000-000000000002"}


def endpoints(cloud: openstack.connection.Connection) -> None:
    if cloud.get_user("services"):
        return
    identity = cloud.identity
    for kind, url in ENDPOINTS.items():
        service = identity.create_service(type=kind, name=kind)
        identity.create_endpoint(service_id=service.id, interface="public", region_id="RegionOne", url=url)
    cloud.create_project(name="service", domain_id="default")
    cloud.create_user(name="services", password="cloud", domain_id="default")
    for role in ("admin", "service"):
        cloud.grant_role(role, user="services", project="service")


def resources(cloud: openstack.connection.Connection) -> None:
    wait_for_hypervisor(cloud)
    for flavor, memory in FLAVORS.items():
        if not cloud.get_flavor(f"guest-{memory}"):
            cloud.create_flavor(f"guest-{memory}", ram=memory, vcpus=1, disk=1, flavorid=flavor)
    network = cloud.get_network("private") or cloud.create_network("private", shared=True)
    if not cloud.get_subnet("private"):
        cloud.create_subnet(network.id, subnet_name="private", cidr="10.77.0.0/16", gateway_ip="10.77.0.1")
    if not cloud.block_storage.find_type("quobyte"):
        volume_type = cloud.block_storage.create_type(name="quobyte")
        cloud.block_storage.update_type_extra_specs(volume_type, volume_backend_name="quobyte")
    for name, image in IMAGES.items():
        if not cloud.get_image(name):
            cloud.image.create_image(
                name, id=image, filename=GUEST, disk_format="qcow2", container_format="bare", visibility="public"
            )


def wait_for_hypervisor(cloud: openstack.connection.Connection) -> None:
    """Nova's scheduler looks for new hosts now and then, and tells nobody."""
    deadline = time.monotonic() + 180
    while not list(cloud.compute.hypervisors()):
        if time.monotonic() > deadline:
            raise exceptions.ResourceTimeout("no hypervisor came up")
        time.sleep(1)


{"endpoints": endpoints, "resources": resources}[sys.argv[1]](sdk.connect())
