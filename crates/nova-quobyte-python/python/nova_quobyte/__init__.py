"""Serves VM images on Quobyte volumes in OpenStack Nova.

Nova's configuration names ``quobyte_ext.LibvirtDriver``, or its service is started as
``nova-compute-quobyte``; either calls :func:`nova_quobyte.registration.register`. All work is done
by the native module; what is here speaks to Nova.
"""
