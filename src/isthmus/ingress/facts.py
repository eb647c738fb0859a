"""Checking the facts before anything is rendered: what passes here is safe to write into a configuration file."""

import re
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from uuid import UUID

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from isthmus.domain.federation.names import is_domain
from isthmus.ingress.refused import FactsRefused
from isthmus.protocol.ingress import WAN, IngressFacts, Listener
from isthmus.protocol.places import MOST_REPLICAS

MOST_LISTENERS = 256
MOST_ANCHORS = 10_000
MOST_NAMES = 64
DEEPEST_CHAIN = 10
LARGEST_FILE = 64 * 1024 * 1024
LISTENER_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----\s.*?-----END CERTIFICATE-----\s*", re.DOTALL)


def decode(raw: bytes, source: str) -> IngressFacts:
    """Facts in JSON, checked. Raises `FactsRefused`; `source` names the file or socket in its message."""
    try:
        facts = msgspec.json.decode(raw, type=IngressFacts)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise FactsRefused(f"{source} holds no facts of an ingress: {error}") from None
    return checked(facts)


def read(path: Path) -> IngressFacts:
    """Facts from a JSON file. Raises `FactsRefused`."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise FactsRefused(f"{path} is larger than {LARGEST_FILE} bytes")
        raw = path.read_bytes()
    except OSError as error:
        raise FactsRefused(f"{path} cannot be read ({error.strerror})", "name a file with --facts") from None
    return decode(raw, str(path))


def checked(facts: IngressFacts) -> IngressFacts:
    """`facts` if they can be rendered. Raises `FactsRefused`."""
    if not 0 < len(facts.infra_domains) <= MOST_NAMES:
        raise FactsRefused(
            f"an ingress needs between 1 and {MOST_NAMES} infra domains",
            "set one: isthmus federation init --infra NAME",
        )
    for name in facts.infra_domains:
        if not is_domain(name):
            raise FactsRefused(f"{name[:300]!r} is no infra domain", "write a name such as infra.example.com")
    _check_listeners(facts.listeners)
    _check_overlays(facts)
    if not 0 < facts.verify_depth <= DEEPEST_CHAIN:
        raise FactsRefused(f"verify_depth is {facts.verify_depth}, not between 1 and {DEEPEST_CHAIN}")
    if not 1024 <= facts.most_body <= 16 * 1024 * 1024:
        raise FactsRefused(f"most_body is {facts.most_body}, not between 1 KiB and 16 MiB")
    if not 0 < facts.replicas <= MOST_REPLICAS:
        raise FactsRefused(f"replicas is {facts.replicas}, not between 1 and {MOST_REPLICAS}")
    anchors_text(facts.anchors)
    return facts


def part_of(facts: IngressFacts, replica: int) -> IngressFacts:
    """What one of several ingresses renders: the listeners of overlays, whose guard is one for the host, are the first
    one's alone."""
    if replica == 1:
        return facts
    listeners = [each for each in facts.listeners if each.network == WAN]
    return msgspec.structs.replace(facts, listeners=listeners)


def _check_listeners(listeners: Sequence[Listener]) -> None:
    if not 0 < len(listeners) <= MOST_LISTENERS:
        raise FactsRefused(f"an ingress needs between 1 and {MOST_LISTENERS} listeners")
    for each in listeners:
        if not LISTENER_ID.fullmatch(each.id):
            raise FactsRefused(f"{each.id[:80]!r} is no id of a listener", "use lower-case letters, digits, hyphens")
        if not _is_address(each.address) or not 0 < each.port < 65_536:
            raise FactsRefused(f"listener {each.id}: {each.address[:80]}:{each.port} is no address and port")
        if each.network != WAN and not _is_uuid(each.network):
            raise FactsRefused(f"listener {each.id}: {each.network[:80]!r} is neither a network's id nor {WAN}")
        if each.network != WAN and ip_address(each.address).is_unspecified:
            # It would take connections from everywhere and call them all the overlay's.
            raise FactsRefused(f"listener {each.id}: an overlay's listener needs an address of that overlay")
    if len({each.id for each in listeners}) < len(listeners):
        raise FactsRefused("two listeners have one id")
    if len({(ip_address(each.address), each.port) for each in listeners}) < len(listeners):
        raise FactsRefused("two listeners have one address and port")


def _check_overlays(facts: IngressFacts) -> None:
    """Each overlay has listeners of its own, at addresses that nobody else has."""
    overlays = [each for each in facts.listeners if each.network != WAN]
    for each in overlays:
        if each.network not in facts.networks:
            why = f"listener {each.id}: the network {each.network} is not there or has no effective bridge"
            raise FactsRefused(why, "isthmus bridge list; a listener goes with its network")
    addresses = [ip_address(each.address) for each in facts.listeners]
    for each in overlays:
        if addresses.count(ip_address(each.address)) > 1:
            raise FactsRefused(f"listener {each.id}: {each.address} is the address of another listener too")
    if len({(each.network, ip_address(each.address).version) for each in overlays}) < len(overlays):
        raise FactsRefused("two listeners of one network have addresses of one family")


def _is_address(text: str) -> bool:
    try:
        # A zone id (`fe80::1%eth0`) would be another spelling of one address.
        return "%" not in text and bool(ip_address(text))
    except ValueError:
        return False


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def anchors_text(anchors: Sequence[str]) -> str:
    """The trust anchors as one PEM file, each once, in an order that is theirs.

    Raises `FactsRefused` on none, and on anything but certificates. Without an anchor nobody could be verified; our
    own CA is always among them, so none means that something broke.
    """
    if not anchors:
        raise FactsRefused("there are no trust anchors", "our own CA is always one: isthmus federation init")
    if len(anchors) > MOST_ANCHORS:
        raise FactsRefused(f"there are more than {MOST_ANCHORS} trust anchors")
    found: dict[bytes, str] = {}
    for number, anchor in enumerate(anchors, 1):
        for certificate in certificates_of(anchor, f"trust anchor {number}"):
            der = certificate.public_bytes(Encoding.DER)
            found[der] = certificate.public_bytes(Encoding.PEM).decode("ascii")
    return "".join(text for _, text in sorted(found.items()))


def certificates_of(text: str, what: str) -> list[x509.Certificate]:
    """All certificates of a PEM text that holds nothing else. Raises `FactsRefused` for `what`."""
    if not _PEM.search(text):
        raise FactsRefused(f"{what} is no certificate in PEM", "the last good configuration stays; mend that file")
    if _PEM.sub("", text).strip():
        raise FactsRefused(f"{what} holds something beside certificates in PEM")
    try:
        return x509.load_pem_x509_certificates(text.encode("ascii"))
    except ValueError as error:
        raise FactsRefused(f"{what} holds a broken certificate ({error})") from None
