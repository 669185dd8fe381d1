"""Binds ports of a network on one host to tap devices, without an agent.

Nova makes the tap device; whoever watches for it puts it on the bridge.
"""

from neutron_lib import constants
from neutron_lib.api.definitions import portbindings
from neutron_lib.plugins.ml2 import api


class TapMechanismDriver(api.MechanismDriver):
    def initialize(self) -> None:
        pass

    @property
    def connectivity(self) -> str:
        return portbindings.CONNECTIVITY_L2

    def bind_port(self, context: api.PortContext) -> None:
        # Active at once: nobody will report that the port is plugged.
        context.set_binding(
            context.segments_to_bind[0][api.ID],
            portbindings.VIF_TYPE_TAP,
            {portbindings.CAP_PORT_FILTER: False},
            status=constants.PORT_STATUS_ACTIVE,
        )
