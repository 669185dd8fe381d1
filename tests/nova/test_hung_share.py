"""A share that hangs takes neither other guests nor other shares with it, whatever Nova forces and a tenant writes."""

import os
import signal
import subprocess

import nova_host
import pytest
from guest import MARK
from nova import exception
from waiting import Background, wait_until

ROOT = "/dev/vda"


@pytest.fixture
def hang(storage):
    """Has a share's client stop reading requests; returns what has it go on, which answers them all."""
    stopped = set()

    def hang():
        client = storage.client()
        os.kill(client, signal.SIGSTOP)
        stopped.add(client)

        def go_on():
            os.kill(client, signal.SIGCONT)
            stopped.discard(client)

        return go_on

    yield hang
    for client in stopped:
        os.kill(client, signal.SIGCONT)


@pytest.fixture
def holder():
    """Starts a process of nobody's that keeps a file open, and returns what has it write to the file."""
    processes = []

    def hold(path):
        script = f"exec 3<>'{path}'; echo open; read word && echo -n \"$word\" >&3 && echo written"
        process = subprocess.Popen(
            ["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        processes.append(process)
        assert process.stdout.readline() == "open\n"

        def write():
            process.stdin.write(f"{MARK}\n")
            assert process.stdout.readline() == "written\n"

        return write

    yield hold
    for process in processes:
        # It may wait for a client that is stopped.
        process.kill()
        process.communicate()


@pytest.fixture
def delete(compute):
    """Has Nova delete an instance; what of it cannot be had in time, Nova does without."""

    def delete(instance, info):
        disks = nova_host.block_device_info(instance, {ROOT: info})
        arguments = nova_host.admin(), instance, nova_host.NO_NETWORK, disks
        Background(compute.destroy, *arguments).result()

    return delete


@pytest.mark.options(probe_timeout=2)
def test_force_on_hung_share_keeps_other_guest(compute, storage, define, boot, hang, delete):
    info, kept = storage.volume(), storage.volume()
    instance, other = nova_host.instance(define().uuid), boot()
    other_instance = nova_host.instance(other.uuid)
    for owner, volume in ((instance, info), (other_instance, kept)):
        compute.attach_volume(nova_host.admin(), volume, owner, ROOT, encryption={})
    other.write(kept)
    go_on = hang()
    delete(instance, info)
    assert storage.mounts() == [storage.mount_path(kept)]
    go_on()
    other.write(kept)
    assert other.read(kept) == MARK
    delete(other_instance, kept)
    storage.await_release()


@pytest.mark.options(probe_timeout=2)
def test_force_on_hung_share_keeps_open_file(compute, storage, define, hang, holder, delete):
    info, kept = storage.volume(), storage.volume()
    instance = nova_host.instance(define().uuid)
    compute.attach_volume(nova_host.admin(), info, instance, ROOT, encryption={})
    write = holder(storage.mount_path(kept) / kept["data"]["name"])
    go_on = hang()
    delete(instance, info)
    assert storage.mounts() == [storage.mount_path(kept)]
    go_on()
    write()
    assert storage.content(kept, len(MARK)) == MARK.encode()


@pytest.fixture
def hostile(compute, storage, define, hard_reboot):
    """Has a share hang, and a tenant name an instance like a place below it with these volumes' shares in its path.

    Returns a volume on the share that hangs, and an instance that has it.
    """

    def make(*infos):
        hung, own = storage.volume("hung"), storage.volume("own")
        quobyte = compute._get_volume_driver({"driver_volume_type": "quobyte"})
        hung_instance = nova_host.instance()
        quobyte.connect_volume(hung, hung_instance)
        storage.fault("no-answer")
        # Clients that are started from now on do not hang.
        storage.control = storage.control.with_name("no-fault")
        storage.settings()
        name = storage.mount_path(hung).joinpath("x", *(storage.mount_path(info).name for info in (hung, own, *infos)))
        guest = define()
        hard_reboot(guest, {ROOT: own}, display_name=str(name))
        assert str(name) in guest.domain.XMLDesc(0)
        return hung, hung_instance

    return make


def connect_and_disconnect(quobyte, info):
    """Connect a volume and disconnect it, both by a deadline."""
    instance = nova_host.instance()
    Background(quobyte.connect_volume, info, instance).result()
    Background(quobyte.disconnect_volume, info, instance).result()


@pytest.mark.options(probe_timeout=2)
def test_hostile_name_does_not_block_other_shares(quobyte, storage, hostile):
    info = storage.volume("other")
    hostile(info)
    connect_and_disconnect(quobyte, info)
    assert storage.mount_path(info) not in storage.mounts()


@pytest.mark.options(probe_timeout=2)
def test_hostile_name_does_not_block_hung_share(quobyte, storage, hostile):
    hung, instance = hostile()
    try:
        Background(quobyte.disconnect_volume, hung, instance, True).result()
    except exception.NovaException as error:
        assert "mount_hung" in str(error)
    connect_and_disconnect(quobyte, storage.volume("other"))


@pytest.mark.options(probe_timeout=2)
def test_hostile_name_does_not_block_restart(storage, hostile, restart):
    info = storage.volume("other")
    hung, _instance = hostile(info)
    quobyte = Background(restart).result()
    connect_and_disconnect(quobyte, info)
    assert storage.mounts().count(storage.mount_path(hung)) == 1


def test_name_below_share_does_not_keep_it(quobyte, storage, define, hard_reboot):
    info, own = storage.volume(), storage.volume("own")
    quobyte.connect_volume(info, instance := nova_host.instance())
    image = storage.mount_path(info) / info["data"]["name"]
    hard_reboot(define(), {ROOT: own}, display_name=str(image))
    quobyte.disconnect_volume(info, instance)
    wait_until("the share to be taken down", lambda: storage.mounts() == [storage.mount_path(own)])
