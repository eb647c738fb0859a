"""Puts the applier together from settings, state and the adapters for Linux."""

from isthmus import logs
from isthmus.agent.adapters.backend import Backends
from isthmus.agent.adapters.changes import HostChanges
from isthmus.agent.adapters.names.service import NameService
from isthmus.agent.adapters.net import LinuxNet
from isthmus.agent.adapters.resolver import LinuxResolver
from isthmus.agent.adapters.sysctl import LinuxSysctls
from isthmus.agent.adapters.tools import watch_children_by_descriptor
from isthmus.agent.apply import Applier, Surroundings
from isthmus.agent.settings import INTERFACE, LONGEST_INTERFACE, Settings
from isthmus.agent.state import StateDir


def interface_name(settings: Settings, network: str) -> str:
    """`ist-` and as much of the network's name as fits, unless the settings name one."""
    return settings.interface or f"ist-{network}"[:LONGEST_INTERFACE].rstrip("-")


def applier_for(settings: Settings, state: StateDir, changes: HostChanges | None = None) -> Applier:
    """The applier of an enrolled host, on the running loop; raises `NotEnrolled`.

    With `changes`, the host is looked at again only after one of them.
    """
    logs.configure(settings.log_level)
    watch_children_by_descriptor()
    identity, key = state.enrolled()
    interface = interface_name(settings, identity.network_name)
    if not INTERFACE.fullmatch(interface):
        raise ValueError(f"{state.path}/identity.json names a network {identity.network_name!r}, which none can have")
    host = Surroundings(
        choose=Backends(settings.backend, interface).choose,
        net=LinuxNet(changes),
        sysctls=LinuxSysctls(),
        resolver=LinuxResolver(settings.dns),
        names=NameService(),
    )
    return Applier(interface, key, state, host)
