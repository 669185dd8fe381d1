"""Serves one WSGI application on the loopback address: wsgi.py MODULE PORT

The services read sys.argv for options of their own, which a server that is called with options would confuse.
"""

import importlib
import sys

import waitress

module, port = sys.argv[1:3]
sys.argv[1:] = sys.argv[3:]
application = importlib.import_module(module).application
# A volume may be sent to Glance as an image, whole.
waitress.serve(application, host="127.0.0.1", port=int(port), threads=8, max_request_body_size=1 << 40)
