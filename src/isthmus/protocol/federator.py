"""What the server and its Federator say to each other over the control socket. JSON over HTTP on a unix socket.

`GET /snapshot?after=GENERATION&wait=SECONDS&replica=NUMBER` answers 200 with a `Snapshot` as soon as there is one of a
later generation, 204 when none came; of several Federators, NUMBER says which one asks. `POST /report` takes a
`Report`, answers 204. `POST /nonces` takes a `Nonce`, answers 204, or 409 when it was seen before.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from isthmus.protocol.ingress import WAN

MOST_WAIT = 30.0
MOST_ROWS = 1_000
ALARM_REPEATED = 600.0
"""Seconds after which a Federator tells the finding of an alarm again that goes on."""
SNAPSHOT_LIFE = 60.0
"""Seconds for which a Federator that cannot reach the server goes on with what it knows."""


class Limits(Struct, frozen=True):
    """Requests and mutations a second with their bursts, and requests at a time."""

    requests: float
    requests_burst: int
    mutations: float
    mutations_burst: int
    parallel: int


class Credential(Struct, frozen=True):
    """A leaf that speaks for us to one remote instead of our own: that of its invitation, until it is accepted. PEM."""

    chain: str
    key: str


class Bridged(Struct, frozen=True):
    """An effective bridge. `network` is the id of ours; inside `prefixes` the remote is reached over it, its ingress at
    `vip` and `port` (empty and 0 where it has none). `sources` are our own addresses to call from."""

    network: str
    prefixes: list[str]
    vip: str = ""
    port: int = 0
    sources: list[str] = field(default_factory=list)


class Entry(Struct, frozen=True):
    """One remote. `authorities`, fingerprints and keys are base64 of DER, SHA-256 and raw Ed25519; `components` None
    means all, `expires_at` is in Unix seconds. `instances` None means that every instance it certifies may call.
    One that is not `listed` is revoked and was removed: it is told so, and as a caller it is a stranger."""

    domain: str
    generation: int
    state: Literal["pending", "active", "suspended", "revoked"]
    direction: Literal["in", "out", "both"]
    trust: Literal["pinned", "shared"]
    infra_domains: list[str]
    authorities: list[str]
    message_keys: dict[str, str]
    bundle_sequence: int
    limits: Limits
    components: list[str] | None = None
    expires_at: float | None = None
    needs_dnssec: bool = False
    needs_tlsa: bool = False
    instances: list[str] | None = None
    blocked_instances: list[str] = field(default_factory=list)
    revoked_instances: list[str] = field(default_factory=list)
    revoked_leaves: list[str] = field(default_factory=list)
    revoked_serials: list[str] = field(default_factory=list)
    revoked_keys: list[str] = field(default_factory=list)
    credential: Credential | None = None
    listed: bool = True
    bridges: list[Bridged] = field(default_factory=list)


class Snapshot(Struct, frozen=True):
    """All that the Federator decides by, at one moment. `generation` grows with every change.

    `own_authorities` verify the leaves of our own invitations; `own_revoked` are fingerprints of leaves of ours that
    must not be presented any more. `versions` are the API versions of the components of this backend. No remote is
    looked for at `denied_addresses`: our own database lives there. `listeners` are those of the ingress by their ids,
    each with its network, whether it is bridged or not. `overlays` are all ranges of our networks and all that were
    accepted for bridges, effective or not.
    """

    generation: int
    domain: str
    infra_domains: list[str]
    strategy: Literal["none", "list", "all"]
    entries: list[Entry]
    shared_roots: list[str]
    own_authorities: list[str]
    versions: list[int]
    service: str
    ports: list[int]
    bundle_sequence: int
    own_revoked: list[str] = field(default_factory=list)
    stranger_limits: Limits = Limits(20, 40, 5, 10, 16)
    denied_addresses: list[str] = field(default_factory=list)
    listeners: dict[str, str] = field(default_factory=lambda: {WAN: WAN})
    overlays: list[str] = field(default_factory=list)


class Row(Struct, frozen=True):
    """One audit row. `id` makes a report that is sent twice count once. `at` is in Unix seconds; a row with `left_out`
    stands for so many of unproven callers that got no row of their own."""

    id: str
    at: float
    actor: Annotated[str, Meta(max_length=400)]
    action: str
    subject: Annotated[str, Meta(max_length=400)]
    outcome: Literal["done", "denied"]
    request_id: str
    reason: str
    facts: dict[str, Any] = field(default_factory=dict)
    left_out: int = 0


class Sighting(Struct, frozen=True):
    """An admitted caller: which instance of which remote, when last (Unix seconds)."""

    domain: str
    instance: str
    at: float


class Suspicion(Struct, frozen=True):
    """Something that an operator should look at: `infra_domain_changed`, `foreign_authority`, `trust_header_presented`,
    … of one remote."""

    kind: str
    domain: str
    at: float
    evidence: dict[str, Any]


class Cleared(Struct, frozen=True):
    """A suspicion whose cause is gone."""

    kind: str
    domain: str


class Report(Struct, frozen=True):
    """What a Federator tells, in batches. At most `MOST_ROWS` of each."""

    rows: list[Row] = field(default_factory=list)
    sightings: list[Sighting] = field(default_factory=list)
    suspicions: list[Suspicion] = field(default_factory=list)
    cleared: list[Cleared] = field(default_factory=list)


class Nonce(Struct, frozen=True):
    """A nonce of a signed mutation, to be remembered until `expires_at` (Unix seconds)."""

    domain: str
    nonce: Annotated[str, Meta(min_length=8, max_length=128)]
    expires_at: float


class Finding(Struct, frozen=True):
    """One line of `isthmus remote doctor`: a link of the chain, and whether it holds. `side` is who must act."""

    step: str
    ok: bool
    observed: str = ""
    expected: str = ""
    mend: str = ""
    side: Literal["", "ours", "theirs", "both", "dns"] = ""


class Examination(Struct, frozen=True):
    """`POST /doctor/<domain>` on the outward socket: every link in order; after one that is broken, those that can
    still be looked at."""

    domain: str
    findings: list[Finding]
