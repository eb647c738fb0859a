"""Why a federation does not work: every link of the chain to one remote looked at, each with what mends it."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal, Protocol
from uuid import uuid4

import msgspec

from isthmus.domain.addresses import IPAddress
from isthmus.domain.federation.certificate import CLIENT_AUTH, SERVER_AUTH
from isthmus.domain.federation.denial import Denied
from isthmus.domain.federation.discovery import Target, ordered
from isthmus.domain.federation.names import BackendDomain
from isthmus.domain.federation.remote import Direction, State
from isthmus.domain.federation.sending import common_version
from isthmus.domain.federation.targets import AddressPolicy
from isthmus.domain.federation.view import Bridged, Known, View
from isthmus.federator.calling import Call, CallFailed, Reply, Way
from isthmus.federator.discovery import Discovery
from isthmus.federator.judging import RemoteSaidNo
from isthmus.federator.outbound import Outbound
from isthmus.federator.ports import Clock, Pairs, Snapshots
from isthmus.protocol.federation import API_VERSIONS
from isthmus.protocol.federator import Examination, Finding
from isthmus.protocol.heartbeat import CalledBack, Versions
from isthmus.x509.chain import ChainBroken, check_chain
from isthmus.x509.leaf import read_leaf

MOST_SKEW = 30.0
LOOK_SECONDS = 3.0
CALL_SECONDS = 8.0
MOST_DEPTH = 3
SHOWN = 4
USAGES = {CLIENT_AUTH: "clientAuth", SERVER_AUTH: "serverAuth"}
MARGIN_SECONDS = 3600.0
BEGIN = b"-----BEGIN CERTIFICATE-----"

Side = Literal["", "ours", "theirs", "both", "dns"]


@dataclass(frozen=True, slots=True)
class Shown:
    """What a server shows to whoever connects: `reached` false when it took no TCP, `certificate` is DER and empty when
    it did no TLS. `fault` says what went wrong."""

    reached: bool
    certificate: bytes = b""
    fault: str = ""


class Looker(Protocol):
    async def look(self, way: Way) -> Shown:
        """Connect, ask for TLS, look at the certificate, say nothing, close. It decides nothing by what it sees."""


@dataclass
class _Chart:
    """The findings about one remote, as they come."""

    view: View
    known: Known
    findings: list[Finding] = field(default_factory=list)

    def good(self, step: str, observed: str) -> None:
        self.findings.append(Finding(step, ok=True, observed=observed[:300]))

    def bad(self, step: str, observed: str, expected: str, mend: str, side: Side) -> None:
        self.findings.append(Finding(step, False, observed[:300], expected[:300], mend[:500], side))

    @property
    def record(self) -> str:
        """The SRV record that the remote is to publish."""
        host = min(self.known.infra_domains, default="infra." + self.known.domain)
        port = min(self.view.ports, default=443)
        return f"_{self.view.service}._tcp.{self.known.domain}. 300 IN SRV 10 10 {port} {host}."


@dataclass(frozen=True, slots=True)
class Eyes:
    """What the doctor looks with."""

    snapshots: Snapshots
    pairs: Pairs
    discovery: Discovery
    addresses: AddressPolicy
    looker: Looker
    clock: Clock


class Doctor:
    """Looks at everything along the way that a call takes; then makes a call, and asks for one back."""

    def __init__(self, eyes: Eyes, outbound: Outbound) -> None:
        self._eyes, self._outbound = eyes, outbound

    async def examine(self, domain: BackendDomain, seconds: float) -> Examination:
        """Every link in order. Raises `Denied` when the Federator knows nothing itself."""
        view = self._eyes.snapshots.current
        if view is None:
            raise Denied("upstream_unavailable", "no_snapshot", "the server of this backend does not answer")
        known = view.find(domain)
        if known is None:
            return Examination(domain, [_unlisted(view, domain)])
        chart = _Chart(view, known)
        try:
            async with asyncio.timeout(seconds):
                await self._look(chart)
        except TimeoutError:
            chart.bad("time", f"not done after {seconds:g} s", "", "look again", "")
        return Examination(domain, chart.findings)

    async def _look(self, chart: _Chart) -> None:
        self._standing(chart)
        self._own_leaf(chart)
        targets = await self._targets(chart)
        for target in targets[:SHOWN]:
            for address in (await self._reachable(chart, target))[:SHOWN]:
                await self._server(chart, target, address)
        for bridge in chart.known.bridges[:SHOWN] if targets else ():
            await self._inside(chart, targets[0], bridge)
        # What was held back because of earlier failures is what somebody asks about now.
        self._outbound.heard_of(chart.known.domain)
        if await self._call(chart):
            await self._call_back(chart)

    def _standing(self, chart: _Chart) -> None:
        known = chart.known
        agreed = f"{known.state}, direction {known.direction}"
        if known.is_expired(self._eyes.clock.now()):
            chart.bad("list", "the entry has expired", "a later date", f"isthmus remote set {known.domain}", "ours")
        elif known.state is State.PENDING:
            mend = f"isthmus remote confirm {known.domain} on both sides, once the short codes are equal"
            chart.bad("list", agreed, "active", mend, "ours")
        elif known.state is not State.ACTIVE:
            verb = "resume" if known.state is State.SUSPENDED else "invite"
            chart.bad("list", agreed, "active", f"isthmus remote {verb} {known.domain}", "ours")
        elif not known.direction.has(Direction.OUT):
            chart.bad("list", agreed, "direction out or both", "agree on calls in this direction", "ours")
        else:
            chart.good("list", agreed)

    def _own_leaf(self, chart: _Chart) -> None:
        pair, now = self._eyes.pairs.current, self._eyes.clock.now()
        ends = pair.leaf.not_after.timestamp()
        observed = f"for {', '.join(pair.leaf.dns_names)}, until {pair.leaf.not_after:%Y-%m-%d %H:%M:%S} UTC"
        mend = "isthmus certificate renew"
        depth = pair.chain.count(BEGIN)
        if now > ends:
            chart.bad("own certificate", observed, "one that is valid now", mend, "ours")
        elif pair.fingerprint in chart.view.own_revoked:
            chart.bad("own certificate", "it is revoked", "one that is not", mend, "ours")
        elif not set(pair.leaf.dns_names) & set(chart.view.infra_domains):
            chart.bad("own certificate", observed, f"for {', '.join(chart.view.infra_domains)}", mend, "ours")
        elif depth > MOST_DEPTH:
            expected = f"at most {MOST_DEPTH}"
            chart.bad(
                "depth", f"our chain has {depth} certificates", expected, "issue leaves with a shorter chain", "ours"
            )
        else:
            chart.good("own certificate", observed)

    async def _targets(self, chart: _Chart) -> list[Target]:
        view, known = chart.view, chart.known
        self._eyes.discovery.expire(known.domain, view.service)
        try:
            found = await self._eyes.discovery.services(known.domain, view.service, view.ports, pinned=False)
        except Denied as denied:
            side: Side = "dns" if denied.code == "discovery_unavailable" else "theirs"
            look = "see that the resolver of this machine answers" if side == "dns" else "publish it in their zone"
            chart.bad("srv", denied.detail, chart.record, look, side)
            return []
        targets = ordered(found.records, lambda low, high: high)
        named = ", ".join(map(str, targets[:SHOWN]))
        if known.needs_dnssec and not found.authenticated:
            mend = "sign their zone, and ask a validating resolver on this machine"
            chart.bad("srv", f"{named}, not authenticated", "an answer with AD set", mend, "dns")
        else:
            chart.good("srv", named)
        return self._pinned(chart, targets)

    def _pinned(self, chart: _Chart, targets: list[Target]) -> list[Target]:
        pins = chart.known.infra_domains
        left = [target for target in targets if not pins or target.host in pins]
        if pins and not left:
            mend = "mend their SRV record; if they have moved there, approve the new infra domain on this side"
            named = ", ".join(sorted({str(target.host) for target in targets})[:SHOWN])
            chart.bad("pins", named, ", ".join(sorted(pins)[:SHOWN]), mend, "theirs")
        elif pins:
            chart.good("pins", ", ".join(sorted({target.host for target in left})[:SHOWN]))
        return left

    async def _reachable(self, chart: _Chart, target: Target) -> list[IPAddress]:
        self._eyes.discovery.expire_host(target.host)
        try:
            answer = await self._eyes.discovery.addresses(target.host, pinned=False)
        except Denied as denied:
            side: Side = "dns" if denied.code == "discovery_unavailable" else "theirs"
            expected = f"an A or AAAA record of {target.host}"
            chart.bad("addresses", denied.detail, expected, f"publish the address of {target.host}", side)
            return []
        good = []
        for address in answer.items:
            try:
                self._eyes.addresses.check(address, chart.view.ground(chart.known))
                good.append(address)
            except Denied as denied:
                mend = "mend their A or AAAA record, or allow the range: allowed_private of the Federator"
                chart.bad("addresses", denied.detail, "a public address", mend, "theirs")
        if good:
            chart.good("addresses", f"{target.host} is {', '.join(map(str, good[:SHOWN]))}")
        return good

    async def _server(self, chart: _Chart, target: Target, address: IPAddress) -> None:
        where = f"{address} port {target.port}"
        shown = await self._shown(Way(target, address))
        if not shown.reached:
            mend = f"start their ingress; let TCP to {where} through the firewalls between"
            chart.bad("tcp", shown.fault, "a connection", mend, "theirs")
            return
        chart.good("tcp", where)
        if not shown.certificate:
            chart.bad("tls", shown.fault, "TLS 1.3", "see that their ingress listens there", "theirs")
            return
        chart.good("tls", f"TLS 1.3 with {where}")
        self._certificate(chart, target, shown.certificate)

    async def _shown(self, way: Way) -> Shown:
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                return await self._eyes.looker.look(way)
        except TimeoutError:
            fault = f"no answer from {way.address} port {way.target.port} within {LOOK_SECONDS:g} s"
            return Shown(reached=False, fault=fault)

    async def _inside(self, chart: _Chart, target: Target, bridge: Bridged) -> None:
        """Whether the remote's ingress answers over a bridge, where calls go first."""
        step, where = "overlay", f"{bridge.vip} port {bridge.port} over network {bridge.network}"
        expected = f"the ingress of {chart.known.domain} inside the network"
        if bridge.vip is None:
            mend = "on their side: isthmus network ingress NETWORK --peer NAME; until then calls go outside"
            chart.bad(step, f"none over network {bridge.network}", expected, mend, "theirs")
            return
        if not bridge.has(bridge.vip):
            mend = "accept a prefix that holds it, or have them move their ingress; until then calls go outside"
            chart.bad(step, f"{where} is in no accepted prefix", expected, mend, "both")
            return
        shown = await self._shown(Way(Target(target.host, bridge.port), bridge.vip, bridge=bridge))
        if shown.certificate:
            chart.good(step, f"TLS 1.3 with {where}")
        else:
            mend = "see isthmus bridge status here, isthmus ingress status there; until then calls go outside"
            chart.bad(step, shown.fault, expected, mend, "both")

    def _certificate(self, chart: _Chart, target: Target, certificate: bytes) -> None:
        now = datetime.fromtimestamp(self._eyes.clock.now(), UTC)
        try:
            leaf = read_leaf(certificate)
        except ValueError as error:
            chart.bad("chain", str(error), "a certificate", "give their ingress a leaf of their CA", "theirs")
            return
        try:
            check_chain(certificate, chart.known.authorities, now, SERVER_AUTH)
            chart.good("chain", "issued by the remote's own authority")
        except ChainBroken as broken:
            ends = f"{leaf.not_before:%Y-%m-%d %H:%M} to {leaf.not_after:%Y-%m-%d %H:%M} UTC"
            if not leaf.not_before <= now <= leaf.not_after:
                mend = "renew it: isthmus certificate renew; see that the clocks are right"
                chart.bad("chain", f"valid {ends}", f"valid at {now:%Y-%m-%d %H:%M} UTC", mend, "theirs")
            else:
                mend = (
                    "their ingress must use a leaf of the CA in their bundle; if the CA is new, its bundle must arrive"
                )
                chart.bad("chain", str(broken), "issued by an authority of this remote", mend, "theirs")
        usages = leaf.usages or frozenset()
        if SERVER_AUTH in usages:
            chart.good("usage", "serverAuth")
        else:
            observed = ", ".join(sorted(USAGES.get(each, each) for each in usages)) or "no extended key usage"
            chart.bad("usage", observed, "serverAuth", "renew the leaf of their ingress", "theirs")
        named = ", ".join(leaf.dns_names[:SHOWN]) or "no DNS name"
        if target.host in leaf.dns_names:
            chart.good("name", named)
        else:
            chart.bad("name", named, target.host, "renew the leaf of their ingress for this infra domain", "theirs")

    async def _call(self, chart: _Chart) -> bool:
        """A call that changes nothing: whether they take us, what they speak, what time they have."""
        reply = await self._made(chart, "get-versions")
        if reply is None:
            return False
        self._clock(chart, reply)
        try:
            listed = msgspec.json.decode(reply.body, type=Versions).versions
            chart.good("version", str(common_version(chart.view.versions or API_VERSIONS, listed)))
        except Denied as denied:
            ours, theirs = sorted(chart.view.versions or API_VERSIONS), denied.members["supported"]
            older: Side = "ours" if max(ours) < max(theirs) else "theirs"
            chart.bad("version", f"they speak {theirs}", f"one of {ours}", denied.detail, older)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            chart.bad(
                "version", "a list that cannot be read", "a list of numbers", "bring the older side up to date", ""
            )
        return True

    async def _made(self, chart: _Chart, rpc: str) -> Reply | None:
        call = Call(chart.known.domain, "heartbeat", rpc, b"{}", str(uuid4()), CALL_SECONDS)
        try:
            reply = await self._outbound.call(call)
        except (Denied, CallFailed) as failure:
            self._failed(chart, rpc, failure)
            return None
        chart.good("call", f"heartbeat/{rpc} was answered")
        return reply

    def _failed(self, chart: _Chart, rpc: str, failure: Denied | CallFailed) -> None:
        if not isinstance(failure, RemoteSaidNo):
            side: Side = "ours" if isinstance(failure, Denied) else "theirs"
            chart.bad("call", f"{failure.code}: {failure.detail}", "an answer", "mend the links above first", side)
            return
        nested = failure.told.nested
        observed = f"they answered {nested.status} {nested.code}".rstrip()
        mend = _MENDS.get(nested.code, "their log has the reason under this request id")
        mend += f"; request id there: {nested.request_id}" if nested.request_id else ""
        chart.bad("call", observed, f"heartbeat/{rpc} answered", mend, "theirs")

    def _clock(self, chart: _Chart, reply: Reply) -> None:
        try:
            theirs = parsedate_to_datetime(reply.headers.get("date", "")).timestamp()
        except ValueError:
            return
        apart = theirs - self._eyes.clock.now()
        observed = f"their clock is {abs(apart):.0f} s {'ahead' if apart > 0 else 'behind'}"
        if abs(apart) <= MOST_SKEW:
            chart.good("clock", observed)
        else:
            chart.bad("clock", observed, f"at most {MOST_SKEW:g} s apart", "set the clocks by NTP", "both")

    async def _call_back(self, chart: _Chart) -> None:
        if chart.known.state is not State.ACTIVE:
            return
        reply = await self._made(chart, "call-back")
        if reply is None:
            return
        try:
            told = msgspec.json.decode(reply.body, type=CalledBack)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            chart.bad("call back", "an answer that cannot be read", "", "bring the older side up to date", "")
            return
        if told.ok:
            chart.good("call back", "the remote reached us")
        else:
            observed = f"{told.code}: {told.detail}"
            mend = f"on their side: isthmus remote doctor {chart.view.domain}"
            chart.bad("call back", observed, "a call from them", mend, "ours")


_MENDS = {
    "client_certificate_rejected": "their ingress does not know our CA yet: see there that our bundle has arrived",
    "client_certificate_required": "our certificate did not get there: see our own certificate above",
    "federation_denied": "our entry on their side (state, pins, CA) does not fit us; their audit log has the reason",
    "infra_domain_mismatch": "our own SRV record must name the infra domain in our certificate",
    "remote_suspended": "their operator has suspended us",
    "remote_revoked": "their operator has revoked us",
    "clock_skew": "set the clocks by NTP on both sides",
}


def _unlisted(view: View, domain: BackendDomain) -> Finding:
    observed = f"no entry (strategy {view.strategy})"
    return Finding("list", False, observed, "an active remote", f"isthmus remote invite {domain}", "ours")
