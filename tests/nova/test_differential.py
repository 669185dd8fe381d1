"""What libvirt is told by this driver and by Nova's own is the same, but for what is decided on purpose."""

import json
import os
import random
import subprocess
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nova_host
import pytest
from lxml import etree
from nova.virt.libvirt import config as nova_config
from nova.virt.libvirt.volume.quobyte import LibvirtQuobyteVolumeDriver as InTree

SEED = 20150731
PAIR_COUNT = 2000
PARALLEL_COMMANDS = 2
EXPORTS = [
    "registry/volumes",
    "registry.example:7861/volumes-2",
    "10.0.0.1,10.0.0.2:7861/tenant#volumes",
    "[fd00::1]:7861/volumes.4",
]
# A volume's, one's that has a snapshot, and what only a person would call an image.
IMAGES = [
    ("raw", "volume-{}"),
    ("raw", "größe & 'rest' <{}>.img"),
    ("qcow2", "volume-{}"),
    ("qcow2", "volume-{}.{}"),
]
LIMITS = ["bytes_sec", "iops_sec", "bytes_sec_max", "iops_sec_max"]


class PairGenerator:
    """Makes up what Nova may be given by Cinder, and where the disk is to go."""

    def __init__(self, storage):
        self._random = random.Random(SEED)
        self._bases = [self._base(storage, export, *image) for export in EXPORTS for image in IMAGES]

    def _base(self, storage, export, image_format, name):
        info = storage.volume(export.rpartition("/")[2], image_format)
        image = storage.image(info)
        info["data"]["export"] = f"quobyte://{export}"
        info["data"]["name"] = name.format(info["serial"], uuid.uuid4())
        image.rename(storage.image(info))
        return info

    def bases(self):
        """Return a volume of each format and kind of name on each share."""
        return self._bases

    def make(self):
        """Return a connection_info and a disk_info."""
        rng = self._random
        info = json.loads(json.dumps(rng.choice(self._bases)))
        data = info["data"]
        info["serial"] = data["volume_id"] = str(uuid.UUID(int=rng.getrandbits(128), version=4))
        if rng.random() < 0.1:
            del data["volume_id"]
        if rng.random() < 0.5:
            data["export"] = data["export"].removeprefix("quobyte://")
        if data["format"] == "raw" and rng.random() < 0.3:
            del data["format"]
        if rng.random() < 0.3 and data.get("format", "raw") == "raw":
            info["multiattach"] = True
        optional = {
            "access_mode": lambda: rng.choice(["rw", "ro"]),
            "discard": lambda: rng.choice([True, False]),
            "encrypted": lambda: False,
            "logical_block_size": lambda: "512",
            "physical_block_size": lambda: rng.choice(["512", "4096", "65536"]),
            "qos_specs": self._limits,
            "options": lambda: "-o allow_other",
            "mount_point_base": lambda: "/elsewhere",
            "device_path": lambda: "/dev/sda",
        }
        for key, value in optional.items():
            if rng.random() < 0.4:
                data[key] = value()
        bus = rng.choice(["virtio", "scsi", "sata", "ide", "usb"])
        prefix = {"virtio": "vd", "ide": "hd"}.get(bus, "sd")
        disk = {"bus": bus, "dev": prefix + rng.choice("abcdefgh"), "type": "disk"}
        if bus == "scsi" and rng.random() < 0.5:
            disk["unit"] = rng.randrange(256)
        return info, disk

    def _limits(self):
        """Return limits on reads and writes together or on each alone, among words of other back ends."""
        rng = self._random
        specs = {"vendor:tier": "gold"}
        for limit in LIMITS:
            for direction in rng.choice([[], ["total"], ["read"], ["write"], ["read", "write"]]):
                specs[f"{direction}_{limit}"] = rng.choice([str, int])(rng.randrange(1, 10**9))
        if rng.random() < 0.3:
            specs["size_iops_sec"] = "4096"
        return rng.choice([specs, None, {}])


@pytest.fixture
def pairs(quobyte, storage):
    """Pairs whose volumes are connected."""
    pairs = PairGenerator(storage)
    for info in pairs.bases():
        quobyte.connect_volume(info, nova_host.instance())
    return pairs


def canonicalize(xml, remove=()):
    """Return XML as it is compared, and what was taken out of it."""
    root = etree.fromstring(xml, etree.XMLParser(remove_blank_text=True))
    removed = {}
    for path in remove:
        for element in root.findall(path):
            removed[path] = etree.tostring(element).decode()
            root.remove(element)
    return etree.tostring(root, method="c14n").decode(), removed


def test_disk_xml_matches_in_tree_driver(nova, quobyte, pairs):
    in_tree = InTree(nova._host)
    for _ in range(PAIR_COUNT):
        info, disk = pairs.make()
        actual, removed = canonicalize(quobyte.get_config(info, disk).to_xml(), ["backingStore"])
        expected, _ = canonicalize(in_tree.get_config(info, disk).to_xml())
        assert actual == expected, (info, disk)
        # No image has anything below it, and libvirt is not to look for it.
        assert removed == {"backingStore": "<backingStore/>"}


def test_disk_xml_matches_command_output(quobyte, pairs, storage, scratch):
    command = Path(os.environ["NOVA_QUOBYTE_LAB"]) / "bin" / "nova-quobyte"
    options = ["--quobyte-mount-point-base", storage.base, "--state-dir", scratch / "state"]

    def describe(pair):
        info, disk = pair
        target = ["--target", disk["dev"], "--bus", disk["bus"]]
        answer = subprocess.run(
            [command, "disk-xml", "--connection-info", "-", *target, *options],
            input=json.dumps(info),
            capture_output=True,
            text=True,
            check=True,
        )
        return answer.stdout

    # Nova names its devices from release 29 on.
    names = [] if hasattr(nova_config, "make_libvirt_device_alias") else ["alias"]
    made = [pairs.make() for _ in range(PAIR_COUNT)]
    with ThreadPoolExecutor(PARALLEL_COMMANDS) as commands:
        for (info, disk), command_xml in zip(made, commands.map(describe, made), strict=True):
            # The command leaves a disk's unit to libvirt.
            disk.pop("unit", None)
            expected = sort_limits(quobyte.get_config(info, disk).to_xml())
            assert sort_limits(command_xml, remove=names) == expected, (info, disk)


def sort_limits(xml, remove=()):
    """Return XML with the limits in one order: libvirt's, which the command keeps, and Nova's differ."""
    root = etree.fromstring(xml, etree.XMLParser(remove_blank_text=True))
    for tune in root.findall("iotune"):
        tune[:] = sorted(tune, key=lambda limit: limit.tag)
    return canonicalize(etree.tostring(root), remove)[0]
