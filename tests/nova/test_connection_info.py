"""What Nova hands over as connection_info need not be what Cinder emits."""

import logging
import traceback

import nova_host
import pytest
from nova import exception
from storage import SIZE

DISK = {"type": "disk", "dev": "vdb", "bus": "virtio"}
SECRET = "open-sesame"
MEBIBYTE = 1 << 20


class Unprintable:
    """What cannot be shown."""

    def __str__(self):
        raise ValueError(SECRET)

    __repr__ = __str__


def nested(depth):
    """Return dictionaries in dictionaries."""
    value = {"auth_password": SECRET}
    for _ in range(depth):
        value = {"data": value}
    return value


def cycle():
    """Return a list that holds itself."""
    value = [SECRET]
    value.append(value)
    return value


def operations(quobyte, info):
    """Return everything that Nova does with a connection_info."""
    instance = nova_host.instance()
    return {
        "connect": lambda: quobyte.connect_volume(info, instance),
        "describe": lambda: quobyte.get_config(info, DISK),
        "extend": lambda: quobyte.extend_volume(info, instance, SIZE),
        "disconnect": lambda: quobyte.disconnect_volume(info, instance),
    }


def assert_refused(quobyte, info, caplog):
    caplog.set_level(logging.DEBUG)
    for name, operation in operations(quobyte, info).items():
        with pytest.raises(exception.InvalidVolume, match=r"\[invalid_connection\]$") as raised:
            operation()
        shown = "".join(traceback.format_exception(raised.value)) + caplog.text
        assert SECRET not in shown, name
        assert len(caplog.text) < 10_000, name


@pytest.mark.parametrize(
    "info",
    [
        None,
        SECRET,
        [SECRET],
        {},
        {"data": f'{{"auth_password": "{SECRET}"}}'},
        {"data": [SECRET], "serial": [SECRET]},
        {"data": 7, "serial": {"auth_password": SECRET}},
        {"data": None, "auth_password": SECRET},
        nested(5000),
        {"data": cycle()},
        {"data": {"export": "registry/volumes", "name": {"auth_password": SECRET}}},
        {"data": {"export": b"registry/volumes", "name": "one"}},
        {"data": {"export": "registry/volumes\ud800", "name": "one"}},
        {"data": {"export": Unprintable(), "name": "one"}},
        {"data": {"export": "registry/volumes", "name": "one", "volume_id": "{" * MEBIBYTE}},
    ],
    ids=range(15),
)
def test_wrong_shape_raises_invalid_volume(quobyte, info, caplog):
    if isinstance(info, dict):
        info = {"driver_volume_type": "quobyte", **info}
    assert_refused(quobyte, info, caplog)


@pytest.mark.parametrize("unknown", [nested(5000), cycle(), "x" * 2 * MEBIBYTE, [0] * 2 * MEBIBYTE], ids=range(4))
def test_unknown_field_is_bounded_too(quobyte, storage, unknown, caplog):
    assert_refused(quobyte, storage.volume(unknown=unknown), caplog)


@pytest.mark.parametrize("name", ["one*", "on[e]", "{one}", "o?e", 'one"'])
def test_name_that_is_a_pattern_is_refused(quobyte, storage, name):
    info, instance = storage.volume(name=name), nova_host.instance()
    for operation in ("connect", "describe"):
        with pytest.raises(exception.InvalidVolume, match=r"\[invalid_name\]$"):
            operations(quobyte, info)[operation]()
    quobyte.disconnect_volume(info, instance)
    assert storage.mounts() == []


def test_unknown_field_may_be_any_object(quobyte, storage):
    info = storage.volume(unknown=[Unprintable(), {1: float("nan"), "1": {2**70}}, b"\xff", "\ud800"])
    quobyte.connect_volume(info, nova_host.instance())


@pytest.mark.parametrize(
    "refused",
    [
        {"format": "vmdk"},
        {"format": 7},
        {"encrypted": True},
        {"access_mode": "wo"},
        {"discard": "yes"},
        {"qos_specs": SECRET},
        {"qos_specs": {"total_iops_sec": "9", "write_iops_sec": "4"}},
        {"logical_block_size": 513},
        {"physical_block_size": [SECRET]},
    ],
    ids=str,
)
def test_disconnect_reads_what_names_the_volume(quobyte, storage, refused):
    info, instance = storage.volume(), nova_host.instance()
    quobyte.connect_volume(info, instance)
    changed = {**info, "data": info["data"] | refused}
    with pytest.raises(exception.InvalidVolume):
        quobyte.connect_volume(changed, instance)
    quobyte.disconnect_volume(changed, instance)
    assert storage.mounts() == []
