"""What an agent and its server say to each other. JSON; unknown fields are ignored, unknown `requires` refused.

Enrollment and the plain HTTPS calls carry one message as a body; on the stream each text frame is one message,
told apart by its `type`. Times are Unix seconds, durations seconds, sizes bytes.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

VERSION = 1
FEATURES = frozenset({"full-encapsulation", "forwarding", "bridges"})
"""What this version of the agent can do. A config that `requires` more is refused, never applied in part."""

HEARTBEAT_SECONDS = 15
HEARTBEAT_JITTER = 0.2
MAX_MESSAGE = 64 * 1024  # from an agent; 1,000 changed peers need about 150 bytes each, sent over several beats
MAX_REPORTS = 256
MAX_CANDIDATES = 8
MAX_PATHS = 64
MAX_FLOWS = 256

# People read these in terminals, and PostgreSQL stores no NUL: control characters are refused.
Text = Annotated[str, Meta(max_length=255, pattern=r"\A[^\x00-\x1f\x7f-\x9f]*\Z")]
EndpointText = Annotated[str, Meta(max_length=262, pattern=r"\A[!-~]*\Z")]
ErrorText = Annotated[str, Meta(max_length=500, pattern=r"\A[^\x00-\x08\x0b-\x1f\x7f-\x9f]*\Z")]
Token = Annotated[str, Meta(min_length=1, max_length=128)]
Key = Annotated[str, Meta(min_length=44, max_length=44)]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
UnixTime = Annotated[int, Meta(ge=0, le=253_402_300_799)]  # to the end of the year 9999


class EnrollRequest(Struct, frozen=True):
    """POST /api/v1/agent/enroll"""

    token: Token
    public_key: Key
    hostname: Text
    machine_id: Text
    agent_version: Text
    protocol: int = VERSION


class EnrolledPeer(Struct, frozen=True):
    id: str
    name: str
    kind: str


class EnrolledNetwork(Struct, frozen=True):
    id: str
    name: str


class EnrollAnswer(Struct, frozen=True):
    """Who the host is now, and its first config, so that its tunnel can stand before it asks for anything more."""

    peer: EnrolledPeer
    network: EnrolledNetwork
    session_token: str
    server_time: int
    revision: int
    config: "Config"


class Neighbour(Struct, frozen=True, omit_defaults=True):
    """One WireGuard peer. `role`: primary (the way to all others), standby, member (as a jump peer sees it), or direct:
    tried at `candidates` with no allowed IPs, and given what it `takes` from the primary while a handshake with it is
    fresh. What a member is allowed and a direct neighbour takes begins with its own addresses, one for each that the
    frame has. So does what the primary and a standby are allowed.

    A jump peer keeps an `isolated` member from the other members, and sends the traffic of an `encapsulated` one on
    to the world under its own address.
    """

    name: str
    public_key: str
    allowed_ips: tuple[str, ...]
    role: str = "member"
    endpoint: str | None = None
    keepalive: int | None = None
    candidates: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    isolated: bool = False
    encapsulated: bool = False


class Forwarding(Struct, frozen=True, omit_defaults=True):
    """What the host does for others; see `isthmus.domain.mesh.tunnel.Forwarding`."""

    between_peers: bool = False
    offered: tuple[str, ...] = ()


class Dns(Struct, frozen=True, omit_defaults=True):
    """`servers` answer for the names under `domain` and the addresses in `cidrs`. A host without `servers` is one: it
    answers on its own addresses, from the names of its neighbours, and asks `upstreams` (none: those of its host) for
    everything else."""

    domain: str
    cidrs: tuple[str, ...] = ()
    servers: tuple[str, ...] = ()
    upstreams: tuple[str, ...] = ()


class Flow(Struct, frozen=True, omit_defaults=True):
    """What may pass a bridge, its replies included: from `sources` to the address `destination`. `ports` are numbers
    and ranges such as `8000-8100`. `id` names its counter: that of the grant, `ingress` for our
    own, or `remote-ingress`."""

    id: str
    sources: tuple[str, ...]
    destination: str
    protocol: Literal["tcp", "udp"]
    ports: tuple[str, ...]


class Crossing(Struct, frozen=True, omit_defaults=True):
    """One bridge on its gateway; see `isthmus.domain.mesh.crossing.Crossing`. The gateway of the other side becomes a
    neighbour called `name`, with `prefixes` as its allowed IPs."""

    id: str
    name: str
    public_key: str
    prefixes: tuple[str, ...]
    local: tuple[str, ...]
    endpoint: str | None = None
    keepalive: int | None = None
    flows: tuple[Flow, ...] = ()
    barred: tuple[str, ...] = ()


class Bridged(Struct, frozen=True, omit_defaults=True):
    """What active bridges add to a config. It ends `lease` seconds after the host has heard from the server last.

    `prefixes` lead through the primary jump peer, and into the tunnel; on the gateway itself through its `crossings`.
    """

    lease: int
    prefixes: tuple[str, ...] = ()
    crossings: tuple[Crossing, ...] = ()


class Frame(Struct, frozen=True):
    """One peer's interface but for its neighbours: `addresses` without prefix, `routes` that lead into the tunnel.

    `public_key` is the key that the others know this peer by: the agent brings out the private half that fits.
    """

    network: str
    name: str
    addresses: tuple[str, ...]
    mtu: int
    listen_port: int | None
    routes: tuple[str, ...]
    public_key: str = ""
    forwarding: Forwarding = field(default_factory=Forwarding)
    dns: Dns | None = None
    requires: tuple[str, ...] = ()
    bridged: Bridged | None = None


class Patch(Struct, frozen=True, omit_defaults=True):
    """The fields of a frame that are others now; those that are left out stay as they are."""

    network: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    addresses: tuple[str, ...] | UnsetType = UNSET
    mtu: int | UnsetType = UNSET
    listen_port: int | UnsetType | None = UNSET
    routes: tuple[str, ...] | UnsetType = UNSET
    public_key: str | UnsetType = UNSET
    forwarding: Forwarding | UnsetType = UNSET
    dns: Dns | UnsetType | None = UNSET
    requires: tuple[str, ...] | UnsetType = UNSET
    bridged: Bridged | UnsetType | None = UNSET


class Config(Frame, frozen=True, kw_only=True):
    """One peer's whole interface. A neighbour with the peer's own key is the peer itself, and is passed over."""

    neighbours: tuple[Neighbour, ...]


class Hello(Struct, frozen=True, tag="hello"):
    """First message of a stream. `nonce` belongs into the next heartbeat."""

    nonce: str
    server_time: int
    heartbeat: int = HEARTBEAT_SECONDS
    protocol: int = VERSION


class Snapshot(Struct, frozen=True, tag="snapshot"):
    """The whole config at `revision`; it replaces whatever the agent has."""

    revision: int
    config: Config


class Delta(Struct, frozen=True, omit_defaults=True, tag="delta", rename={"from_": "from"}):
    """What makes a config of any revision in `from_` ≤ revision < `to` the one of revision `to`.

    An agent that has `to` already has nothing to do; one that is older than `from_` asks for a snapshot. `remove` names
    public keys to take out first, which may not be there; neighbours in `upsert` replace those with the same public
    key, new ones stand last. The order of jump peers is that in which they are to be used.
    """

    from_: int
    to: int
    upsert: tuple[Neighbour, ...] = ()
    remove: tuple[str, ...] = ()
    frame: Patch = Patch()


class Rotate(Struct, frozen=True, tag="rotate"):
    """The agent shall make a new key and send it as `Rekey`; the old one serves until its frame names the new."""


class SessionToken(Struct, frozen=True, tag="session"):
    """From now on the agent presents this token; the one before is good until the new one was presented once."""

    session_token: str

    def __repr__(self) -> str:
        return "SessionToken(***)"


class Unchanged(Struct, frozen=True, tag="unchanged"):
    """The agent's revision is the present one."""

    revision: int


