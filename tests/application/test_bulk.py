"""Bulks: all or nothing, every bad row named, one audit row for each operation, and told in order."""

import asyncio
import time
from ipaddress import IPv4Address

import pytest

from isthmus.domain.errors import NotFound
from isthmus.domain.ids import NetworkId
from isthmus.domain.mesh.peer import Kind
from isthmus.server.application.addressing import Wanted
from isthmus.server.application.bulk import BulkRefused, Change, Create, Delete, Operation, Result
from isthmus.server.application.peer_steps import Draft, Update
from isthmus.server.application.peers import Created
from isthmus.wireguard.conf_reader import parse
from tests.application.backend import ADA, BOTH_DATABASES, Backend, a_public_key
from tests.builders import a_key

JUMP = Draft("gw-2", Kind.JUMP, endpoint="198.51.100.9:51820")


@pytest.fixture
async def office(backend: Backend) -> NetworkId:
    """A network with a jump peer, a laptop and a phone."""
    network = await backend.network()
    await backend.enrolled(network, "gw", Kind.JUMP)
    await backend.peer(network, "laptop", groups=["staff"])
    await backend.peer(network, "phone", Kind.STATIC, public_key=a_key(1))
    await backend.peer(network, "printer", Kind.STATIC, public_key=a_key(2))
    backend.heard.commits.clear()
    return network.id


async def what_is(backend: Backend, office: NetworkId) -> tuple[object, ...]:
    """Everything that a bulk may change, its audit rows excepted."""
    async with backend.store.reading() as tx:
        held = await tx.holdings.of_network(office)
    return await backend.network_now(office), await backend.peers_of(office), await backend.changes(office), held


GOOD: list[Operation] = [
    Create(Draft("tablet", Kind.STATIC)),
    Create(Draft("server", groups=["staff", "racks"], additional_allowed_ips=["192.168.7.0/24"])),
    Change("laptop", Update(isolated=True)),
    Change("gw", Update(name="gw-1")),
    Delete("phone"),
    Create(JUMP),
]


@BOTH_DATABASES
async def test_operations_are_done_in_their_order_with_one_audit_row_and_one_commit_each(
    backend: Backend, office: NetworkId
) -> None:
    before, log = await backend.network_now(office), len(await backend.audit())
    rows = await backend.bulk.run(ADA, office, GOOD)
    assert [(row.result, row.peer.name) for row in rows] == [
        (Result.CREATED, "tablet"),
        (Result.CREATED, "server"),
        (Result.UPDATED, "laptop"),
        (Result.UPDATED, "gw-1"),
        (Result.DELETED, "phone"),
        (Result.CREATED, "gw-2"),
    ]
    present = {peer.name: peer for peer in await backend.peers_of(office)}
    present.pop("printer")
    assert present == {row.peer.name: row.peer for row in rows if row.result is not Result.DELETED}
    assert present["server"].groups == ("racks", "staff")
    assert [(row.action, row.subject) for row in (await backend.audit())[log:]] == [
        (action, str(row.peer.id))
        for row, action in zip(
            rows,
            ["peer.create", "peer.create", "peer.update", "peer.update", "peer.delete", "peer.create"],
            strict=True,
        )
    ]
    told = [commit.at.revision for commit in backend.heard.commits]
    assert told == list(range(before.revision + 1, before.revision + 7))
    assert backend.heard.commits[-1].network == await backend.network_now(office)


async def test_what_new_peers_need_is_in_the_answer_and_configs_are_those_of_the_end(
    backend: Backend, office: NetworkId
) -> None:
    rows = await backend.bulk.run(
        ADA,
        office,
        [Create(Draft("tablet", Kind.STATIC)), Create(Draft("laptop-2")), Change("gw", Update(name="gw-1"))],
    )
    tablet, laptop, _ = rows
    assert tablet.config is not None
    assert laptop.token is not None
    assert [peer.name for peer in parse(tablet.config.text).peers] == ["gw-1"]
    enrolled = await backend.enroll(Created(laptop.peer, await backend.network_now(office), laptop.token))
    assert enrolled.peer.id == laptop.peer.id


BAD: dict[str, tuple[Operation, str, str]] = {
    "a name that is taken": (Create(Draft("laptop")), "/operations/6/name", "validation_failed"),
    "a key that is taken": (
        Create(Draft("x", Kind.STATIC, public_key=a_key(2))),
        "/operations/6/public_key",
        "validation_failed",
    ),
    "a name that an earlier row took": (Create(Draft("gw-1")), "/operations/6/name", "validation_failed"),
    "a new name that is taken": (
        Change("gw-3", Update(name="laptop")),
        "/operations/6",
        "not_found",
    ),
    "a peer that an earlier row renamed": (Delete("gw-1", version=1), "/operations/6", "precondition_failed"),
    "nobody": (Delete("nobody"), "/operations/6", "not_found"),
    "text that no database takes": (Change("\x00", Update(name="\ud800")), "/operations/6", "not_found"),
    "a range that an earlier row offers": (
        Change("printer", Update(additional_allowed_ips=["192.168.7.0/25"])),
        "/operations/6/additional_allowed_ips",
        "validation_failed",
    ),
    "an address that an earlier row got": (
        Create(Draft("x", wanted=Wanted(IPv4Address("10.20.0.5")))),
        "/operations/6/address_v4",
        "validation_failed",
    ),
    "a jump peer without an endpoint": (Create(Draft("x", Kind.JUMP)), "/operations/6/endpoint", "validation_failed"),
}


