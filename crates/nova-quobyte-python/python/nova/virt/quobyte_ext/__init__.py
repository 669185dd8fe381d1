"""Nova's libvirt driver with Quobyte volumes served by nova-quobyte.

In nova.conf: ``[DEFAULT] compute_driver = quobyte_ext.LibvirtDriver``. Nova looks for its drivers
below its own package, hence the place.
"""

from nova_quobyte.registration import LibvirtDriver, register

__all__ = ["LibvirtDriver"]

register()
