"""A Quobyte volume of the stand-in client, and where it is mounted."""

import contextlib
import hashlib
import os
import signal
import subprocess
import uuid
from pathlib import Path

SIZE = 8 << 20


class Storage:
    """A store with volumes, a client configuration that finds them, and a directory to mount below."""

    def __init__(self, directory, *, faults=True):
        """Have clients look for a fault with each request, which takes them time, or not."""
        self._faults = faults
        self.store = directory / "store"
        self.base = directory / "mnt"
        self.config = directory / "client.cfg"
        self.pid_file = directory / "client.pid"
        self.control = directory / "fault"
        self.store.mkdir(exist_ok=True)
        self.base.mkdir(exist_ok=True)
        self.settings()

    def settings(self, *lines, pid_file=None):
        """Configure clients that are started from now on."""
        fixed = (
            f"store={self.store}",
            f"standin.pid_file={pid_file or self.pid_file}",
            *([f"standin.control={self.control}"] if self._faults else []),
        )
        self.config.write_text("\n".join((*fixed, *lines)) + "\n")

    def fault(self, name="none"):
        """Have clients that are running and that are started fail in one of the stand-in's ways."""
        self.control.write_text(name)

    def client(self):
        """Return the process id of the client that was started last."""
        return int(self.pid_file.read_text())

    def volume(self, share="volumes", image_format="raw", size=SIZE, **data):
        """Make an image, on a share made for it if need be, and return Cinder's connection_info."""
        volume_id = str(uuid.uuid4())
        name = f"volume-{volume_id}"
        (self.store / share).mkdir(exist_ok=True)
        image = self.store / share / name
        subprocess.run(["qemu-img", "create", "-q", "-f", image_format, image, str(size)], check=True)
        image.chmod(0o666)
        return {
            "driver_volume_type": "quobyte",
            "serial": volume_id,
            "data": {
                "export": f"quobyte://registry/{share}",
                "name": name,
                "format": image_format,
                "volume_id": volume_id,
                "access_mode": "rw",
                "qos_specs": None,
                **data,
            },
        }

    def image(self, info):
        """Return where the store keeps an image."""
        return self.store / info["data"]["export"].rpartition("/")[2] / info["data"]["name"]

    def content(self, info, length):
        """Return the first bytes of an image, as a guest sees them."""
        data = info["data"]
        raw = self.store / "content"
        convert = ["qemu-img", "convert", "-f", data["format"], "-O", "raw"]
        subprocess.run([*convert, self.image(info), raw], check=True)
        with raw.open("rb") as file:
            content = file.read(length)
        raw.unlink()
        return content

    def mount_path(self, info):
        """Return where Nova mounts the share of a volume."""
        export = info["data"]["export"].removeprefix("quobyte://")
        return self.base / hashlib.md5(export.encode()).hexdigest()

    def mount(self, info):
        """Mount a volume's share with the client alone, where Nova mounts it."""
        self.mount_path(info).mkdir()
        client = ["mount.quobyte", "--disable-xattrs", info["data"]["export"], self.mount_path(info)]
        subprocess.run([*client, "-c", self.config], check=True)

    def mounts(self):
        """Return what is mounted below the base, a path for each mount."""
        table = Path("/proc/self/mountinfo").read_text().splitlines()
        paths = [Path(line.split()[4]) for line in table]
        return [path for path in paths if self.base in path.parents]

    def clean_up(self):
        """Unmount what a test has left mounted, and end its clients, which frees whoever waits for them."""
        for path in reversed(self.mounts()):
            subprocess.run(["fusermount3", "-u", "-z", path], check=True)
        for directory in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if str(self.config) in (directory / "cmdline").read_text().split("\0"):
                    os.kill(int(directory.name), signal.SIGKILL)
