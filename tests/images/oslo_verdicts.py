"""Says what oslo.utils makes of disk images, one JSON string a line.

usage: oslo_verdicts.py FORMAT PATH [FORMAT PATH]...

A format is asked for as Nova and Glance ask: raw is never inspected, anything else is recognised from its content,
must be what it is declared to be, and must pass that format's safety checks.
"""

import json
import logging
import sys

from oslo_utils.imageutils import format_inspector


def verdict(declared, path):
    if declared == "raw":
        return "accepts"
    try:
        inspector = format_inspector.detect_file_format(path)
        if inspector.NAME != declared:
            return f"takes it for {inspector.NAME}"
        inspector.safety_check()
    except format_inspector.SafetyCheckFailed as error:
        return "refuses: " + ", ".join(sorted(error.failures))
    except format_inspector.ImageFormatError as error:
        # The formats come in no order.
        return "refuses: several formats" if "Multiple formats" in str(error) else f"refuses: {error}"
    return "accepts"


logging.disable()
declared_and_paths = iter(sys.argv[1:])
for declared, path in zip(declared_and_paths, declared_and_paths):
    print(json.dumps(verdict(declared, path)))
