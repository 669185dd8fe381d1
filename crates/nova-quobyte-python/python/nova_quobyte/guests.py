"""Which guests use a share: libvirt's descriptions of the domains.

libvirt is asked for descriptions and nothing else: it answers those from memory, while other questions have it open the
images of domains that are shut off, and hang on one that does not answer.
"""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import libvirt
from lxml import etree
from nova import exception
from nova.virt.libvirt import host as libvirt_host
from oslo_log import log as logging

from nova_quobyte import _native
from nova_quobyte.calls import call_libvirt
from nova_quobyte.options import CONF

if TYPE_CHECKING:
    from nova_quobyte._native import DescribedDomain, ListedDomain

LOG = logging.getLogger(__name__)


class Domains:
    """The domains of Nova's host object; called by the native module from threads of its own."""

    def __init__(self, host: libvirt_host.Host) -> None:
        self._host = host
        self._on_event: Callable[[], None] | None = None
        self._set_connection()

    def refresh_connection(self) -> None:
        """Take over Nova's current connection: Nova replaces one that breaks.

        If Nova has none, the old one stays. It does not answer, so the share stays mounted, but the volume is detached.
        """
        try:
            self._set_connection()
        except exception.HypervisorUnavailable as error:
            LOG.warning("Who uses Quobyte volumes cannot be asked: %s", _native.one_line(str(error)))

    def call_on_events(self, on_event: Callable[[], None]) -> None:
        """Call ``on_event``, in libvirt's own thread, whenever a domain has started, stopped or gone."""
        self._on_event = on_event
        self._register()

    def _set_connection(self) -> None:
        connection = self._host.get_connection()
        # Under eventlet Nova's lock on it, and its proxy around it, work in Nova's threads alone.
        connection = getattr(connection, "_obj", connection)
        if connection is not getattr(self, "_connection", None):
            self._connection = connection
            self._register()

    def _register(self) -> None:
        if self._on_event is None:
            return
        try:
            self._connection.domainEventRegisterAny(
                None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._handle_event, None
            )
        except libvirt.libvirtError as error:
            # Whoever waits for an event looks from time to time as well.
            LOG.debug("libvirt tells of no domains: %s", _native.one_line(str(error)))

    def _handle_event(self, *_arguments: object) -> None:
        if self._on_event is not None:
            self._on_event()

    def versions(self) -> tuple[int, int]:
        """Return QEMU's and libvirt's version, each as one number."""
        return call_libvirt(self._connection.getVersion), call_libvirt(self._connection.getLibVersion)

    def capabilities(self) -> str | None:
        """Return libvirt's domain capabilities if an option depends on them."""
        if CONF.quobyte.io_mode != "io_uring":
            return None
        # Program, architecture and machine are libvirt's default.
        return call_libvirt(self._connection.getDomainCapabilities, None, None, None, CONF.libvirt.virt_type)

    def host_capabilities(self) -> str:
        """Return libvirt's capabilities, which name QEMU's user."""
        return self._connection.getCapabilities()

    def list_all(self) -> "list[ListedDomain]":
        """Return all domains."""
        connection = self._connection
        domains = connection.listAllDomains(0)
        with_state = connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE)
        saved = {domain.UUIDString() for domain in with_state}
        return [
            (domain.UUIDString(), domain.name(), _run(domain), domain.UUIDString() in saved, domain)
            for domain in domains
        ]

    def describe(self, domain: libvirt.virDomain, saved: bool) -> "DescribedDomain | None":
        """Return a listed domain's descriptions; None for one that is gone."""
        return _describe(domain, saved)

    def describe_one(self, uuid: str) -> "DescribedDomain | None":
        """Return the descriptions of the domain of that UUID, if there is one."""
        while True:
            try:
                domain = self._connection.lookupByUUIDString(uuid)
                described = _describe(domain, bool(domain.hasManagedSaveImage(0)))
                run = _run(self._connection.lookupByUUIDString(uuid))
            except libvirt.libvirtError as error:
                if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                    return None
                raise
            # One that was started or stopped meanwhile has other descriptions now.
            if described is None or described[2] == run:
                return described

    def pool_volume(self, pool: str, volume: str) -> str:
        """Return the path of a storage pool's volume, for a pool that is not active as its description has it."""
        found = self._connection.storagePoolLookupByName(pool)
        try:
            return found.storageVolLookupByName(volume).path()
        except libvirt.libvirtError:
            directory = etree.fromstring(found.XMLDesc(0)).findtext("target/path")
            if directory is None and found.isActive():
                raise
            # A pool that is not kept in files has none on a share.
            return os.path.join(directory, volume) if directory else ""


def _run(domain: libvirt.virDomain) -> int | None:
    """Return libvirt's number of a domain's present run; None while it is shut off."""
    number = domain.ID()
    return number if number >= 0 else None


def _describe(domain: libvirt.virDomain, saved: bool) -> "DescribedDomain | None":
    """Return a domain as it runs, as it will start, and as it was saved; None for one that is gone."""
    run = _run(domain)
    wanted = [("persistent", lambda: domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))]
    if run is not None:
        wanted.append(("running", lambda: domain.XMLDesc(0)))
    if saved:
        wanted.append(("saved", lambda: domain.managedSaveGetXMLDesc(0)))
    descriptions: list[tuple[str, str | None, str]] = []
    for name, describe in wanted:
        try:
            descriptions.append((name, describe(), ""))
        except libvirt.libvirtError as error:
            code = error.get_error_code()
            if code == libvirt.VIR_ERR_NO_DOMAIN:
                return None
            # Its state was removed, or it has been started since; its run tells.
            if name != "saved" or code != libvirt.VIR_ERR_OPERATION_INVALID:
                descriptions.append((name, None, str(error)))
    return domain.UUIDString(), domain.name(), run, descriptions
