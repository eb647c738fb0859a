"""What the ingress is made of: the typed facts from which its configuration is rendered, and what it refuses.

`GET /ingress?after=GENERATION&wait=SECONDS` on the control socket answers with `IngressFacts` like a snapshot.
"""

import hmac
from hashlib import sha256
from typing import Literal

from msgspec import Struct, field

WAN = "wan"
# What the ingress tells the Federator beside the request, in headers that it alone sets.
LEAF = "Isthmus-Ingress-Leaf"
"""The escaped PEM of the session's client certificate."""
LISTENER = "Isthmus-Ingress-Listener"
SECRET = "Isthmus-Ingress-Secret"  # noqa: S105  # the name of a header
INGRESS_REQUEST_ID = "Isthmus-Ingress-Request-Id"
INSTANCE = "X-Calling-Instance"
NETWORK = "X-Sdwan-Network"
SOURCE = "X-Forwarded-For"
PASSED = (
    "Isthmus-Origin-Domain", "Isthmus-Api-Version", "Idempotency-Key", "Content-Digest", "Signature", "Signature-Input",
    "Authorization", "Content-Type", "Content-Encoding",
)  # fmt: skip
"""The caller's own headers that the ingress passes on; the caller's request id goes along under another name."""
CALLER_REQUEST_ID = "Isthmus-Caller-Request-Id"
PRESENTED = "Isthmus-Ingress-Presented"
"""Names of trust headers that the caller sent and the ingress dropped, comma-separated; for the audit."""
TRUST_HEADERS = (
    INSTANCE, NETWORK, SOURCE, "X-Ssl-Certificate", "Ssl-Client-Cert", "Client-Cert", "Client-Cert-Chain",
    "X-Forwarded-Tls-Client-Cert", "X-Forwarded-Tls-Client-Cert-Info", "X-Forwarded-Client-Cert", "Forwarded",
    "X-Real-Ip", LEAF, LISTENER, SECRET, INGRESS_REQUEST_ID, CALLER_REQUEST_ID, PRESENTED, "Isthmus-Context",
)  # fmt: skip
"""Headers by which somebody might tell who a caller is. From a caller they are dropped, and named in `PRESENTED`."""

METHOD_OVERRIDES = ("X-Http-Method-Override", "X-Http-Method", "X-Method-Override")
"""Headers by which a caller asks for another method than that of the request line: refused, whatever they say."""


class Listener(Struct, frozen=True):
    """One socket of the ingress. `network` is `wan` or the id of the overlay that its address belongs to."""

    id: str
    address: str
    port: int
    network: str = WAN


def overlay_listener_id(network: str, version: int) -> str:
    """The id of the listener at the VIP of a network; `version` is that of its address, 4 or 6."""
    return f"vip{version}-{network}"


class IngressFacts(Struct, frozen=True):
    """`anchors` are PEM certificates: the union of all remotes' authorities and our own (which signed invitations).
    `networks` are the bridged ones, their names by their ids: no other has a listener. `replicas` is how many
    Federators there are, and ingresses at the same addresses."""

    generation: int
    infra_domains: list[str]
    listeners: list[Listener]
    anchors: list[str] = field(default_factory=list)
    networks: dict[str, str] = field(default_factory=dict)
    verify_depth: int = 3
    most_body: int = 256 * 1024
    replicas: int = 1


class Refusal(Struct, frozen=True):
    """One request that the ingress refused, as its log datagram carries it. Text of the caller is escaped by nginx."""

    request_id: str
    at: float
    listener: str
    source: str
    code: str
    status: int
    method: str = ""
    path: str = ""
    verify: str = ""
    host: str = ""


Kind = Literal["nginx", "traefik", "kubernetes"]


def listener_secret(key: bytes, listener: str) -> str:
    """The secret by which the Federator knows one listener of its ingress."""
    return hmac.new(key, b"isthmus listener " + listener.encode(), sha256).hexdigest()
