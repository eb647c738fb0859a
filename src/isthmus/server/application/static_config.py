"""The wg-quick file of a static peer, which people copy or scan."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field

from isthmus.domain.errors import InvalidValue
from isthmus.domain.ids import NetworkId, PublicKey
from isthmus.domain.mesh.crossing import Crossing
from isthmus.domain.mesh.jumps import held_by
from isthmus.domain.mesh.network import Network
from isthmus.domain.mesh.peer import Peer
from isthmus.domain.mesh.tunnel import tunnel_for
from isthmus.server.ports import Transaction
from isthmus.wireguard import keys
from isthmus.wireguard.conf import Conf, InterfaceSection, PeerSection, render

NO_KEY = "# Put your own key here. PrivateKey = ...\n"
FILE_NAME_LENGTH = 15  # wg-quick names the interface after the file, and Linux allows no longer name


@dataclass(frozen=True, slots=True)
class StaticConfig:
    """`text` may hold the private key: it is shown once and never logged. `reaches` counts the jump peers in it."""

    text: str = field(repr=False)
    filename: str
    reaches: int
    has_key: bool


@dataclass(frozen=True, slots=True)
class Around:
    """What of a network stands in the config of each static peer: the `peers` that are in every config, and what its
    `bridges` reach."""

    peers: Sequence[Peer]
    bridges: Sequence[Crossing]


async def around(tx: Transaction, network_id: NetworkId) -> Around:
    return Around(await tx.peers.in_every_config(network_id), await tx.crossings.of_network(network_id))


def parse_public_key(text: str) -> PublicKey:
    """A WireGuard public key in canonical base64."""
    try:
        return PublicKey(str(keys.PublicKey.parse(text)))
    except keys.InvalidKey as error:
        raise InvalidValue("/public_key", str(error), "44 characters of base64, as `wg pubkey` prints") from None


def rendered(network: Network, around: Around, me: Peer, private: keys.PrivateKey | None) -> StaticConfig:
    """The file for `me`; without `private` it says where its owner puts the key that the server never had."""
    crossings = held_by(network, around.peers, around.bridges)
    tunnel = tunnel_for(network, around.peers, me, crossings)
    text = render(
        Conf(
            InterfaceSection(
                private_key=private,
                addresses=tuple(ipaddress.ip_interface(address) for address in tunnel.addresses),
                listen_port=tunnel.listen_port,
                mtu=tunnel.mtu,
            ),
            tuple(
                PeerSection(
                    public_key=keys.PublicKey.parse(neighbour.public_key),
                    name=neighbour.name,
                    endpoint=neighbour.endpoint,
                    allowed_ips=neighbour.allowed_ips,
                    keepalive=neighbour.keepalive,
                )
                for neighbour in tunnel.neighbours
            ),
        )
    )
    if private is None:
        text = text.replace("[Interface]\n", f"[Interface]\n{NO_KEY}", 1)
    filename = f"{me.name[:FILE_NAME_LENGTH].rstrip('-')}.conf"
    return StaticConfig(text, filename, len(tunnel.neighbours), has_key=private is not None)
