"""Who uses a share: what the domains of Nova's hypervisor are described as."""

import libvirt
from nova.virt.libvirt import host as libvirt_host

from nova_quobyte.calls import run


class Domains:
    """The domains of Nova's host object; called by the native module from threads of its own."""

    def __init__(self, host: libvirt_host.Host) -> None:
        self._host = host
        self.renew()

    def renew(self) -> None:
        """Take the connection that Nova has now, which it replaces when it breaks.

        Under eventlet Nova's lock on it, and its proxy around it, work in Nova's threads alone.
        """
        connection = self._host.get_connection()
        self._connection = getattr(connection, "_obj", connection)

    def versions(self) -> tuple[int, int]:
        """Return QEMU's and libvirt's version, each as one number."""
        return run(self._connection.getVersion), run(self._connection.getLibVersion)

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
    """Return a domain's description as it runs, as it will start, and as it was saved."""
    descriptions = [domain.XMLDesc(0), domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)]
    if domain.hasManagedSaveImage(0):
        descriptions.append(domain.managedSaveGetXMLDesc(0))
    return descriptions