@BOTH_DATABASES
@pytest.mark.parametrize(("bad", "pointer", "code"), BAD.values(), ids=BAD)
async def test_a_bad_last_row_leaves_everything_as_it_was(
    backend: Backend, office: NetworkId, bad: Operation, pointer: str, code: str
) -> None:
    before, log = await what_is(backend, office), len(await backend.audit())
    with pytest.raises(BulkRefused) as refused:
        await backend.bulk.run(ADA, office, [*GOOD, bad])
    assert [(error.pointer, error.code) for error in refused.value.errors] == [(pointer, code)]
    assert await what_is(backend, office) == before
    assert len(await backend.audit()) == log
    assert backend.heard.commits == []
    # The same rows without it are done.
    assert len(await backend.bulk.run(ADA, office, GOOD)) == len(GOOD)


@BOTH_DATABASES
async def test_a_dry_run_answers_what_would_happen_and_changes_nothing(backend: Backend, office: NetworkId) -> None:
    before, log = await what_is(backend, office), len(await backend.audit())
    dry = await backend.bulk.run(ADA, office, GOOD, dry_run=True)
    assert await what_is(backend, office) == before
    assert len(await backend.audit()) == log
    assert backend.heard.commits == []
    assert not [row for row in dry if row.token or row.config]
    done = await backend.bulk.run(ADA, office, GOOD)
    assert [(row.result, row.peer.name, row.peer.addresses) for row in dry] == [
        (row.result, row.peer.name, row.peer.addresses) for row in done
    ]


async def test_every_bad_row_is_named_up_to_a_bound(backend: Backend, office: NetworkId) -> None:
    odd = [Create(Draft(f"p-{number}", Kind.JUMP if number % 2 else Kind.DYNAMIC)) for number in range(20)]
    with pytest.raises(BulkRefused, match=r"^10 operations") as refused:
        await backend.bulk.run(ADA, office, odd)
    assert [error.pointer for error in refused.value.errors] == [f"/operations/{n}/endpoint" for n in range(1, 20, 2)]
    with pytest.raises(BulkRefused, match=r"^at least 100 operations") as refused:
        await backend.bulk.run(ADA, office, [Delete(f"nobody-{number}") for number in range(300)])
    assert len(refused.value.errors) == 100
    with pytest.raises(BulkRefused, match=r"^1 operation cannot") as refused:
        await backend.bulk.run(ADA, office, [Delete("laptop"), Create(Draft("x")), Delete("laptop")])
    assert [error.pointer for error in refused.value.errors] == ["/operations/2/name"]


async def test_names_and_keys_that_earlier_rows_gave_up_are_free_again(backend: Backend, office: NetworkId) -> None:
    new = a_public_key()
    rows = await backend.bulk.run(
        ADA,
        office,
        [
            Change("phone", Update(name="phone-1", public_key=new)),
            Create(Draft("phone-2", Kind.STATIC, public_key=a_key(1))),
            Change("laptop", Update(name="laptop-1")),
            Create(Draft("tablet")),
        ],
    )
    assert [row.peer.name for row in rows] == ["phone-1", "phone-2", "laptop-1", "tablet"]
    assert (rows[0].peer.public_key, rows[1].peer.public_key) == (new, a_key(1))


async def test_a_change_of_nothing_makes_no_revision(backend: Backend, office: NetworkId) -> None:
    before = await backend.network_now(office)
    (row,) = await backend.bulk.run(ADA, office, [Change("laptop", Update(groups=["staff"]))])
    assert row.result is Result.UNCHANGED
    assert await backend.network_now(office) == before
    assert backend.heard.commits == []


async def test_a_network_that_is_not_there_is_not_found(backend: Backend, office: NetworkId) -> None:
    with pytest.raises(NotFound):
        await backend.bulk.run(ADA, NetworkId(backend.ids.new()), GOOD)


async def test_a_thousand_new_peers_hold_nobody_up_for_long(backend: Backend) -> None:
    network = await backend.network("large", "10.64.0.0/16")
    longest, stop = 0.0, asyncio.Event()

    async def watch() -> None:
        nonlocal longest
        while not stop.is_set():
            # The loop's own time: what other processes take of the machine is no fault of it.
            before = time.thread_time()
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - before)

    watching = asyncio.create_task(watch())
    began = time.perf_counter()
    rows = await backend.bulk.run(ADA, network.id, [Create(Draft(f"peer-{number}")) for number in range(1000)])
    took = time.perf_counter() - began
    stop.set()
    await watching
    assert len({row.peer.addresses for row in rows}) == 1000
    assert took < 15
    assert longest < 0.25
