"""The way into the cloud for the other programs here: as its administrator."""

import openstack


def connect() -> openstack.connection.Connection:
    return openstack.connect(
        auth_url="http://127.0.0.1:5000/v3",
        username="admin",
        password="cloud",
        project_name="admin",
        user_domain_id="default",
        project_domain_id="default",
        region_name="RegionOne",
    )
