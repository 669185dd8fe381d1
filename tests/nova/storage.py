"""A Quobyte volume of the stand-in client, and where it is mounted."""

import contextlib
import hashlib
import os
import signal
import subprocess
import uuid
from pathlib import Path

from waiting import list_directory, wait_until

SIZE = 8 << 20
# The driver takes a share down in the background within seconds of its last user's end.
RELEASE_TIMEOUT = 20
CACHE = "volume_from_snapshot_cache"


class Storage:
    """A store with volumes, a client configuration that finds them, and a directory to mount below."""

    def __init__(self, directory, *, faults=True):
        """Have clients look for a fault with each request, which takes them time, or not."""
        self._faults = faults
        self.store = directory / "store"
        self.base = directory / "mnt"
        self.state = directory / "state"
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

    def overlay(self, content, snapshot=None, share="volumes"):
        """Make a volume as Cinder makes one from a snapshot it has cached: an overlay of the cached image.

        A new snapshot holds `content`; a cached one is used again. Return connection_info and the snapshot's id.
        """
        cache = self.store / share / CACHE
        cache.mkdir(parents=True, exist_ok=True)
        if not snapshot:
            snapshot = str(uuid.uuid4())
            raw = self.store / "content"
            raw.write_bytes(content.encode().ljust(SIZE, b"\0"))
            convert = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2"]
            subprocess.run([*convert, raw, cache / snapshot], check=True)
            raw.unlink()
        info = self.volume(share, "qcow2")
        # Cinder, too, names the image relative to the volume.
        rebase = ["qemu-img", "rebase", "-u", "-f", "qcow2", "-F", "qcow2", "-b", f"{CACHE}/{snapshot}"]
        subprocess.run([*rebase, self.image(info)], check=True)
        return info, snapshot

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

    def processes(self):
        """Return clients and the helpers that ask them: process ids and command lines."""
        processes = []
        for process in list_directory(Path("/proc")):
            with contextlib.suppress(OSError):
                words = (process / "cmdline").read_text().split("\0")
                if any(word == str(self.config) or word.startswith(f"{self.base}/") for word in words):
                    processes.append((int(process.name), " ".join(words)))
        return processes

    def leftovers(self):
        """Return all that there is of mounted shares: mounts and their directories, records, processes."""
        directories = [*list_directory(self.base), *list_directory(self.state / "shares")]
        return [*self.mounts(), *directories, *self.processes()]

    def await_release(self):
        """Wait until nothing is left of any share."""
        with contextlib.suppress(AssertionError):
            wait_until("the share to be taken down", lambda: not self.leftovers(), RELEASE_TIMEOUT)
        assert not (left := self.leftovers()), f"left: {left}"

    def clean_up(self):
        """Unmount what a test has left mounted, and end its clients, which frees whoever waits for them."""
        for path in reversed(self.mounts()):
            subprocess.run(["fusermount3", "-u", "-z", path], check=True)
        for directory in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if str(self.config) in (directory / "cmdline").read_text().split("\0"):
                    os.kill(int(directory.name), signal.SIGKILL)
