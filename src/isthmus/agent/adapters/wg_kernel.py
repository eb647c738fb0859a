"""WireGuard in the kernel, by ip(8) and wg(8). Keys go in by standard input."""

from isthmus.agent.adapters import tools
from isthmus.agent.errors import ToolFailed
from isthmus.agent.ports import Kind
from isthmus.wireguard.change import InterfaceChange
from isthmus.wireguard.dump import InvalidDump, parse_dump
from isthmus.wireguard.state import InterfaceState
from isthmus.wireguard.tool import as_wg_runs


class KernelWireGuard:
    """An interface lives until it is removed or the host goes down."""

    kind: Kind = "kernel"
    reads_in_process = False

    async def create(self, interface: str) -> None:
        try:
            await tools.run(["ip", "link", "add", "dev", interface, "type", "wireguard"])
        except ToolFailed as error:
            raise ToolFailed(f"{error}; where the kernel has no WireGuard, set backend = 'userspace'") from None

    async def state(self, interface: str) -> InterfaceState:
        try:
            return parse_dump(await tools.run(["wg", "show", interface, "dump"]))
        except InvalidDump as error:
            raise ToolFailed(f"wg show {interface} dump: {error}") from None

    async def change(self, interface: str, change: InterfaceChange) -> None:
        for run in as_wg_runs(interface, change):
            await tools.run(["wg", *run.arguments], run.stdin)
