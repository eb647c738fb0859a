"""What the agent needs of its surroundings."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol

from isthmus.agent.naming import Naming
from isthmus.agent.observed import HostState, Lookups
from isthmus.agent.state import ResolvConf
from isthmus.agent.steps import LinkStep
from isthmus.domain.addresses import Endpoint, Family, IPAddress
from isthmus.protocol.agent import (
    Ack,
    Applied,
    ConfigAnswer,
    FromAgent,
    FromServer,
    Heartbeat,
    InstanceAnswer,
    Refused,
    Rekey,
)
from isthmus.wireguard.change import InterfaceChange
from isthmus.wireguard.state import InterfaceState

Kind = Literal["kernel", "userspace"]


class WireGuard(Protocol):
    """One implementation of WireGuard. Failures raise `ToolFailed`."""

    kind: Kind
    reads_in_process: bool
    """Whether `state` starts no program, so that it may be called often."""

    async def create(self, interface: str) -> None: ...

    async def state(self, interface: str) -> InterfaceState: ...

    async def change(self, interface: str, change: InterfaceChange) -> None: ...


class Net(Protocol):
    """Links, addresses, routes, rules and packet filter of the host."""

    async def observe(self, interface: str) -> HostState:
        """Everything but `wireguard` and `lookups`."""
        ...

    async def apply(self, interface: str, steps: Sequence[LinkStep]) -> None: ...

    async def load(self, script: str) -> None:
        """Carry out one nft transaction as a whole or not at all."""
        ...

    async def resolve(self, endpoint: Endpoint) -> Endpoint | None:
        """The same endpoint with an address for its host name, None where there is none."""
        ...


class Sysctls(Protocol):
    """The host's settings, which take effect at once; those of forwarding change further ones in passing."""

    def before_forwarding(self, family: Family) -> dict[str, str]:
        """Present values of all that `enable_forwarding` may change."""
        ...

    def enable_forwarding(self, family: Family) -> None: ...

    def before_marks(self) -> dict[str, str]:
        """The present value of what `honour_marks` changes."""
        ...

    def honour_marks(self) -> None: ...

    def restore(self, values: dict[str, str]) -> None: ...


class Probes(Protocol):
    """Small packets into the tunnel that are answered."""

    def send(self, address: IPAddress) -> None: ...

    def take(self) -> dict[IPAddress, int]:
        """The round trips of the answers since the last call, in microseconds."""
        ...


class Resolver(Protocol):
    """Where programs of the host look names up. Failures raise `ToolFailed` or `OSError`."""

    async def observe(self, interface: str) -> Lookups: ...

    async def ask_on_link(self, interface: str, servers: Sequence[IPAddress], domains: Sequence[str]) -> None: ...

    async def forget_link(self, interface: str) -> None: ...

    def before_listing(self, interface: str, earlier: ResolvConf | None) -> ResolvConf:
        """resolv.conf without our lines; `earlier` is what was found the last time."""
        ...

    def list_servers(self, interface: str, servers: Sequence[IPAddress], former: ResolvConf) -> None: ...

    def unlist_servers(self, interface: str, former: ResolvConf | None) -> None:
        """Take our lines out. What others wrote since then stays."""
        ...


class NameServer(Protocol):
    """Answers for the names of the network on the host's own addresses."""

    async def serve(self, interface: str, naming: Naming | None) -> tuple[str, ...]:
        """From now on answer as `naming` says, or not at all; returns sentences about what could not be had."""
        ...


class Stream(Protocol):
    """An open stream. Both raise `Unreachable` once it is closed, `SessionEnded` if the server says so."""

    async def receive(self) -> FromServer: ...

    async def send(self, message: FromAgent) -> None: ...


class Polling(Protocol):
    """The same over plain HTTPS. Calls raise `Unreachable` or `SessionEnded`."""

    async def fetch(self, revision: int) -> ConfigAnswer: ...

    async def report(self, heartbeat: Heartbeat) -> Ack | Refused: ...

    async def tell(self, outcome: Applied) -> None: ...

    async def rekey(self, made: Rekey) -> None:
        """Returns as well where the server does not want that key: it asks again when it wants one."""
        ...


class Issuer(Protocol):
    """Who issues leaves for this host's instance."""

    async def instance(self, csr: str) -> InstanceAnswer:
        """Raises `InstanceRefused`, `Unreachable` or `SessionEnded`."""
        ...


class ControlPlane(Protocol):
    """The server. Entering either raises `Unreachable` or `SessionEnded`."""

    def stream(self, revision: int) -> AbstractAsyncContextManager[Stream]: ...

    def use(self, session_token: str) -> None:
        """Present this token from the next call on."""
        ...

    def polling(self) -> AbstractAsyncContextManager[Polling]: ...
