"""WireGuard by wireguard-go, spoken to over its Unix socket from within this process."""

import asyncio
from collections import defaultdict
from pathlib import Path

from isthmus.agent.adapters import tools, whereabouts
from isthmus.agent.errors import ToolFailed
from isthmus.agent.ports import Kind
from isthmus.wireguard.change import InterfaceChange
from isthmus.wireguard.state import InterfaceState
from isthmus.wireguard.uapi import END, GET, InvalidAnswer, Reader, UapiError, as_uapi, check_set

SOCKETS = Path("/var/run/wireguard")
TIMEOUT_SECONDS = 10.0
# An interface of 65,000 peers answers with about 30 MB.
MAX_ANSWER = 64 * 1024 * 1024


class UserspaceWireGuard:
    """An interface lives as long as its wireguard-go, which outlives this process whatever happens to it."""

    kind: Kind = "userspace"
    reads_in_process = True

    def __init__(self) -> None:
        self._sources: dict[str, whereabouts.Sources] = {}
        self._readers: defaultdict[str, Reader] = defaultdict(Reader)

    async def create(self, interface: str) -> None:
        """wireguard-go leaves its starter as soon as device and socket are there."""
        # Its pipes would stay open with the daemon, so it inherits none of them.
        process = await asyncio.create_subprocess_exec(
            "wireguard-go",
            interface,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env={**tools.ENVIRONMENT, "WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD": "1"},
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                status = await process.wait()
        except TimeoutError:
            process.kill()
            raise ToolFailed(f"wireguard-go did not create {interface} within {TIMEOUT_SECONDS:g} s") from None
        if status != 0:
            raise ToolFailed(
                f"wireguard-go could not create {interface}: is /dev/net/tun there, and may this process use it?"
            )

    async def state(self, interface: str) -> InterfaceState:
        try:
            state = self._readers[interface].read(await self._ask(interface, GET))
        except (InvalidAnswer, UapiError) as error:
            raise ToolFailed(f"wireguard-go on {interface}: {error}") from None
        await self._follow(interface, state)
        return state

    async def _follow(self, interface: str, state: InterfaceState) -> None:
        """After a move to another network, have sockets opened anew: wireguard-go goes on sending from the address
        that the host had when it last received something, and is silent for 15 s until it doubts that."""
        sources = whereabouts.sources(state.fwmark)
        before = self._sources.get(interface)
        self._sources[interface] = sources
        if before is not None and before != sources:
            await self.change(interface, InterfaceChange(listen_port=state.listen_port))

    async def change(self, interface: str, change: InterfaceChange) -> None:
        try:
            check_set(await self._ask(interface, as_uapi(change)))
        except (InvalidAnswer, UapiError) as error:
            raise ToolFailed(f"wireguard-go on {interface}: {error}") from None

    async def _ask(self, interface: str, request: bytes) -> bytes:
        socket = SOCKETS / f"{interface}.sock"
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                reader, writer = await asyncio.open_unix_connection(socket, limit=MAX_ANSWER)
                try:
                    writer.write(request)
                    await writer.drain()
                    return await reader.readuntil(END)
                finally:
                    writer.close()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            raise ToolFailed(f"wireguard-go does not answer at {socket}: {error}") from None


def has_socket(interface: str) -> bool:
    """Whether wireguard-go, rather than the kernel, serves `interface`."""
    return (SOCKETS / f"{interface}.sock").is_socket()


def forget_socket(interface: str) -> None:
    """Remove the socket that wireguard-go leaves behind when its interface goes."""
    (SOCKETS / f"{interface}.sock").unlink(missing_ok=True)
