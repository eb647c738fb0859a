"""Calls of our own components to remotes: one ordered table of steps, one place where a failure gets its code."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from isthmus.domain.federation.admission import BETWEEN_BACKENDS
from isthmus.domain.federation.denial import Denied
from isthmus.domain.federation.discovery import Target, among
from isthmus.domain.federation.names import BackendDomain
from isthmus.domain.federation.sending import recipient
from isthmus.domain.federation.targets import AddressPolicy
from isthmus.domain.federation.view import Known, View
from isthmus.federator.calling import Call, CallFailed, Carrier, Identity, Reply, Signer, Unsigned, Way
from isthmus.federator.discovery import Discovery, Services
from isthmus.federator.identities import Identities
from isthmus.federator.judging import RemoteSaidNo, is_shut, judged
from isthmus.federator.patience import Crowd, Patience
from isthmus.federator.ports import Clock, Rows, Snapshots
from isthmus.federator.versions import Capabilities, asks_for_version
from isthmus.federator.ways import Ways
from isthmus.protocol.federation import (
    API_VERSION,
    AUTHORIZATION,
    IDEMPOTENCY_KEY,
    ORIGIN,
    REQUEST_ID,
    RPCS,
    Rpc,
)

log = structlog.get_logger()

NOT_FOUND = 404
INSIDE_SECONDS = 1.0
"""What it may take to be reached over a bridge: there is another way."""
TELLING_SECONDS = 0.3
"""The same for words of a bridge itself: most are said while the other side holds it shut, which drops packets."""
ABOUT_BRIDGES = BETWEEN_BACKENDS | {"bridges", "grants"}
"""Components that are told how bridges stand, and so are called from outside where one is shut."""
SHARE_SECONDS = 2.5
"""What a target may take to be reached while another one is left."""


@dataclass
class Course:
    """One call on its way through the steps. `stage` says how far it came when a deadline passes; `asking`
    is the question that this call asks first. `facts` go to the audit row of a failure."""

    call: Call
    rpc: Rpc
    view: View
    known: Known
    deadline: float
    services: Services = field(default_factory=lambda: Services((), authenticated=False))
    targets: list[Target] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    stage: str = "list"
    sent: bool = False
    facts: dict[str, object] = field(default_factory=dict)
    asking: "Course | None" = None


@dataclass(frozen=True, slots=True)
class Parts:
    """What the outward side is made of."""

    snapshots: Snapshots
    identities: Identities
    discovery: Discovery
    carrier: Carrier
    signer: Signer
    clock: Clock
    addresses: AddressPolicy
    rows: Rows


class Outbound:
    """Takes calls through the steps. Nothing is told of failures here, so that whoever asked tells each one once."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.ways = Ways(parts.discovery, parts.addresses)
        self.patience = Patience()
        self._crowd = Crowd()
        self._capabilities = Capabilities(parts.rows)
        # In this order, one look at the snapshot for all of them.
        self._steps: tuple[tuple[str, Callable[[Course], Awaitable[None]]], ...] = (
            ("backoff", self._leave_alone),
            ("discovery", self._discover),
            ("pins", self._narrow),
            ("version", self._agree),
            ("headers", self._write),
        )

    async def call(self, call: Call) -> Reply:
        """The remote's answer, judged. Raises `Denied` and `CallFailed`."""
        view = self._view()
        known = recipient(view, call.domain, call.component, call.rpc, self._parts.clock.now())
        deadline = asyncio.get_running_loop().time() + call.seconds
        course = Course(call, RPCS[call.component, call.rpc], view, known, deadline)
        try:
            async with asyncio.timeout_at(deadline), self._crowd.room(call.domain):
                for stage, step in self._steps:
                    course.stage = stage
                    await step(course)
                course.stage = "connection"
                reply = judged(await self._carry(course))
        except TimeoutError:
            raise self._held(course, self._late(course)) from None
        except (Denied, CallFailed) as failure:
            if isinstance(failure, RemoteSaidNo):
                self._note_refusal(course, failure.told.nested.code)
            raise self._held(course, failure) from None
        self.patience.answered(call.domain)
        return reply

    def _held(self, course: Course, failure: Denied | CallFailed) -> Denied | CallFailed:
        """The failure, its remote remembered for it, with what is known of the way that the call took."""
        if isinstance(failure, CallFailed):
            self.patience.failed(course.call.domain, failure)
        failure.facts = {**course.facts, **failure.facts}
        return failure

    def _view(self) -> View:
        view = self._parts.snapshots.current
        if view is None:
            detail = "the Federator knows no remotes while the server does not answer"
            raise Denied("upstream_unavailable", "no_snapshot", detail, members={"retry_after": 1})
        return view

    async def _leave_alone(self, course: Course) -> None:
        self.patience.admit(course.call.domain)

    async def _discover(self, course: Course) -> None:
        view, known = course.view, course.known
        course.services = await self._parts.discovery.services(
            known.domain, view.service, view.ports, pinned=bool(known.infra_domains)
        )
        if known.needs_dnssec and not course.services.authenticated:
            detail = (
                f"the remote's entry asks for DNSSEC, and no resolver vouches for the SRV records of {known.domain}"
            )
            raise Denied("target_denied", "discovery.not_authenticated", detail)

    async def _narrow(self, course: Course) -> None:
        targets = self.ways.plan(course.services)
        course.targets = among(targets, course.known.infra_domains) if course.known.infra_domains else targets

    async def _agree(self, course: Course) -> None:
        ours = versions_of(course.rpc, course.view)
        version = min(ours)
        if asks_for_version(course.rpc):
            what = f"{course.call.component}/{course.call.rpc}"
            version = await self._capabilities.version(course.known, what, ours, lambda: self._ask_versions(course))
        course.headers[API_VERSION] = str(version)

    async def _ask_versions(self, course: Course) -> Reply:
        rpc = RPCS["heartbeat", "get-versions"]
        call = Call(course.call.domain, "heartbeat", "get-versions", b"{}", course.call.request_id, course.call.seconds)
        asking = Course(call, rpc, course.view, course.known, course.deadline, facts=course.facts)
        asking.targets, course.asking = list(course.targets), asking
        asking.headers[API_VERSION] = str(min(rpc.versions))
        await self._write(asking)
        asking.stage = "connection"
        try:
            return judged(await self._carry(asking))
        except RemoteSaidNo as no:
            if no.told.nested.status == NOT_FOUND:
                # It is older than the question.
                return Reply(200, {}, b'{"versions":[]}')
            raise

    async def _write(self, course: Course) -> None:
        """Our own headers, whatever the component sent."""
        call = course.call
        headers = course.headers
        headers |= {
            ORIGIN: course.view.domain,
            REQUEST_ID: call.request_id,
            "Content-Type": "application/json",
            "Accept": "application/json, application/problem+json",
        }
        if call.authorization:
            headers[AUTHORIZATION] = call.authorization
        if course.rpc.changes:
            headers[IDEMPOTENCY_KEY] = call.idempotency_key
            try:
                headers |= self._parts.signer.sign(call.path, headers, call.body)
            except Unsigned as error:
                raise Denied("upstream_unavailable", "no_message_key", str(error)) from None

    async def _carry(self, course: Course) -> Reply:
        """Over a bridge where there is one, else from outside: the targets in order, each of their addresses in turn,
        until one takes the request."""
        identity = self._parts.identities.of(course.view, course.known)
        reply = await self._carry_inside(course, identity)
        return reply or await self._carry_outside(course, identity)

    async def _carry_inside(self, course: Course, identity: Identity) -> Reply | None:
        """None where no bridge leads there now."""
        if not course.targets:
            return None
        share = TELLING_SECONDS if course.call.component == "bridges" else INSIDE_SECONDS
        for way in await self.ways.inside(course.view, course.known, course.targets[0]):
            try:
                reply = await self._try(course, identity, way, share)
            except CallFailed as failed:
                self.ways.dead(way.place)
                if failed.sent:
                    raise
                continue
            if course.call.component not in ABOUT_BRIDGES or not is_shut(reply):
                return reply
            # What is to be told is how the bridge stands: that has to get there while it is shut.
            self.ways.dead(way.place)
            course.sent = False
            await self._write(course)
        for name in ("target", "address", "network"):
            course.facts.pop(name, None)
        return None

    async def _carry_outside(self, course: Course, identity: Identity) -> Reply:
        failure: Denied | CallFailed | None = None
        for position, target in enumerate(course.targets):
            try:
                ways = await self.ways.outside(course.view, course.known, target)
            except Denied as denied:
                failure = failure or denied
                continue
            for number, way in enumerate(ways):
                is_last = position == len(course.targets) - 1 and number == len(ways) - 1
                try:
                    return await self._try(course, identity, way, None if is_last else SHARE_SECONDS)
                except CallFailed as failed:
                    failure = failed
                    if failed.sent:
                        raise
            self.ways.dead((target, None))
        raise failure or Denied("discovery_no_service", "discovery.empty", "DNS lists no service")

    async def _try(self, course: Course, identity: Identity, way: Way, share: float | None) -> Reply:
        """`share` is what it may take to be reached in seconds; None all that is left."""
        course.facts |= {"target": str(way.target), "address": str(way.address)}
        if way.bridge is not None:
            course.facts["network"] = way.bridge.network
        try:
            return await self._over(course, identity, way, share, fresh=False)
        except CallFailed as failed:
            # The remote closed a connection that rested just as it was used: a call that changes nothing may be
            # made again.
            if not failed.reused or failed.heard or course.rpc.changes or failed.code != "remote_protocol_error":
                raise
        return await self._over(course, identity, way, share, fresh=True)

    async def _over(self, course: Course, identity: Identity, way: Way, share: float | None, *, fresh: bool) -> Reply:
        call = course.call
        left = course.deadline - asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(None if share is None else min(share, left / 2)):
                channel = await self._parts.carrier.reach(identity, way, fresh=fresh)
        except TimeoutError:
            detail = f"{way.target} at {way.address} does not answer"
            raise CallFailed("remote_timeout", "connect.timeout", detail) from None
        course.stage, course.sent = "answer", True
        return await channel.exchange(call.path, course.headers, call.body)

    def _late(self, course: Course) -> Denied | CallFailed:
        call = course.call
        if course.stage == "discovery":
            detail = f"DNS gave no answer for {call.domain} within {call.seconds:g} s"
            return Denied("discovery_unavailable", "discovery.timeout", detail, members={"retry_after": 5})
        if course.stage == "list":
            return Denied("overloaded", "no_room", "too many calls are under way", members={"retry_after": 1})
        detail = f"the remote did not answer within {call.seconds:g} s"
        stage = course.asking.stage if course.stage == "version" and course.asking else course.stage
        return CallFailed("remote_timeout", f"{stage}.timeout", detail, sent=course.sent)

    def _note_refusal(self, course: Course, code: str) -> None:
        call, version = course.call, int(course.headers.get(API_VERSION, "0"))
        self._capabilities.refused(call.domain, f"{call.component}/{call.rpc}", version, code)

    def heard_of(self, domain: BackendDomain) -> None:
        """The remote has made an admitted call to us: it is there, so nothing is held back any longer."""
        self.patience.forget(domain)


def versions_of(rpc: Rpc, view: View) -> list[int]:
    """The versions in which our components make this call."""
    return sorted(set(rpc.versions) & set(view.versions)) or list(rpc.versions)
