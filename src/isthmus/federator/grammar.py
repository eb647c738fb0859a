"""The grammar of a request from the ingress, on raw bytes: nothing is decoded before it is matched."""

import re
from collections.abc import Collection, Iterable, Mapping
from ipaddress import ip_address

from isthmus.domain.addresses import IPAddress
from isthmus.domain.federation.denial import Denied
from isthmus.protocol import federation as wire
from isthmus.protocol import ingress

ROUTE = re.compile(rb"/federation/([a-z][a-z0-9-]{0,62})/([a-z][a-z0-9-]{0,62})")
PLAIN = re.compile(rb"[\x20-\x7e]*")
VISIBLE = re.compile(r"[\x21-\x7e]{1,128}")
OTHER = re.compile(r"[^a-z0-9]+")
LONGEST_ESCAPED = 200

FROM_THE_INGRESS = (
    ingress.LEAF, ingress.LISTENER, ingress.SECRET, ingress.INGRESS_REQUEST_ID, ingress.NETWORK, ingress.SOURCE,
    ingress.CALLER_REQUEST_ID, ingress.PRESENTED,
)  # fmt: skip
KNOWN: Mapping[str, str] = {
    name.lower(): name for name in (*FROM_THE_INGRESS, *ingress.PASSED, "Content-Length", "Transfer-Encoding")
}
"""Headers that are read, each at most once, by their names in lower case."""

ALIASES = frozenset(
    {
        "x-calling-instance", "x-sdwan-network", "x-forwarded-for", "x-real-ip", "forwarded", "x-forwarded-host",
        "x-forwarded-proto", "x-ssl-certificate", "x-ssl-cert", "x-ssl-client-cert", "x-ssl-client-verify",
        "ssl-client-cert", "ssl-client-verify", "x-client-cert", "client-cert", "client-cert-chain",
        "x-forwarded-tls-client-cert", "x-forwarded-tls-client-cert-info", "x-forwarded-client-cert", "x-client-dn",
        "x-ssl-client-dn", "ssl-client-s-dn", "isthmus-context", "true-client-ip", "cf-connecting-ip",
    }
)  # fmt: skip
"""Names by which proxies tell who calls. The ingress sets some of them, under exactly one spelling."""

OVERRIDES = frozenset(name.lower() for name in ingress.METHOD_OVERRIDES)
JSON = re.compile(r"application/json(\s*;\s*charset=\"?utf-8\"?)?", re.IGNORECASE)


def route_of(method: str, target: bytes) -> tuple[str, str]:
    """Component and rpc. Every path that is no call gets the same 404."""
    if method != "POST":
        raise Denied("method_not_allowed", detail="calls are made by POST")
    if b"?" in target:
        raise Denied("query_not_allowed", detail="a call has no query")
    if b"#" in target or not PLAIN.fullmatch(target):
        raise Denied("malformed_request", "target", "the path holds what no path may hold")
    found = ROUTE.fullmatch(target)
    if found is None:
        raise no_route("path")
    return found[1].decode(), found[2].decode()


def no_route(reason: str) -> Denied:
    return Denied("route_not_found", f"route.{reason}", "there is no such call")


def headers_of(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """The headers that count, by their names in `isthmus.protocol`. Whatever else came is left out."""
    found: dict[str, str] = {}
    for name_bytes, value in raw:
        literal = name_bytes.decode("latin-1").lower()
        name = KNOWN.get(literal)
        if name is None:
            _check_alias(literal)
            continue
        if name in found:
            raise Denied("header_duplicated", detail=f"{name} came twice", facts={"header": name})
        if not PLAIN.fullmatch(value):
            code = "origin_invalid" if name == wire.ORIGIN else "malformed_request"
            raise Denied(code, "header_bytes", f"{name} holds bytes that no header may hold", facts={"header": name})
        found[name] = value.decode("ascii").strip()
    return found


def _check_alias(literal: str) -> None:
    """Refuse a name that we do not know and that somebody could take for one that counts."""
    plain = OTHER.sub("-", literal)
    facts = {"header": escaped(literal)}
    if plain in OVERRIDES:
        raise Denied("method_not_allowed", "method_override", "calls are made by POST", facts=facts)
    # Names of our own that we do not know might mean something to a later release.
    is_alias = plain in ALIASES or plain in KNOWN or plain.startswith("isthmus-")
    if is_alias:
        detail = "the request holds a header that only the ingress may set, or one that is like it"
        raise Denied("trust_header_conflict", detail=detail, facts=facts)


def source_of(text: str, proxies: Collection[IPAddress]) -> str:
    """The address of the caller: the right-most hop that is none of the `proxies`, which stand before the ingress."""
    try:
        hops = [_plain(ip_address(hop.strip())) for hop in text.split(",")]
    except ValueError:
        raise Denied("malformed_request", "source", "the ingress gave no address of the caller") from None
    if len(hops) > 1 and hops[-1] not in proxies:
        raise Denied("malformed_request", "source", "the ingress gave more than one address of the caller")
    while len(hops) > 1 and hops[-1] in proxies:
        hops.pop()
    return str(hops[-1])


def _plain(address: IPAddress) -> IPAddress:
    return (address.version == 6 and address.ipv4_mapped) or address


def check_body(headers: Mapping[str, str]) -> None:
    """Nothing is inflated, and nothing but JSON in UTF-8 is taken."""
    if headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
        raise Denied("content_encoding_not_allowed", detail="send the body as it is, without a content encoding")
    if not JSON.fullmatch(headers.get("Content-Type", "")):
        raise Denied("unsupported_media_type", detail="send application/json in UTF-8")


def check_length(headers: Mapping[str, str]) -> None:
    length = headers.get("Content-Length", "0")
    if length.isdigit() and int(length) > wire.MOST_REQUEST:
        raise body_too_large()


def body_too_large() -> Denied:
    return Denied("body_too_large", detail=f"a body has at most {wire.MOST_REQUEST} bytes")


def escaped(text: str | bytes | None) -> str:
    """Text of a caller for log and audit: visible ASCII, bounded."""
    if text is None:
        return ""
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    return raw[:LONGEST_ESCAPED].decode("latin-1").encode("unicode_escape").decode("ascii")[:LONGEST_ESCAPED]
