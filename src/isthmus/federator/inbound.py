"""The inward side: calls of other backends go through one ordered table of checks, and then to their component."""

import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID, uuid4

from isthmus.domain.federation import admission
from isthmus.domain.federation.certificate import check_profile, check_trust_domain, identity_of
from isthmus.domain.federation.denial import Denied
from isthmus.domain.federation.finding import INSTANCE_WITHOUT_SAN, REMOTE_MISBEHAVES
from isthmus.domain.federation.quota import Quotas, Strangers
from isthmus.domain.federation.remote import State, Strategy, Trust
from isthmus.federator import grammar
from isthmus.federator.leaves import Leaves
from isthmus.federator.parts import Parts
from isthmus.federator.passage import Answer, Arrival, Components, ListenerSecrets, Passage, there
from isthmus.federator.ports import AlreadySeen, Discovery, Overloaded, ServerUnavailable
from isthmus.protocol import federation as wire
from isthmus.protocol import ingress
from isthmus.protocol.context import LIFE, Context
from isthmus.protocol.federation import RPCS, Admits
from isthmus.protocol.federator import Nonce
from isthmus.protocol.signatures import Fields, Message, verify
from isthmus.protocol.steady import since_start

STATES: Mapping[Admits, State] = {
    Admits.PENDING: State.PENDING,
    Admits.SUSPENDED: State.SUSPENDED,
    Admits.ACTIVE: State.ACTIVE,
}
NAMELESS = frozenset({"profile.san_missing", "profile.uri_count", "profile.uri"})
ACTIVE_ONLY = frozenset({Admits.ACTIVE})
RETRY_SECONDS = 2
CLOCK_RETRY_SECONDS = 30
CANNOT_DECIDE = "this backend cannot decide now"


