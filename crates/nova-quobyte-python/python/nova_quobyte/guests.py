"""Which guests use a share: libvirt's descriptions of the domains."""

import libvirt
from nova import exception
from nova.virt.libvirt import host as libvirt_host
from oslo_log import log as logging

from nova_quobyte.calls import call_libvirt
from nova_quobyte.options import CONF

LOG = logging.getLogger(__name__)


class Domains:
    """The domains of Nova's host object; called by the native module from threads of its own."""

    def __init__(self, host: libvirt_host.Host) -> None:
        self._host = host
        self._set_connection()

    def refresh_connection(self) -> None:
        """Take over Nova's current connection: Nova replaces one that breaks.

        If Nova has none, the old one stays. It does not answer, so the share stays mounted, but the volume is detached.
        """
        try:
            self._set_connection()
        except exception.HypervisorUnavailable as error:
            LOG.warning("Who uses Quobyte volumes cannot be asked: %s", error)

    def _set_connection(self) -> None:
        connection = self._host.get_connection()
        # Under eventlet Nova's lock on it, and its proxy around it, work in Nova's threads alone.
        self._connection = getattr(connection, "_obj", connection)

    def versions(self) -> tuple[int, int]:
        """Return QEMU's and libvirt's version, each as one number."""
        return call_libvirt(self._connection.getVersion), call_libvirt(self._connection.getLibVersion)

    def capabilities(self) -> str | None:
        """Return libvirt's domain capabilities if an option depends on them."""
        if CONF.quobyte.io_mode != "io_uring":
            return None
        # Program, architecture and machine are libvirt's default.
        return call_libvirt(self._connection.getDomainCapabilities, None, None, None, CONF.libvirt.virt_type)

    def __call__(self) -> list[tuple[str, str, list[str]]]:
        """Return each domain's UUID, name and descriptions."""
        domains = []
        for domain in self._connection.listAllDomains(0):
            try:
                domains.append((domain.UUIDString(), domain.name(), _descriptions(domain)))
            except libvirt.libvirtError as error:
                # A domain that is gone since it was listed uses nothing.
                if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                    raise
        return domains


def _descriptions(domain: libvirt.virDomain) -> list[str]:
    """Return a domain's description as it runs, as it will start, and as it was saved.

    A saved domain may be started between the calls, and then runs once it turns out not to be saved; hence the last
    call.
    """
    descriptions = [domain.XMLDesc(0), domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)]
    try:
        if domain.hasManagedSaveImage(0):
            return [*descriptions, domain.managedSaveGetXMLDesc(0)]
    except libvirt.libvirtError as error:
        # It has been started since, or its state was removed.
        if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:
            raise
    return [*descriptions, domain.XMLDesc(0)]
