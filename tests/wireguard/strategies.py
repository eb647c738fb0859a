"""Random keys, configurations and changes of WireGuard, as Hypothesis strategies."""

import ipaddress
from ipaddress import IPv4Network, IPv6Network

from hypothesis import strategies as st

from isthmus.domain.addresses import Endpoint, IPNetwork
from isthmus.wireguard.change import InterfaceChange, PeerChange
from isthmus.wireguard.conf import Conf, InterfaceSection, IPInterface, PeerSection
from isthmus.wireguard.keys import PresharedKey, PrivateKey

secret_bytes = st.binary(min_size=32, max_size=32).filter(any)
private_keys = secret_bytes.map(PrivateKey)
preshared_keys = secret_bytes.map(PresharedKey)
public_keys = private_keys.map(PrivateKey.public)
ports = st.integers(0, 65_535)
marks = st.integers(0, 2**32 - 1)
keepalives = st.none() | st.integers(0, 65_535)
domains = st.lists(st.from_regex(r"[a-z][a-z0-9]{0,10}", fullmatch=True), min_size=1, max_size=3).map(".".join)

_hosts = st.one_of(
    st.integers(1, 2**16).map(lambda n: str(ipaddress.IPv4Address("198.18.0.0") + n)),
    st.integers(1, 2**64).map(lambda n: str(ipaddress.IPv6Address("2001:db8::") + n)),
)
numeric_endpoints = st.builds(Endpoint, _hosts, st.integers(1, 65_535))
endpoints = numeric_endpoints | st.builds(Endpoint, domains, st.integers(1, 65_535))


@st.composite
def networks(draw: st.DrawFn) -> IPNetwork:
    address = draw(st.ip_addresses())
    prefix = draw(st.integers(0, address.max_prefixlen))
    if address.version == 4:
        return IPv4Network((int(address), prefix), strict=False)
    return IPv6Network((int(address), prefix), strict=False)


@st.composite
def interfaces(draw: st.DrawFn) -> IPInterface:
    address = draw(st.ip_addresses())
    return ipaddress.ip_interface(f"{address}/{draw(st.integers(0, address.max_prefixlen))}")


network_lists = st.lists(networks(), max_size=4).map(tuple)

interface_sections = st.builds(
    InterfaceSection,
    private_key=st.none() | private_keys,
    addresses=st.lists(interfaces(), max_size=3).map(tuple),
    listen_port=st.none() | ports,
    mtu=st.none() | st.integers(576, 65_535),
    dns=st.lists(st.ip_addresses(), max_size=3).map(tuple),
    search_domains=st.lists(domains, max_size=2).map(tuple),
    table=st.none() | st.sampled_from(["auto", "off"]) | st.integers(0, 2**32 - 1),
    fwmark=st.none() | marks,
)
peer_sections = st.builds(
    PeerSection,
    public_keys,
    name=st.none() | st.text(st.characters()),
    preshared_key=st.none() | preshared_keys,
    endpoint=st.none() | endpoints,
    allowed_ips=network_lists,
    keepalive=keepalives,
)
confs = st.builds(Conf, interface_sections, st.lists(peer_sections, max_size=4).map(tuple))

peer_changes = st.builds(
    PeerChange,
    public_keys,
    endpoint=st.none() | numeric_endpoints,
    allowed_ips=st.none() | network_lists,
    keepalive=keepalives,
) | st.builds(PeerChange, public_keys, remove=st.just(True))
interface_changes = st.builds(
    InterfaceChange,
    private_key=st.none() | private_keys,
    listen_port=st.none() | ports,
    fwmark=st.none() | marks,
    peers=st.lists(peer_changes, max_size=4).map(tuple),
)