class Inbound:
    """Admits a request or raises `Denied`; `CHECKS` is the order."""

    def __init__(
        self, parts: Parts, user: int, discovery: Discovery, secrets: ListenerSecrets, components: Components
    ) -> None:
        self._parts, self._user = parts, user
        self._discovery, self._secrets, self._components = discovery, secrets, components
        self._leaves = Leaves()
        self._quotas, self._strangers = Quotas(), Strangers()

    def begin(self, arrival: Arrival) -> Passage:
        """The request with the one snapshot that it is decided by."""
        return Passage(arrival, self._parts.snapshots.current, str(uuid4()))

    async def admit(self, passage: Passage) -> None:
        """Take the request through the table. Raises `Denied`; `passage.check` then names the row."""
        for name, check in CHECKS:
            passage.check = name
            await check(self, passage)

    async def forward(self, passage: Passage) -> Answer:
        """The last step, for a request that was admitted. Raises `Denied`."""
        passage.check = "forward"
        if passage.context is None:
            raise RuntimeError("forwarded before it was admitted")
        also = {
            name: passage.headers[name]
            for name in (wire.IDEMPOTENCY_KEY, wire.AUTHORIZATION)
            if name in passage.headers
        }
        return await self._components.call(passage.context, also, passage.body)

    # The rows of the table, in its order.

    async def caller(self, passage: Passage) -> None:
        """1: the request comes from our ingress."""
        arrival = passage.arrival
        if arrival.user != self._user:
            raise Denied("ingress_untrusted", "socket_user", facts={"user": arrival.user})
        given = arrival.only(ingress.LISTENER), arrival.only(ingress.SECRET)
        if not self._secrets.is_right(*given):
            raise Denied("ingress_untrusted", "listener_secret", facts={"listener": grammar.escaped(given[0])})
        passage.request_id = _id_of(arrival.only(ingress.INGRESS_REQUEST_ID)) or passage.request_id

    async def snapshot(self, passage: Passage) -> None:
        """There is something to decide by that is not too old."""
        if passage.snapshot is None:
            raise Denied("overloaded", "no_snapshot", CANNOT_DECIDE, {"retry_after": RETRY_SECONDS})

    async def grammar(self, passage: Passage) -> None:
        """2: the raw request has one meaning."""
        arrival = passage.arrival
        passage.headers = headers = grammar.headers_of(self._parts.translate(arrival.headers))
        passage.component, passage.name = grammar.route_of(arrival.method, arrival.target)
        passage.rpc = RPCS.get((passage.component, passage.name))
        grammar.check_length(headers)
        escaped = headers.get(ingress.LEAF, "")
        if not escaped:
            raise Denied("client_certificate_required", detail="calls are made with a client certificate")
        try:
            passage.der, passage.leaf = self._leaves.read(escaped)
        except ValueError as error:
            raise Denied("malformed_request", "leaf", "the ingress gave no readable certificate") from error

    async def arrived(self, passage: Passage) -> None:
        """On which network, and from where: the listener's constant one, and what the ingress's own socket saw."""
        headers = passage.headers
        listener, network = headers.get(ingress.LISTENER, ""), headers.get(ingress.NETWORK, "")
        if passage.view.listeners.get(listener) != network:
            facts = {"listener": grammar.escaped(listener), "network": grammar.escaped(network)}
            raise Denied("ingress_untrusted", "listener_network", facts=facts)
        passage.network = network
        # What stands before the WAN's listener has no part in an overlay.
        proxies = self._parts.proxies if network == ingress.WAN else frozenset()
        passage.source = grammar.source_of(headers.get(ingress.SOURCE, ""), proxies)

    async def origin_grammar(self, passage: Passage) -> None:
        """3: the origin is a backend domain."""
        passage.origin = admission.origin_of(passage.headers.get(wire.ORIGIN))

    async def gate(self, passage: Passage) -> None:
        """4: the origin is on the allow list, and its entry covers the call. Invitations reach one call alone."""
        leaf, view, now = there(passage.leaf), passage.view, self._parts.clock.now()
        try:
            passage.identity = identity_of(leaf)
        except Denied:
            # Row 6 says which rule it breaks; until then nobody asks whom it names.
            passage.identity = None
        invited = passage.identity is not None and admission.is_own_invitation(view, passage.identity)
        if not invited:
            passage.known = admission.listed(view, there(passage.origin), passage.component, now)
        elif view.strategy is Strategy.NONE:
            raise Denied(admission.UNIFORM, "not_listed")
        elif passage.rpc is None or Admits.INVITED not in passage.rpc.admits:
            raise Denied(admission.UNIFORM, "invitation_route")
        passage.is_invited = invited

    async def stranger_limit(self, passage: Passage) -> None:
        """5: whoever is not proven yet may make us work at a bounded rate, by leaf and by source."""
        leaf = there(passage.leaf)
        if self._leaves.is_verified(leaf, self._anchors(passage), self._now()):
            return
        limits, now = passage.view.stranger_limits, time.monotonic()
        for key in (leaf.fingerprint, passage.source):
            if self._strangers.take(key, limits, now) > 0:
                raise Denied(admission.UNIFORM, "stranger_limit")

    async def certificate(self, passage: Passage) -> None:
        """6: the leaf is as it shall be, chains to the anchors of this very origin, and counts still."""
        leaf, now = there(passage.leaf), self._now()
        try:
            check_profile(leaf, now=now)
        except Denied as denied:
            self._note_no_names(passage, denied.reason, now)
            raise
        passage.identity = identity = identity_of(leaf)
        self._check_chain(passage, now)
        if passage.is_invited:
            if leaf.fingerprint in passage.view.own_revoked:
                raise Denied(admission.UNIFORM, "leaf_revoked")
            return
        known = there(passage.known)
        check_trust_domain(identity, known.domain)
        admission.check_revoked(known, leaf, identity.instance)
        if known.trust is Trust.PINNED:
            # The authority is this remote's alone, so whoever holds a leaf of it is of the remote.
            passage.bound = known.domain

    async def discovery(self, passage: Passage) -> None:
        """7: DNS names, for the origin, an infra domain that the leaf proves and the entry pins."""
        if passage.is_invited:
            return
        known = there(passage.known)
        try:
            found = (await self._discovery.targets(known.domain, passage.view)).names
        except Denied as denied:
            if denied.code != "discovery_no_service":
                raise
            found = frozenset()
        if known.infra_domains and found and not found <= known.infra_domains:
            evidence = {"discovered": sorted(found)[:8], "pinned": sorted(known.infra_domains)[:8]}
            self._parts.rows.suspect("infra_domain_changed", known.domain, evidence)
        passage.infra_domain = admission.check_infra_domain(known, found, there(passage.leaf))
        passage.bound = known.domain

    async def standing(self, passage: Passage) -> None:
        """8: the list again, on the same snapshot: what state and instance allow, now that the caller is proven."""
        if passage.is_invited:
            return
        known, identity = there(passage.known), there(passage.identity)
        admits = passage.rpc.admits if passage.rpc is not None else ACTIVE_ONLY
        states = {STATES[each] for each in admits if each in STATES}
        admission.check_standing(known, identity.instance, states)
        for listener in self._parts.on_contact:
            listener(known.domain)

    async def quota(self, passage: Passage) -> None:
        """9: the proven remote has not used up what it may."""
        key: tuple[object, ...]
        if passage.is_invited:
            key, limits = ("invitation", there(passage.identity).invitation), passage.view.stranger_limits
        else:
            known = there(passage.known)
            key, limits = (known.domain, known.generation), known.limits
        quota = self._quotas.of(key, limits)
        changes = passage.rpc is not None and passage.rpc.changes
        # Whatever else a remote does, how both sides stand is told.
        is_vital = passage.component in admission.BETWEEN_BACKENDS
        quota.enter(time.monotonic(), changes=changes, is_vital=is_vital)
        passage.inside.callback(quota.leave)
        if not self._parts.rows.has_room:
            raise Overloaded("no room for an audit row")

    def refused(self, passage: Passage, code: str) -> None:
        """Count a refusal to the proven remote; an operator hears of one that is refused again and again."""
        known, identity = passage.known, passage.identity
        if passage.bound is None or known is None:
            return
        quota = self._quotas.of((known.domain, known.generation), known.limits)
        if codes := quota.refused(code, time.monotonic()):
            instance = None if identity is None else str(identity.instance)
            evidence = {"refused": codes, "last_call": f"{passage.component}/{passage.name}", "instance": instance}
            self._parts.rows.suspect(REMOTE_MISBEHAVES, known.domain, evidence)

    async def call(self, passage: Passage) -> None:
        """10: version and route, and a body of JSON."""
        version = admission.version_of(passage.headers.get(wire.API_VERSION), passage.view.versions)
        if passage.rpc is None or version not in passage.rpc.versions:
            raise grammar.no_route("unknown")
        grammar.check_body(passage.headers)
        passage.version = version
        passage.body = await passage.arrival.body()

    async def signature(self, passage: Passage) -> None:
        """11: a mutation is signed by the origin, over this body, a moment ago, and comes once."""
        rpc, headers = there(passage.rpc), passage.headers
        if not rpc.changes:
            return
        key = headers.get(wire.IDEMPOTENCY_KEY, "")
        if not grammar.VISIBLE.fullmatch(key):
            raise Denied(
                "idempotency_key_required", detail="a mutation carries Idempotency-Key: 1 to 128 visible characters"
            )
        self._check_clock()
        message = Message(
            method=passage.arrival.method,
            path=passage.arrival.target.decode("ascii"),
            origin=there(passage.origin),
            api_version=headers[wire.API_VERSION],
            idempotency_key=key,
            body=passage.body,
        )
        known = there(passage.known)
        verified = verify(message, Fields.of(headers), known.message_keys, now=self._now())
        try:
            await self._parts.nonces.claim(Nonce(known.domain, verified.nonce, verified.expires_at.timestamp()))
        except AlreadySeen:
            raise Denied("replay_detected", detail="this signed message was seen before: sign it anew") from None
        except ServerUnavailable as error:
            members = {"retry_after": RETRY_SECONDS}
            raise Denied("overloaded", "nonces_unavailable", CANNOT_DECIDE, members) from error
        passage.key_id = verified.key_id

    async def sealed(self, passage: Passage) -> None:
        """12: what has been proven, for the component."""
        known, leaf, identity = passage.known, there(passage.leaf), there(passage.identity)
        headers, now = passage.headers, since_start()
        passage.context = Context(
            aud=passage.component,
            method="POST",
            path=f"/federation/{passage.name}",
            body=sha256(passage.body).hexdigest(),
            remote=known.domain if known is not None else "",
            generation=known.generation if known is not None else 0,
            origin=there(passage.origin),
            infra_domain=passage.infra_domain or "",
            instance=str(identity.instance) if identity.instance is not None else "",
            leaf=leaf.fingerprint.hex(),
            network=passage.network,
            source=passage.source,
            assurance="tcp" if passage.network == ingress.WAN else "cryptokey",
            listener=headers.get(ingress.LISTENER, ""),
            request_id=passage.request_id,
            api_version=passage.version,
            bundle_sequence=known.bundle_sequence if known is not None else 0,
            snapshot=passage.view.generation,
            iat=now,
            exp=now + LIFE,
            jti=uuid4().hex,
            invitation=str(identity.invitation) if passage.is_invited else "",
            state=known.state if known is not None else "",
            key_id=passage.key_id,
            trusted_headers=grammar.escaped(headers.get(ingress.PRESENTED)),
            caller_request_id=grammar.escaped(headers.get(ingress.CALLER_REQUEST_ID)),
        )

    def _anchors(self, passage: Passage) -> tuple[bytes, ...]:
        return passage.view.own_authorities if passage.is_invited else there(passage.known).authorities

    def _check_chain(self, passage: Passage, now: datetime) -> None:
        leaf = there(passage.leaf)
        reason = self._leaves.verify(passage.der, leaf, self._anchors(passage), now)
        if not reason:
            return
        origin = there(passage.origin)
        other = self._leaves.owner(passage.der, leaf, passage.view, origin, now)
        if other is None:
            raise Denied(admission.UNIFORM, f"chain.{reason}")
        evidence = {"claimed": origin, "leaf": leaf.fingerprint.hex(), "names": list(leaf.dns_names[:8])}
        self._parts.rows.suspect("foreign_authority", other, evidence)
        raise Denied(admission.UNIFORM, "chain.other_remote", facts={"authority_of": other})

    def _note_no_names(self, passage: Passage, reason: str, now: datetime) -> None:
        """A finding of the remote whose own authority issues leaves that do not say whose they are."""
        known, leaf = passage.known, there(passage.leaf)
        if reason not in NAMELESS or known is None or known.trust is not Trust.PINNED:
            return
        if not self._leaves.verify(passage.der, leaf, known.authorities, now):
            evidence = {"rule": reason, "leaf": leaf.fingerprint.hex(), "serial": f"{leaf.serial:x}"}
            self._parts.rows.suspect(INSTANCE_WITHOUT_SAN, known.domain, evidence)

    def _check_clock(self) -> None:
        """What depends on the time of a signature waits until it is known what time it is."""
        jump = self._parts.clock.jump
        if jump:
            detail = f"the clock here was set {abs(jump):.0f} s {'ahead' if jump > 0 else 'back'} and is not believed"
            now = self._now().isoformat(timespec="seconds")
            raise Denied(
                "clock_untrusted", "clock.jump", detail, {"retry_after": CLOCK_RETRY_SECONDS, "server_time": now}
            )

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._parts.clock.now(), UTC)


def _id_of(text: str) -> str | None:
    try:
        return str(UUID(text))
    except ValueError:
        return None


CHECKS: tuple[tuple[str, Callable[[Inbound, Passage], Awaitable[None]]], ...] = (
    ("caller", Inbound.caller),
    ("snapshot", Inbound.snapshot),
    ("grammar", Inbound.grammar),
    ("arrival", Inbound.arrived),
    ("origin", Inbound.origin_grammar),
    ("gate", Inbound.gate),
    ("stranger_limit", Inbound.stranger_limit),
    ("certificate", Inbound.certificate),
    ("discovery", Inbound.discovery),
    ("standing", Inbound.standing),
    ("quota", Inbound.quota),
    ("call", Inbound.call),
    ("signature", Inbound.signature),
    ("context", Inbound.sealed),
)
"""The order of the checks; after them the request goes to its component."""
