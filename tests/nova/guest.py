"""A libvirt domain that boots the lab's small Linux and runs commands for a test.

``tests/lab/guest-init`` describes its command service.
"""

import os
import socket
import uuid
from pathlib import Path

import libvirt
from lxml import etree

LAB = Path(os.environ["NOVA_QUOBYTE_LAB"])
DOMAIN = Path(__file__).parents[1] / "lab" / "domain.xml"
# Ample for a boot, or for one command, of an emulated guest on a busy machine.
TIMEOUT = 300
MARK = "written by the guest"


class Guest:
    """A persistent domain with free PCI slots and a virtio SCSI controller."""

    def __init__(self, connection, scratch):
        self._connection = connection
        self.uuid = str(uuid.uuid4())
        self.name = f"guest-{self.uuid[:8]}"
        commands = scratch / f"{self.name}.commands"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(commands))
        self._listener.listen()
        self._listener.settimeout(TIMEOUT)
        commands.chmod(0o666)
        self._commands = None
        xml = DOMAIN.read_text()
        for mark, value in {
            "TYPE": os.environ["NOVA_QUOBYTE_VIRT_TYPE"],
            "NAME": self.name,
            "UUID": self.uuid,
            "KERNEL": LAB / "guest" / "vmlinuz",
            "INITRAMFS": LAB / "guest" / "initramfs",
            "CONSOLE": scratch / f"{self.name}.console",
            "COMMANDS": commands,
        }.items():
            xml = xml.replace(f"@{mark}@", str(value))
        self.domain = connection.defineXML(xml)

    def start(self):
        """Start the domain, and wait until it takes commands."""
        self.domain.create()
        self.accept_commands()
        self._await_boot()

    def accept_commands(self):
        """Take the connection of a domain that has been started or resumed."""
        connection, _ = self._listener.accept()
        self._use_connection(connection)

    def connect_after_reboot(self):
        """Connect to the domain that Nova has made in this one's place and booted; wait until it takes commands."""
        description = etree.fromstring(self.domain.XMLDesc(0))
        port = description.findall("devices/serial/source")[1]
        self._use_connection(socket.create_connection((port.get("host"), port.get("service"))))
        self._await_boot()

    def _use_connection(self, connection):
        connection.settimeout(TIMEOUT)
        self._commands = connection.makefile("rwb", buffering=0)

    def _await_boot(self):
        assert self._commands.readline() == b"ready\n"

    def run(self, command):
        """Run one line of shell in the guest and return what it wrote; it must succeed."""
        self._commands.write(command.encode() + b"\n")
        status, length = map(int, self._commands.readline().split())
        output = b""
        while len(output) < length:
            output += self._commands.read(length - len(output))
        assert status == 0, f"{command} in the guest: {output.decode()}"
        return output.decode()

    def disk(self, serial):
        """Wait until the guest can read a virtio disk with that serial number, and return its path."""
        return self.run(
            f"until disk=$(grep -lxF '{serial[:20]}' /sys/block/vd*/serial 2>/dev/null) && "
            "disk=/dev/$(basename ${disk%/serial}) && head -c 1 $disk >/dev/null 2>&1; "
            "do usleep 1000; done; echo -n $disk"
        )

    def write(self, info):
        """Write to the start of a volume."""
        self.run(f"echo -n '{MARK}' | dd of={self.disk(info['serial'])} conv=fsync")

    def read(self, info):
        """Return what is at the start of a volume now."""
        disk = self.disk(info["serial"])
        return self.run(f"dd if={disk} bs={len(MARK)} count=1 iflag=direct,fullblock 2>/dev/null")

    def exists(self):
        """Tell whether libvirt has the domain."""
        return self.uuid in [domain.UUIDString() for domain in self._connection.listAllDomains(0)]

    def remove(self):
        """End the domain and forget it, where Nova has not."""
        self._listener.close()
        if not self.exists():
            return
        if self.domain.isActive():
            self.domain.destroy()
        self.domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE)
