"""A share whose client has certain features, mounted by the driver."""

import json
import os
import shutil
import subprocess
import uuid

from lab import HOME, LAB, as_nova, give_to_nova, output

IMAGE_SIZE = 1 << 30


class Share:
    """Mounted while it is entered. `chosen` is the policy that the driver has decided on: cache/io."""

    def __init__(self, features, latency_us):
        self.features = features
        self.directory = HOME / "io"
        # The kernel heeds FOPEN_PARALLEL_DIRECT_WRITES only with FOPEN_DIRECT_IO.
        switches = {**features, "direct_io": features["parallel_direct_writes"], "latency_us": latency_us}
        self.settings = "".join(f"standin.{name}={'on' if value is True else 'off' if value is False else value}\n"
                                for name, value in switches.items())
        self.connected = []

    def __enter__(self):
        for part in ("store/images", "mnt", "state"):
            (self.directory / part).mkdir(parents=True)
        (self.directory / "client.cfg").write_text(f"store={self.directory}/store\n{self.settings}")
        give_to_nova(self.directory)
        answer = self.connect(self.image())
        self.chosen = f"{answer['cache']}/{answer['io']}"
        self.path = answer["device_path"]
        return self

    def __exit__(self, kind, *_):
        if kind:
            return
        for instance, info in self.connected:
            self.command("disconnect", "--instance", instance, info=info)
        shutil.rmtree(self.directory)

    def image(self):
        """Makes an image, all of it a hole, and returns its connection_info."""
        serial = str(uuid.uuid4())
        path = self.directory / "store" / "images" / serial
        path.touch()
        os.truncate(path, IMAGE_SIZE)
        path.chmod(0o666)
        return {"driver_volume_type": "quobyte", "serial": serial,
                "data": {"export": "quobyte://registry/images", "name": serial, "format": "raw"}}

    def connect(self, info):
        instance = str(uuid.uuid4())
        answer = self.command("connect", "--instance", instance, info=info)
        self.connected.append((instance, info))
        return answer

    def allows(self, policy):
        """Does the driver let an operator fix this policy on this host?"""
        cache, mode = policy.split("/")
        try:
            self.command("disk-xml", "--target", "vda", "--cache-mode", cache, "--io-mode", mode,
                         info=self.connected[0][1])
        except RuntimeError as error:
            if "invalid_config" not in str(error):
                raise
            return False
        return True

    def command(self, *arguments, info=None):
        """Runs nova-quobyte and returns its answer."""
        options = ["--json", "--quobyte-mount-point-base", self.directory / "mnt", "--state-dir",
                   self.directory / "state", "--quobyte-client-cfg", self.directory / "client.cfg"]
        if info:
            options += ["--connection-info", "-"]
        return json.loads(output(LAB / "bin" / "nova-quobyte", *arguments, *options,
                                 input=json.dumps(info) if info else "", cwd="/", **as_nova()))
