"""What a peer is told, as text for people: wg-quick's syntax, and as comments what has no place in it."""

import ipaddress
from collections.abc import Iterable, Iterator

from isthmus.domain.mesh.crossing import Bridged
from isthmus.domain.mesh.peer import Peer
from isthmus.domain.mesh.tunnel import Neighbour, Role, Tunnel
from isthmus.wireguard import keys
from isthmus.wireguard.conf import Conf, InterfaceSection, PeerSection, escape, render


def text_of(tunnel: Tunnel, me: Peer) -> str:
    """Everything that `me` is told, without a private key: texts differ where configs do."""
    conf = Conf(
        InterfaceSection(
            addresses=tuple(ipaddress.ip_interface(address) for address in tunnel.addresses),
            listen_port=tunnel.listen_port,
            mtu=tunnel.mtu,
        ),
        tuple(_section(neighbour) for neighbour in tunnel.neighbours),
    )
    comments = "".join(f"# {line}\n" for line in _beside(tunnel, me))
    return f"{comments}\n{render(conf)}"


def _section(neighbour: Neighbour) -> PeerSection:
    return PeerSection(
        public_key=keys.PublicKey.parse(neighbour.public_key),
        name=neighbour.name,
        endpoint=neighbour.endpoint,
        allowed_ips=neighbour.allowed_ips,
        keepalive=neighbour.keepalive,
    )


def _beside(tunnel: Tunnel, me: Peer) -> Iterator[str]:
    """What wg-quick has no line for."""
    yield f"{escape(me.name)}, {me.public_key or 'not enrolled'}{', blocked' if me.blocked else ''}"
    yield f"routes: {_listed(tunnel.routes)}"
    if dns := tunnel.dns:
        yield f"names of {dns.domain}: {_listed(dns.servers or dns.upstreams)}"
    if tunnel.forwarding.between_peers:
        yield "forwards between peers"
    if tunnel.forwarding.offered:
        yield f"forwards to {_listed(tunnel.forwarding.offered)}"
    if tunnel.bridged:
        yield from _bridges(tunnel.bridged)
    for neighbour in tunnel.neighbours:
        name = escape(neighbour.name)
        if neighbour.role is Role.DIRECT:
            yield f"{name}: directly at {_listed(neighbour.candidates)}, takes {_listed(neighbour.takes)}"
        elif neighbour.role is not Role.MEMBER:
            yield f"{name}: {neighbour.role.value}"
        elif neighbour.isolated or neighbour.encapsulated:
            flags = {"isolated": neighbour.isolated, "full encapsulation": neighbour.encapsulated}
            yield f"{name}: {_listed(flag for flag, is_set in flags.items() if is_set)}"


def _bridges(bridged: Bridged) -> Iterator[str]:
    yield f"reaches over bridges, for {bridged.lease} s without the server: {_listed(bridged.prefixes)}"
    for crossing in bridged.crossings:
        name = escape(crossing.name)
        yield f"{name}: bridge {crossing.id}, {crossing.public_key} at {crossing.endpoint or 'no known endpoint'}"
        yield f"{name}: {_listed(crossing.prefixes)} with {_listed(crossing.local)}"
        for flow in crossing.flows:
            ports = _listed(low if low == high else f"{low}-{high}" for low, high in flow.ports)
            way = f"{flow.protocol} from {_listed(flow.sources)} to {flow.destination} port {ports}"
            yield f"{name}: {way} ({flow.id})"
        if crossing.barred:
            yield f"{name}: nothing with {_listed(crossing.barred)}"


def _listed(values: Iterable[object]) -> str:
    return ", ".join(map(str, values)) or "none"
