"""Answers for Nova's conductor in nova-compute's own process.

nova-compute loads its driver once a conductor has answered. oslo.messaging's fake driver reaches no further than the
process, so this is put on the path of the program under test, which Python reads first.
"""

import sys
import threading
import time


def serve():
    """Wait until Nova has set up its messaging, then answer."""
    while not getattr(sys.modules.get("nova.rpc"), "TRANSPORT", None):
        time.sleep(0.05)
    import oslo_messaging
    from nova import baserpc, rpc

    target = oslo_messaging.Target(topic="conductor", server="lab")
    rpc.get_server(target, [baserpc.BaseRPCAPI("conductor", None)]).start()


threading.Thread(target=serve, daemon=True).start()
