"""A volume's disk in libvirt's domain XML."""

from pathlib import Path

from lxml import etree
from nova.virt.libvirt import config

from nova_quobyte import _native


class QuobyteDisk(config.LibvirtConfigGuestDisk):
    """Nova's description of a disk, with the chain below its image.

    Where the XML names no backing store, libvirt looks for one in the image, which a guest may have written.
    """

    @classmethod
    def from_nova(cls, nova_disk: config.LibvirtConfigGuestDisk, disk: _native.Disk) -> "QuobyteDisk":
        """Complete the disk that Nova has described."""
        conf = cls()
        vars(conf).update(vars(nova_disk))
        conf.source_type = "file"
        conf.source_path = str(disk.path)
        conf.driver_format = disk.format
        conf.driver_cache = disk.cache
        conf.driver_io = disk.io
        conf.driver_discard = disk.discard
        if disk.physical_block_size is not None:
            # Cinder sends text, and Nova takes nothing else.
            conf.physical_block_size = str(disk.physical_block_size)
        conf.backing = disk.backing
        return conf

    def format_dom(self) -> etree._Element:
        """Return the ``<disk>`` element."""
        dom = super().format_dom()
        dom.find("source").addnext(_backing_store(self.backing))
        return dom


def _backing_store(layers: list[tuple[Path, str]]) -> etree._Element:
    """Put each layer inside the one above it; an empty element says that nothing is below."""
    store = etree.Element("backingStore")
    if layers:
        (path, image_format), *below = layers
        store.set("type", "file")
        etree.SubElement(store, "format", type=image_format)
        etree.SubElement(store, "source", file=str(path))
        store.append(_backing_store(below))
    return store
