"""A guest of the lab, and the monitor of its QEMU."""

import json
import os
import socket
import time
import uuid

from lab import LAB, output

TEMPLATE = LAB / "tests/lab/domain.xml"
MONITOR = """<qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <qemu:arg value='-qmp'/><qemu:arg value='unix:{},server=on,wait=off'/>
</qemu:commandline></domain>"""
PATIENCE = 90


def virsh(*arguments):
    return output("virsh", "--quiet", "--connect", "qemu:///system", *arguments)


class Monitor:
    """QEMU's monitor, past libvirt: it is QEMU that is measured."""

    def __init__(self, path):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PATIENCE)
        connection.connect(str(path))
        self.stream = connection.makefile("rw")
        self.stream.readline()
        self.ask("qmp_capabilities")

    def ask(self, command):
        print(json.dumps({"execute": command}), file=self.stream, flush=True)
        while True:
            answer = json.loads(self.stream.readline())
            if "error" in answer:
                raise RuntimeError(f"{command}: {answer}")
            if "return" in answer:
                return answer["return"]

    def waited(self):
        """How many milliseconds an answer takes."""
        began = time.perf_counter()
        self.ask("query-status")
        return (time.perf_counter() - began) * 1e3

    def transferred(self, serial):
        """Bytes that a disk has read and written so far; its alias in libvirt ends in its serial number."""
        for device in self.ask("query-blockstats"):
            if serial in device.get("qdev", ""):
                return device["stats"]["rd_bytes"] + device["stats"]["wr_bytes"]
        raise RuntimeError(f"no disk {serial}")


class Guest:
    """Runs while it is entered."""

    name = "bench"

    def __enter__(self):
        directory = LAB / "bench-guest"
        directory.mkdir()
        # For QEMU, which makes the monitor's socket.
        directory.chmod(0o777)
        commands, monitor = directory / "commands", directory / "monitor"
        words = {"TYPE": os.environ["NOVA_QUOBYTE_VIRT_TYPE"], "NAME": self.name, "UUID": uuid.uuid4(),
                 "KERNEL": LAB / "guest/vmlinuz", "INITRAMFS": LAB / "guest/initramfs",
                 "CONSOLE": directory / "console", "COMMANDS": commands}
        xml = TEMPLATE.read_text().replace("</domain>", MONITOR.format(monitor))
        for word, value in words.items():
            xml = xml.replace(f"@{word}@", str(value))
        (directory / "domain.xml").write_text(xml)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(commands))
            commands.chmod(0o666)
            listener.listen()
            listener.settimeout(PATIENCE)
            virsh("create", directory / "domain.xml")
            connection, _ = listener.accept()
        connection.settimeout(PATIENCE)
        self.stream = connection.makefile("rwb")
        if self.stream.readline() != b"ready\n":
            raise RuntimeError("the guest does not boot")
        self.monitor = Monitor(monitor)
        return self

    def __exit__(self, *_):
        virsh("destroy", self.name)

    def run(self, line):
        """Runs a line of shell in the guest, as tests/lab/guest-init describes."""
        self.stream.write(f"{line}\n".encode())
        self.stream.flush()
        status, length = map(int, self.stream.readline().split())
        text = self.stream.read(length).decode()
        if status:
            raise RuntimeError(f"{line}: {text}")
        return text.strip()