class Ack(Struct, frozen=True, tag="ack"):
    """A heartbeat counted. `nonce` belongs into the next one."""

    nonce: str


class Refused(Struct, frozen=True, tag="refused"):
    """A message did not count. `code` is a problem code; with `nonce` the agent reports again."""

    code: str
    detail: str
    nonce: str | None = None


class PeerReport(Struct, frozen=True, omit_defaults=True):
    """What the interface shows of one neighbour. Counters come with the next new handshake or endpoint, at most about
    two minutes later while traffic flows: they change with every keepalive, which is no news."""

    public_key: Key
    endpoint: EndpointText | None = None
    latest_handshake: UnixTime = 0
    rx: Count = 0
    tx: Count = 0


class Host(Struct, frozen=True):
    """What a report says of the host itself: `booted_at` of the host, `started_at` of the agent."""

    hostname: Text
    machine_id: Text
    boot_id: Text
    agent_version: Text
    booted_at: UnixTime
    started_at: UnixTime


class PathReport(Struct, frozen=True, omit_defaults=True):
    """How the host reaches one neighbour now: `via` is the public key of a jump peer, empty for a direct path.

    `since` in Unix seconds; `round_trip` in microseconds, 0 = not measured.
    """

    public_key: Key
    since: UnixTime
    via: Annotated[str, Meta(max_length=44)] = ""
    round_trip: Count = 0


