"""The commands that the package installs."""

import os
import sys


def nova_quobyte() -> None:
    """Become the command ``nova-quobyte`` that the package carries."""
    # Importing options would load Nova.
    program = os.path.join(os.path.dirname(__file__), "bin", "nova-quobyte")
    os.execv(program, ["nova-quobyte", *sys.argv[1:]])


def nova_compute() -> None:
    """Run nova-compute with Quobyte volumes served by this package.

    For a Nova in a prefix of its own, below which ``quobyte_ext`` cannot be installed.
    """
    # First of all: it decides whether eventlet patches the process.
    from nova.cmd import compute  # noqa: I001

    from nova import config
    from oslo_log import log as logging

    from nova_quobyte.registration import register

    # Nova does both again, but only then has the time for registering passed unseen.
    config.parse_args(sys.argv, configure_db=False, init_rpc=False)
    logging.setup(config.CONF, "nova")
    register()
    # oslo.config reads a command line again only when it has forgotten the last.
    config.CONF.clear()
    compute.main()
