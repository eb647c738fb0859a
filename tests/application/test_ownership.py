"""A resource has one owner: who may read it there changes nothing, and the owner's operator does."""

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from isthmus.domain.federation.service import Service
from isthmus.protocol import resources as wire
from isthmus.server.adapters.vault import FileVault
from isthmus.server.application import networks, peers
from tests.application.backend import ADA, BOTH_DATABASES, CountedIds
from tests.application.granting import NETWORK, OFFICE, B, Owner
from tests.builders import NOON, a_peer
from tests.contract.filling import put_peers

A = "a.example"
PEER = a_peer(7, OFFICE)
WIKI = Service(UUID(int=9), "wiki", OFFICE.id, "tcp", OFFICE.cidr_v6[7], ((443, 443),), NOON)
RESOURCES: dict[str, tuple[str, dict[str, Any]]] = {
    "network": (NETWORK, {"name": "theirs"}),
    "peer": (str(PEER.id), {"name": "theirs"}),
    "service": (str(WIKI.id), {"note": "theirs"}),
}


async def changed_by_operator(owner: Owner, kind: str, vault: FileVault) -> None:
    """What the remote was refused, as an operator of the owner does it."""
    side, ids = owner.side, CountedIds()
    match kind:
        case "network":
            service = networks.NetworkService(side.store, side.clock, ids, side.heard)
            await service.update(ADA, OFFICE.id, networks.Update(name="theirs"), None)
        case "peer":
            people = peers.PeerService(side.store, side.clock, ids, side.heard, vault)
            await people.update(ADA, PEER.id, peers.Update(name="theirs"), None)
        case _:
            await side.services.catalogue.update(ADA, WIKI.id, {"note": "theirs"}, None)


@pytest.mark.case("SEED-002")
@BOTH_DATABASES
@pytest.mark.parametrize("kind", RESOURCES)
async def test_who_may_read_a_resource_of_another_backend_changes_nothing_of_it(
    owner: Owner, tmp_path: Path, kind: str
) -> None:
    await put_peers(owner.side.store, [PEER])
    async with owner.side.store.transaction() as tx:
        await tx.services.add(WIKI)
    resource_id, changes = RESOURCES[kind]
    issued = await owner.grant(kind=kind, resource_id=resource_id, scopes=["read"])
    read = wire.GetResource(kind, resource_id)
    before = (await owner.ask(issued.token, read)).json()
    assert before["owner"] == A
    await owner.rows()
    await owner.denied("grant_scope_missing", issued.token, wire.UpdateResource(kind, resource_id, changes))
    after = (await owner.ask(issued.token, read)).json()
    assert after == before
    assert B not in str(after)

    await changed_by_operator(owner, kind, FileVault(tmp_path / "vault.key"))
    present = (await owner.ask(issued.token, read)).json()
    assert (present["owner"], present["fields"] != before["fields"]) == (A, True)
    assert "theirs" in str(present["fields"])