class FlowReport(Struct, frozen=True, omit_defaults=True):
    """What has passed by one flow of a bridge since the gateway has it: packets and bytes, both directions."""

    bridge: Annotated[str, Meta(max_length=36)]
    flow: Annotated[str, Meta(max_length=36)]
    packets: Count = 0
    size: Count = 0


class Heartbeat(Struct, frozen=True, omit_defaults=True, tag="heartbeat"):
    """The first of each conversation tells of the host and of every neighbour; later ones tell what changed.

    `candidates`, when given, are all local endpoints where others may try the host directly; `paths` tell of direct
    ways that opened or closed, and of the primary jump peer in use.
    """

    nonce: Annotated[str, Meta(max_length=64)]
    revision: Count
    host: Host | None = None
    peers: Annotated[tuple[PeerReport, ...], Meta(max_length=MAX_REPORTS)] = ()
    candidates: Annotated[tuple[EndpointText, ...], Meta(max_length=MAX_CANDIDATES)] | None = None
    paths: Annotated[tuple[PathReport, ...], Meta(max_length=MAX_PATHS)] = ()
    flows: Annotated[tuple[FlowReport, ...], Meta(max_length=MAX_FLOWS)] = ()

    @property
    def is_bare(self) -> bool:
        """Whether it says no more than that the agent is there, as nearly all do."""
        return self.host is None and self.candidates is None and not (self.peers or self.paths or self.flows)


class Applied(Struct, frozen=True, tag="applied"):
    """The agent made `revision` true on its host, or says in `error` why it could not.

    Where WebSockets are blocked it is the body of POST /api/v1/agent/applied.
    """

    revision: Count
    took_ms: Count
    error: ErrorText | None = None


class Resync(Struct, frozen=True, tag="resync"):
    """The agent asks for a snapshot."""


class Rekey(Struct, frozen=True, tag="rekey"):
    """The public half of a key that the agent has just made, to be known by from now on.

    Where WebSockets are blocked it is the body of POST /api/v1/agent/rekey.
    """

    public_key: Key


FromServer = Hello | Snapshot | Delta | Unchanged | Ack | Refused | Rotate | SessionToken
FromAgent = Heartbeat | Applied | Resync | Rekey

encode = msgspec.json.Encoder().encode
decode_from_server = msgspec.json.Decoder(FromServer).decode
decode_from_agent = msgspec.json.Decoder(FromAgent).decode


class InstanceRequest(Struct, frozen=True):
    """POST /api/v1/agent/instance: a certificate request in PEM, of which the public key alone counts."""

    csr: Annotated[str, Meta(max_length=100_000)]


class InstanceAnswer(Struct, frozen=True):
    """The instance on the agent's host, and the chain of its new leaf in PEM."""

    instance: str
    name: str
    chain: str


class ConfigAnswer(Struct, frozen=True):
    """GET /api/v1/agent/config?revision=N: a whole config, or what has changed since N, or neither where
    nothing has. `rotate` and `session_token` are the messages of the same name."""

    revision: int
    nonce: str
    server_time: int
    config: Config | None = None
    delta: Delta | None = None
    rotate: bool = False
    session_token: str = ""


# How the server closes a stream (RFC 6455 leaves 4000–4999 to applications).
CLOSE_SESSION_ENDED = 4401
CLOSE_BLOCKED = 4403
CLOSE_TOO_SLOW = 4408
CLOSE_REPLACED = 4409
CLOSE_GOING_AWAY = 1012
CLOSE_BROKEN = 1011
