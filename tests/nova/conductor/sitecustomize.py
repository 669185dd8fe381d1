"""Answers for Nova's conductor in nova-compute's own process.

nova-compute loads its driver once a conductor has answered, and starts it once it knows of other services.
oslo.messaging's fake driver reaches no further than the process, so this is put on the path of the program under
test, which Python reads first.
"""

import sys
import threading
import time
from importlib.abc import MetaPathFinder


def serve():
    """Wait until Nova has set up its messaging, then answer."""
    while not getattr(sys.modules.get("nova.rpc"), "TRANSPORT", None):
        time.sleep(0.05)
    import oslo_messaging
    from nova import baserpc, rpc
    from nova.objects import compute_node, instance, service

    class Services:
        """Says that no other service is older, and that this one is new and has no instances."""

        target = oslo_messaging.Target(version="3.0")

        def object_class_action_versions(self, context, objname, objmethod, object_versions, args, kwargs):
            answers = {
                "get_minimum_version": service.SERVICE_VERSION,
                "get_by_host_and_binary": None,
                "get_by_compute_host": service.Service(host="lab", disabled=False, forced_down=False),
                "get_by_host": instance.InstanceList(objects=[]),
                "get_all_by_uuids": compute_node.ComputeNodeList(objects=[]),
            }
            return answers[objmethod]

    target = oslo_messaging.Target(topic="conductor", server="lab")
    rpc.get_server(target, [baserpc.BaseRPCAPI("conductor", None), Services()]).start()


class ServeOnServiceImport(MetaPathFinder):
    """Starts to serve when Nova imports its service: by then it has decided what a thread is."""

    def find_spec(self, fullname, *_):
        """Find nothing."""
        if fullname == "nova.service":
            sys.meta_path.remove(self)
            threading.Thread(target=serve, daemon=True).start()


sys.meta_path.insert(0, ServeOnServiceImport())
