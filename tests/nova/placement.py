"""A Placement service, for which nova-compute looks when it starts."""

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Placement(BaseHTTPRequestHandler):
    """Says that it is Nova's Placement service."""

    def do_GET(self):
        """Answer with the versions of its interface."""
        version = {"id": "v1.0", "min_version": "1.0", "max_version": "1.39", "status": "CURRENT"}
        version["links"] = [{"rel": "self", "href": ""}]
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps({"versions": [version]}).encode())

    def log_message(self, *_):
        """Keep quiet."""


@contextlib.contextmanager
def serve_placement():
    """Serve, and give the address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Placement) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
