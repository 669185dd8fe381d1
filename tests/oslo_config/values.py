"""Says what oslo.config reads from configuration files: for each case one JSON object of our options' values.

usage: values.py OPTIONS_PY <CASES

OPTIONS_PY is the module that registers our options in Nova. Each line of standard input is a JSON list of files, the
later of which go before the earlier. A value that cannot be had is an object; null stands for one that is not there.
"""

import importlib
import json
import sys
import types
from pathlib import Path

from oslo_config import cfg

UNUSABLE = {}


def load_options(path):
    """Load the module in a Nova that has nothing but its configuration."""
    nova = types.ModuleType("nova")
    nova.conf = types.ModuleType("nova.conf")
    nova.conf.CONF = cfg.ConfigOpts()
    sys.modules |= {"nova": nova, "nova.conf": nova.conf}
    sys.path.insert(0, str(Path(path).parents[1]))
    return importlib.import_module("nova_quobyte.options")


def register(conf, options):
    """Register our options, and those of Nova's that they may refer to."""
    conf.register_opts(
        [
            cfg.StrOpt("state_path", default="/var/lib/nova"),
            cfg.StrOpt("instances_path", default="$state_path/instances"),
            cfg.StrOpt("tempdir"),
        ]
    )
    conf.register_opts([*options.LIBVIRT_OPTS, cfg.ListOpt("disk_cachemodes", default=[])], group="libvirt")
    conf.register_opts(options.QUOBYTE_OPTS, group="quobyte")


def value(conf, group, name):
    try:
        return conf[group][name]
    except Exception:
        return UNUSABLE


def values(options, files):
    conf = cfg.ConfigOpts()
    register(conf, options)
    try:
        conf(args=[], project="nova", default_config_files=files, default_config_dirs=[], use_env=False)
    except Exception:
        return UNUSABLE
    names = [("libvirt", opt.dest) for opt in options.LIBVIRT_OPTS] + [("libvirt", "disk_cachemodes")]
    names += [("quobyte", opt.dest) for opt in options.QUOBYTE_OPTS]
    return {name: value(conf, group, name) for group, name in names}


options = load_options(sys.argv[1])
for line in sys.stdin:
    print(json.dumps(values(options, json.loads(line))))
