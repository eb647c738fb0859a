"""What the agent can do to its host, one small fact a step. `str()` is what the dry run and the log show."""

from collections.abc import Iterable
from dataclasses import dataclass

from isthmus.agent.observed import Route, Rule
from isthmus.domain.addresses import Family, IPAddress
from isthmus.wireguard.change import InterfaceChange, PeerChange


@dataclass(frozen=True, slots=True)
class CreateInterface:
    interface: str

    def __str__(self) -> str:
        return f"create interface {self.interface}"


@dataclass(frozen=True, slots=True)
class MarkInterface:
    """Writes on the interface that it is ours."""

    alias: str

    def __str__(self) -> str:
        return f"mark the interface as {self.alias}"


@dataclass(frozen=True, slots=True)
class RemoveInterface:
    interface: str

    def __str__(self) -> str:
        return f"remove interface {self.interface}"


@dataclass(frozen=True, slots=True)
class ConfigureWireGuard:
    change: InterfaceChange

    def __str__(self) -> str:
        parts = []
        if self.change.private_key is not None:
            parts.append("private key ***")
        if self.change.listen_port is not None:
            parts.append(f"listen port {self.change.listen_port}")
        if self.change.fwmark is not None:
            parts.append(f"mark {self.change.fwmark:#x}")
        return "wireguard: " + "; ".join([*parts, *map(_peer_text, self.change.peers)])


@dataclass(frozen=True, slots=True)
class AddAddress:
    address: IPAddress

    def __str__(self) -> str:
        return f"add address {self.address}"


@dataclass(frozen=True, slots=True)
class RemoveAddress:
    address: IPAddress

    def __str__(self) -> str:
        return f"remove address {self.address}"


@dataclass(frozen=True, slots=True)
class SetMtu:
    mtu: int

    def __str__(self) -> str:
        return f"set mtu {self.mtu}"


@dataclass(frozen=True, slots=True)
class LinkUp:
    def __str__(self) -> str:
        return "bring the interface up"


@dataclass(frozen=True, slots=True)
class AddRoute:
    route: Route

    def __str__(self) -> str:
        return f"add route {_route_text(self.route)}"


@dataclass(frozen=True, slots=True)
class RemoveRoute:
    route: Route

    def __str__(self) -> str:
        return f"remove route {_route_text(self.route)}"


@dataclass(frozen=True, slots=True)
class AddRule:
    rule: Rule

    def __str__(self) -> str:
        return f"add rule {_rule_text(self.rule)}"


@dataclass(frozen=True, slots=True)
class RemoveRule:
    rule: Rule

    def __str__(self) -> str:
        return f"remove rule {_rule_text(self.rule)}"


@dataclass(frozen=True, slots=True)
class EnableForwarding:
    """Lets the host forward packets of `family`; the former settings are kept for `RestoreForwarding`."""

    family: Family

    def __str__(self) -> str:
        return f"enable IPv{self.family} forwarding"


@dataclass(frozen=True, slots=True)
class RestoreForwarding:
    def __str__(self) -> str:
        return "put the forwarding settings back"


@dataclass(frozen=True, slots=True)
class HonourMarks:
    """Lets strict reverse path checks see that a reply to WireGuard's own packet came the right way."""

    def __str__(self) -> str:
        return "let reverse path checks honour marks"


@dataclass(frozen=True, slots=True)
class RestoreMarks:
    def __str__(self) -> str:
        return "put the reverse path checks back"


@dataclass(frozen=True, slots=True)
class LoadRules:
    """One nft transaction that replaces this interface's rules in our table."""

    script: str

    def __str__(self) -> str:
        return "load nft rules\n" + _indented(self.script)


@dataclass(frozen=True, slots=True)
class DropRules:
    """One nft transaction that takes this interface's rules away."""

    script: str

    def __str__(self) -> str:
        return "drop nft rules\n" + _indented(self.script)


@dataclass(frozen=True, slots=True)
class AskOnLink:
    """Has systemd-resolved ask `servers` through the interface, for names in `domains` alone."""

    servers: tuple[IPAddress, ...]
    domains: tuple[str, ...]

    def __str__(self) -> str:
        return f"ask {_joined(self.servers)} for {_joined(self.domains)}, by systemd-resolved"


@dataclass(frozen=True, slots=True)
class ForgetLink:
    """Has systemd-resolved ask nobody through the interface."""

    def __str__(self) -> str:
        return "ask nobody through the interface, by systemd-resolved"


@dataclass(frozen=True, slots=True)
class ListServers:
    """Puts `servers` before the others in resolv.conf; what was there is kept for `UnlistServers`."""

    servers: tuple[IPAddress, ...]

    def __str__(self) -> str:
        return f"ask {_joined(self.servers)} first, by /etc/resolv.conf"


@dataclass(frozen=True, slots=True)
class UnlistServers:
    def __str__(self) -> str:
        return "take our servers out of /etc/resolv.conf"


LookupStep = AskOnLink | ForgetLink | ListServers | UnlistServers
LinkStep = (
    MarkInterface
    | AddAddress
    | RemoveAddress
    | SetMtu
    | LinkUp
    | AddRoute
    | RemoveRoute
    | AddRule
    | RemoveRule
    | RemoveInterface
)
HostStep = (
    CreateInterface
    | ConfigureWireGuard
    | EnableForwarding
    | RestoreForwarding
    | HonourMarks
    | RestoreMarks
    | LoadRules
    | DropRules
)
Step = HostStep | LinkStep | LookupStep


def _peer_text(peer: PeerChange) -> str:
    if peer.remove:
        return f"remove peer {peer.public_key}"
    parts = [f"peer {peer.public_key}"]
    if peer.endpoint is not None:
        parts.append(f"endpoint {peer.endpoint}")
    if peer.allowed_ips is not None:
        parts.append(f"allowed ips {', '.join(map(str, peer.allowed_ips)) or 'none'}")
    if peer.keepalive is not None:
        parts.append(f"keepalive {peer.keepalive} s" if peer.keepalive else "keepalive off")
    return " ".join(parts)


def _route_text(route: Route) -> str:
    return str(route.destination) if route.table is None else f"{route.destination} in table {route.table}"


def _rule_text(rule: Rule) -> str:
    parts = [f"IPv{rule.family} {rule.priority}:"]
    if rule.unless_mark is not None:
        parts.append(f"unless marked {rule.unless_mark:#x}")
    parts.append(f"lookup {rule.table or 'main'}")
    if rule.suppress_up_to is not None:
        parts.append(f"beyond prefix length {rule.suppress_up_to}")
    return " ".join(parts)


def _joined(items: Iterable[object]) -> str:
    return ", ".join(map(str, items))


def _indented(script: str) -> str:
    return "\n".join(f"    {line}" for line in script.splitlines())
