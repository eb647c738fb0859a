"""The control socket, on both databases: waiting for what holds, and reporting what was seen."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import msgspec
import pytest

from isthmus.domain.federation.names import BackendDomain, InstanceId
from isthmus.domain.federation.remote import Revocation, State
from isthmus.protocol.federator import MOST_ROWS, Cleared, Nonce, Report, Row, Sighting, Snapshot, Suspicion
from isthmus.protocol.ingress import IngressFacts
from isthmus.server.adapters.clock import SystemClock, TimeOrderedIds
from isthmus.server.adapters.control.plane import MOST_BODY, ControlPlane
from isthmus.server.adapters.listeners import Listener, Watch, bind_unix, serve
from isthmus.server.adapters.vault import FileVault
from isthmus.server.application.federation_changes import FederationChanges
from isthmus.server.application.federator_reports import ReportService
from isthmus.server.application.snapshots import MOST_WAITING, SnapshotService
from isthmus.server.application.tally import Tally
from isthmus.server.federation_ports import OwnTrust
from isthmus.server.federation_records import Acceptance, Lane, RemoteInstance
from isthmus.server.ports import Store
from isthmus.x509.authority import make_authority
from tests.builders import NOON
from tests.contract.test_federation import FACTS, FULL, B, C, a_message, a_remote

CA = make_authority("a.example", NOON, timedelta(days=3650)).certificates[0]
THEIR_CA = make_authority("b.example", NOON, timedelta(days=3650)).certificates[0]
RECENT_CA = make_authority("e.example", NOON, timedelta(days=3650)).certificates[0]
ROOT = make_authority("root.example", NOON, timedelta(days=3650)).certificates[0]
GOOD = replace(FACTS, shared_roots=(ROOT,))
SOON = 0.5
"""Seconds: ten times what a change takes on a machine that has nothing else to do."""


class Certificates:
    """What proves this backend; tests change it."""

    def __init__(self) -> None:
        self.present = OwnTrust((CA,), 3, (b"\x01" * 32,))
        self.asked = 0

    async def trust(self) -> OwnTrust:
        self.asked += 1
        return self.present


@dataclass
class Control:
    store: Store
    path: Path
    certificates: Certificates
    changes: FederationChanges
    snapshots: SnapshotService
    reports: ReportService
    vault: FileVault

    def client(self) -> httpx2.AsyncClient:
        transport = httpx2.AsyncHTTPTransport(uds=str(self.path))
        return httpx2.AsyncClient(base_url="http://control", transport=transport, timeout=20)

    async def set_up(self) -> None:
        async with self.changes.transaction() as tx:
            await tx.federation.add(GOOD)

    async def add(self, *remotes: Any) -> None:
        async with self.changes.transaction() as tx:
            for remote in remotes:
                await tx.remotes.add(remote)


@asynccontextmanager
async def serving(store: Store, folder: Path) -> AsyncIterator[Control]:
    changes, certificates = FederationChanges(store), Certificates()
    vault = FileVault(folder / "vault.key")
    snapshots = SnapshotService(store, SystemClock(), certificates, vault)
    changes.listeners.append(snapshots.changed)
    reports = ReportService(store, SystemClock(), TimeOrderedIds(), Tally())
    plane = ControlPlane(snapshots, reports)
    listener = Listener(bind_unix(folder / "control.sock"), str(folder / "control.sock"), app=plane)
    stop = asyncio.Event()
    task = asyncio.create_task(serve(plane, [listener], stop, snapshots.close, Watch(Tally(), lambda *_: None, 256)))
    try:
        yield Control(store, folder / "control.sock", certificates, changes, snapshots, reports, vault)
    finally:
        stop.set()
        await task
        listener.close()


@pytest.fixture
async def control(store: Store, tmp_path: Path) -> AsyncIterator[Control]:
    async with serving(store, tmp_path) as made:
        yield made


async def snapshot(control: Control, after: int = 0, wait: float = 0) -> Snapshot | None:
    async with control.client() as client:
        answer = await client.get("/snapshot", params={"after": after, "wait": wait})
    assert answer.status_code in (200, 204), answer.text
    return msgspec.json.decode(answer.content, type=Snapshot) if answer.status_code == 200 else None


async def ingress(control: Control, after: int = 0, wait: float = 0) -> IngressFacts | None:
    async with control.client() as client:
        answer = await client.get("/ingress", params={"after": after, "wait": wait})
    return msgspec.json.decode(answer.content, type=IngressFacts) if answer.status_code == 200 else None


async def test_before_federation_is_set_up_there_is_nothing_and_whoever_waits_gets_the_first(control: Control) -> None:
    assert await snapshot(control) is None
    assert await ingress(control) is None
    waiting = asyncio.create_task(snapshot(control, 0, 10))
    await asyncio.sleep(0.1)
    await control.set_up()
    found = await waiting
    assert found is not None
    assert (found.domain, found.strategy, found.entries) == ("a.example", "list", [])


async def test_a_snapshot_tells_everything_the_federator_decides_by(control: Control) -> None:
    await control.set_up()
    key = "-----BEGIN PRIVATE KEY-----"
    sealed = control.vault.seal(key.encode(), FULL.id)
    acceptance = Acceptance(FULL.id, "id", b"secret", "chain", sealed, NOON)
    instance = InstanceId(UUID(int=5))
    async with control.changes.transaction() as tx:
        await tx.remotes.add(replace(FULL, authorities=(THEIR_CA,)))
        await tx.remotes.put_acceptance(acceptance)
        await tx.remote_instances.save(RemoteInstance(B, instance, blocked_at=NOON))
        await tx.revocations.add(Revocation(B, NOON, "", fingerprint=b"\x02" * 32, key=b"\x03" * 32), UUID(int=1))
        await tx.revocations.add(Revocation(B, NOON, "", serial=0xABC, instance=instance), UUID(int=2))
        await tx.remotes.add(a_remote(7, C, state=State.REVOKED))
    found = await snapshot(control)
    assert found is not None
    full, revoked = found.entries
    assert (found.service, found.ports, found.versions) == ("wire-server-federator", [443, 8443], [0])
    assert (found.own_authorities, found.bundle_sequence) == ([base64.b64encode(CA).decode()], 3)
    assert found.own_revoked == [base64.b64encode(b"\x01" * 32).decode()]
    assert (full.domain, full.generation, full.state, full.direction, full.trust) == (B, 3, "pending", "in", "shared")
    assert full.authorities == [base64.b64encode(THEIR_CA).decode()]
    assert full.message_keys["k1"] == base64.b64encode(b"\x00" * 32).decode()
    assert (full.components, full.needs_dnssec, full.needs_tlsa) == (["bridges", "directory"], True, True)
    assert full.limits.requests == 0.5
    assert full.expires_at == pytest.approx(NOON.timestamp() + 0.999999)
    assert full.blocked_instances == full.revoked_instances == [str(instance)]
    assert (full.revoked_serials, full.instances) == (["abc"], [str(instance)])
    assert full.revoked_leaves == [base64.b64encode(b"\x02" * 32).decode()]
    assert full.revoked_keys == [base64.b64encode(b"\x03" * 32).decode()]
    assert full.credential is not None
    assert (full.credential.chain, full.credential.key) == ("chain", key)
    assert (revoked.domain, revoked.state, revoked.credential) == (C, "revoked", None)


async def test_the_ingress_trusts_ourselves_shared_roots_and_remotes_that_are_not_revoked(control: Control) -> None:
    await control.set_up()
    await control.add(
        a_remote(1, B, authorities=(THEIR_CA,)),
        a_remote(2, "d.example", authorities=(THEIR_CA,), state=State.SUSPENDED),
        a_remote(3, C, authorities=(ROOT[:-1],), state=State.REVOKED),
        # It was revoked a moment ago, and is told so by the Federator.
        a_remote(4, "e.example", authorities=(RECENT_CA,), state=State.REVOKED, changed_at=SystemClock().now()),
    )
    found = await ingress(control)
    assert found is not None
    assert found.infra_domains == ["infra.a.example", "infra2.a.example"]
    assert [(each.id, each.address, each.network) for each in found.listeners] == [
        ("wan", "192.0.2.1", "wan"),
        ("vip", "10.20.0.1", "network"),
    ]
    assert len(found.anchors) == 4
    assert all(each.startswith("-----BEGIN CERTIFICATE-----\n") for each in found.anchors)


async def test_a_change_wakes_whoever_waits_and_nothing_wakes_nobody(control: Control) -> None:
    await control.set_up()
    first = await snapshot(control)
    assert first is not None
    assert await snapshot(control, first.generation, 0.2) is None
    late = []
    for number in range(3):
        present = first.generation + number
        waiting = [asyncio.create_task(snapshot(control, present, 10)) for _ in range(3)]
        await asyncio.sleep(0.1)
        await control.add(a_remote(number + 1, f"r{number}.example"))
        began = time.monotonic()
        for found in await asyncio.gather(*waiting):
            assert found is not None
            assert (found.generation, len(found.entries)) == (present + 1, number + 1)
        late.append(time.monotonic() - began)
    assert min(late) < SOON


async def test_one_generation_is_put_together_once(control: Control) -> None:
    await control.set_up()
    await asyncio.gather(*(snapshot(control) for _ in range(8)), *(ingress(control) for _ in range(8)))
    assert control.certificates.asked == 1
    await control.add(a_remote())
    await snapshot(control)
    assert control.certificates.asked == 2


async def test_a_change_by_another_server_on_the_same_database_is_found_within_seconds(control: Control) -> None:
    await control.set_up()
    first = await snapshot(control)
    assert first is not None
    waiting = asyncio.create_task(snapshot(control, first.generation, 10))
    await asyncio.sleep(0.1)
    async with FederationChanges(control.store).transaction() as tx:
        await tx.remotes.add(a_remote())
    found = await waiting
    assert found is not None


async def test_whoever_asks_for_more_says_what_it_goes_by(control: Control) -> None:
    await control.set_up()
    found = await snapshot(control)
    assert found is not None
    assert not await control.snapshots.until_applied(found.generation, 0.1)
    waiting = asyncio.create_task(control.snapshots.until_applied(found.generation, 10))
    await asyncio.sleep(0.05)
    await snapshot(control, found.generation)
    assert await waiting


async def test_what_all_federators_go_by_is_what_the_last_of_them_goes_by(control: Control) -> None:
    await control.set_up()
    found = await snapshot(control)
    assert found is not None
    control.snapshots.note_applied(found.generation, 2)
    control.snapshots.note_applied(found.generation - 1)
    assert not await control.snapshots.until_applied(found.generation, 0.1)
    control.snapshots.note_applied(found.generation)
    assert await control.snapshots.until_applied(found.generation, 0.1)


async def test_a_federator_says_which_one_it_is(control: Control) -> None:
    await control.set_up()
    found = await snapshot(control)
    assert found is not None
    asked = f"/snapshot?after={found.generation}&wait=0&replica="
    control.snapshots.note_applied(found.generation - 1)
    async with control.client() as client:
        await client.get(asked + "2")
        assert not await control.snapshots.until_applied(found.generation, 0.1)
        # Nonsense is taken for the first one.
        await client.get(asked + "nonsense")
        assert await control.snapshots.until_applied(found.generation, 0.1)


async def test_more_waiters_than_a_backend_has_processes_are_sent_away(control: Control) -> None:
    await control.set_up()
    async with control.client() as client, asyncio.TaskGroup() as group:
        for _ in range(MOST_WAITING):
            group.create_task(control.snapshots.after(99, 1.0))
        await asyncio.sleep(0)
        answer = await client.get("/snapshot?after=99&wait=1")
        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")


def a_row(number: int, **fields: Any) -> Row:
    bare = Row(f"row-{number}", NOON.timestamp(), "remote:b.example/x", "directory/search-users", "b.example", "denied",
               "request", "quota.requests", {"leaf": "abc"})  # fmt: skip
    return msgspec.structs.replace(bare, **fields)


async def post(control: Control, path: str, body: Any) -> httpx2.Response:
    async with control.client() as client:
        return await client.post(path, content=msgspec.json.encode(body))


async def audit(control: Control) -> list[Any]:
    async with control.store.reading() as tx:
        return [row.entry for row in reversed(await tx.journal.audit_page(100))]


async def test_a_report_that_is_sent_twice_counts_once(control: Control) -> None:
    first = Report([a_row(1), a_row(2, left_out=40, actor="anyone"), a_row(1)])
    second = Report([a_row(2), a_row(3, reason="")])
    for report in (first, first, second):
        assert (await post(control, "/report", report)).status_code == 204
    rows = await audit(control)
    assert [(row.reason, row.facts.get("left_out")) for row in rows] == [
        ("quota.requests", None),
        ("quota.requests", 40),
        (None, None),
    ]
    assert rows[0].actor == "remote:b.example/x"
    assert (rows[0].at, rows[0].outcome.value, rows[0].facts["leaf"]) == (NOON, "denied", "abc")


async def test_sightings_register_instances_and_wake_what_waits_for_their_remote(control: Control) -> None:
    heard: list[Any] = []
    control.reports.on_contact.append(heard.append)
    await control.set_up()
    await control.add(a_remote(1, B), a_remote(2, C))
    never = SystemClock().now() + timedelta(hours=1)
    async with control.store.transaction() as tx:
        for number in (1, 2):
            await tx.outbox.add(a_message(number, Lane.STATE, 1, next_at=never))
    instance = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
    report = Report(sightings=[Sighting(B, instance, NOON.timestamp()), Sighting(B, instance, NOON.timestamp() + 9)])
    assert (await post(control, "/report", report)).status_code == 204
    assert heard == [[BackendDomain(B)]]
    async with control.store.reading() as tx:
        found = await tx.remote_instances.of(BackendDomain(B))
        assert [(str(each.instance), each.last_seen) for each in found] == [(instance, NOON + timedelta(seconds=9))]
        assert [each.remote_id for each in await tx.outbox.heads(SystemClock().now())] == [UUID(int=1)]


async def test_suspicions_are_counted_by_kind_and_remote(control: Control) -> None:
    one = Suspicion("foreign_authority", B, NOON.timestamp(), {"leaf": "1"})
    report = Report(suspicions=[one, msgspec.structs.replace(one, evidence={"leaf": "2"})])
    assert (await post(control, "/report", report)).status_code == 204
    async with control.store.reading() as tx:
        (found,) = await tx.findings.page(10)
    assert (found.kind, found.count, found.evidence) == ("foreign_authority", 2, {"leaf": "2"})


async def test_what_a_federator_sees_the_end_of_is_cleared_and_nothing_else(control: Control) -> None:
    seen = [Suspicion("capability_drift", domain, NOON.timestamp(), {}) for domain in (B, C)]
    assert (await post(control, "/report", Report(suspicions=seen))).status_code == 204
    assert (await post(control, "/report", Report(cleared=[Cleared("capability_drift", B)]))).status_code == 204
    async with control.store.reading() as tx:
        assert [found.domain for found in await tx.findings.page(10)] == [C]


async def test_a_nonce_is_taken_once(control: Control) -> None:
    nonce = Nonce(B, "n" * 8, NOON.timestamp())
    assert (await post(control, "/nonces", nonce)).status_code == 204
    again = await post(control, "/nonces", nonce)
    assert (again.status_code, again.json()["code"]) == (409, "replay_detected")
    assert (await post(control, "/nonces", msgspec.structs.replace(nonce, domain=C))).status_code == 204
    await control.reports.prune()
    assert (await post(control, "/nonces", nonce)).status_code == 204


async def test_of_many_with_one_nonce_one_passes(control: Control) -> None:
    nonce = Nonce(B, "n" * 8, NOON.timestamp())
    answers = await asyncio.gather(*(post(control, "/nonces", nonce) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [204, *[409] * 19]


BAD: dict[str, tuple[str, str, bytes, int, str]] = {
    "a path that is not there": ("GET", "/nothing", b"", 404, "route_not_found"),
    "no JSON": ("POST", "/report", b"{", 400, "json_invalid"),
    "bytes": ("POST", "/report", b"\xff\xfe", 400, "json_invalid"),
    "nesting without end": ("POST", "/report", b"[" * 100_000, 422, "validation_failed"),
    "a row without an id": ("POST", "/report", b'{"rows": [{}]}', 422, "validation_failed"),
    "a nonce that is too short": ("POST", "/nonces", b'{"domain":"b.example","nonce":"x","expires_at":1}', 422,
                                  "validation_failed"),
    "an instance that is none": ("POST", "/report", b'{"sightings":[{"domain":"b.example","instance":"x","at":1}]}',
                                 422, "validation_failed"),
    "a time that is none": ("POST", "/report", b'{"sightings":[{"domain":"b.example","instance":"'
                            b'3f2504e0-4f89-41d3-9a0c-0305e82c3301","at":1e300}]}', 422, "validation_failed"),
    "too much": ("POST", "/report", b" " * (MOST_BODY + 1), 413, "body_too_large"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
async def test_what_makes_no_sense_is_refused_and_changes_nothing(control: Control, name: str) -> None:
    method, path, body, status, code = BAD[name]
    async with control.client() as client:
        answer = await client.request(method, path, content=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert await audit(control) == []


async def test_too_many_rows_are_refused(control: Control) -> None:
    report = Report([a_row(number) for number in range(MOST_ROWS + 1)])
    assert (await post(control, "/report", report)).status_code == 422
    assert await audit(control) == []


@pytest.mark.parametrize("query", ["after=x&wait=y", "after=-1", "after=1e3&wait=inf", "wait=nan&after=", "%ff=1", ""])
async def test_nonsense_in_the_query_counts_as_none(control: Control, query: str) -> None:
    await control.set_up()
    async with control.client() as client:
        assert (await client.get(f"/snapshot?{query}")).status_code == 200
