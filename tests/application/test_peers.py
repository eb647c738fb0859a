"""Peers: what each kind needs, offers, the last jump peer, static configs."""

import contextlib
import sqlite3
from dataclasses import replace
from ipaddress import IPv4Address, ip_network
from pathlib import Path
from uuid import UUID

import pytest

from isthmus.domain.errors import ConfigAlreadyShown, InvalidValue, NotFound, PreconditionFailed, TransitionNotAllowed
from isthmus.domain.federation.service import Service
from isthmus.domain.mesh.peer import Kind
from isthmus.server.application.peers import Draft, Update
from isthmus.wireguard.conf_reader import parse
from tests.application.backend import ADA, Backend, a_public_key
from tests.builders import a_key

WRONG = {
    "a jump peer without an endpoint": (Draft("gw", Kind.JUMP), "/endpoint"),
    "a dynamic peer with a key": (Draft("one", public_key=a_key(1)), "/public_key"),
    "an agent's private key to keep": (Draft("one", keep_private_key=True), "/keep_private_key"),
    "a given key to keep": (Draft("p", Kind.STATIC, public_key=a_key(1), keep_private_key=True), "/keep_private_key"),
    "a key that is none": (Draft("p", Kind.STATIC, public_key="x" * 44), "/public_key"),
    "an isolated jump peer": (Draft("gw", Kind.JUMP, endpoint="192.0.2.1:1", isolated=True), "/isolated"),
    "a name with a space": (Draft("a b"), "/name"),
    "the default route": (Draft("one", additional_allowed_ips=["0.0.0.0/0"]), "/additional_allowed_ips/0"),
    "the network itself": (Draft("one", additional_allowed_ips=["10.20.0.0/25"]), "/additional_allowed_ips/0"),
    "a label in two lines": (Draft("one", labels={"site": "a\nb"}), "/labels/site"),
}


@pytest.mark.parametrize(("draft", "field"), WRONG.values(), ids=WRONG)
async def test_a_peer_that_cannot_be_is_refused_and_takes_no_address(
    backend: Backend, draft: Draft, field: str
) -> None:
    network = await backend.network()
    with pytest.raises(InvalidValue) as refused:
        await backend.peers.create(ADA, network.id, draft)
    assert refused.value.field == field
    assert (await backend.networks.get(network.id)).capacity[0].used == 0
    assert await backend.network_now(network.id) == network


async def test_names_are_unique_within_a_network_only(backend: Backend) -> None:
    office, lab = await backend.network(), await backend.network("lab", None)
    one = await backend.peer(office, "one")
    await backend.peer(lab, "one")
    two = await backend.peer(office, "two")
    for attempt in (backend.peer(office, "one"), backend.peers.update(ADA, two.id, Update(name="one"), None)):
        with pytest.raises(InvalidValue, match="the name of another peer"):
            await attempt
    await backend.peers.update(ADA, one.id, Update(name="one"), None)


async def test_one_key_belongs_to_one_peer_of_the_whole_backend(backend: Backend) -> None:
    office, lab = await backend.network(), await backend.network("lab", None)
    key = a_public_key()
    phone = await backend.peer(office, "phone", Kind.STATIC, public_key=key)
    with pytest.raises(InvalidValue, match="the key of another peer"):
        await backend.peer(lab, "tablet", Kind.STATIC, public_key=key)
    created = await backend.created(lab, "laptop")
    assert created.token is not None
    with pytest.raises(InvalidValue, match="the key of another peer"):
        await backend.enrollment.enroll(ADA, created.token.text, key, "host")
    await backend.peers.update(ADA, phone.id, Update(public_key=key), None)


@pytest.mark.case("DATA-007")
async def test_an_offer_has_one_way_in(backend: Backend) -> None:
    network = await backend.network()
    site = await backend.peer(network, "site", additional_allowed_ips=["192.168.50.0/24"])
    other = await backend.peer(network, "other", additional_allowed_ips=["192.168.51.0/24"])
    overlapping = ["192.168.50.128/25"]
    for attempt in (
        backend.peer(network, "third", additional_allowed_ips=overlapping),
        backend.peers.update(ADA, other.id, Update(additional_allowed_ips=overlapping), None),
    ):
        with pytest.raises(InvalidValue, match=r"overlaps 192\.168\.50\.0/24, which site offers"):
            await attempt
    wider = ["192.168.50.0/24", "192.168.52.0/24"]
    after, _ = await backend.peers.update(ADA, site.id, Update(additional_allowed_ips=wider), None)
    assert after.additional_allowed_ips == tuple(map(ip_network, wider))
    await backend.peers.delete(ADA, site.id, None, force=False)
    await backend.peer(network, "third", additional_allowed_ips=overlapping)


async def test_the_last_jump_peer_that_others_need_takes_force(backend: Backend) -> None:
    network = await backend.network()
    gw1, gw2 = await backend.peer(network, "gw1", Kind.JUMP), await backend.peer(network, "gw2", Kind.JUMP)
    await backend.peer(network, "one")
    await backend.peers.delete(ADA, gw1.id, None, force=False)
    with pytest.raises(TransitionNotAllowed, match="last jump peer"):
        await backend.peers.delete(ADA, gw2.id, None, force=False)
    assert await backend.peer_now(gw2.id) == gw2
    await backend.peers.delete(ADA, gw2.id, None, force=True)


async def test_the_last_jump_peer_of_an_empty_network_may_go(backend: Backend) -> None:
    network = await backend.network()
    gw = await backend.peer(network, "gw", Kind.JUMP)
    await backend.peers.delete(ADA, gw.id, None, force=False)
    assert await backend.peers_of(network.id) == []


async def test_a_change_for_another_version_is_refused(backend: Backend) -> None:
    peer = await backend.peer(await backend.network(), "one")
    after, _ = await backend.peers.update(ADA, peer.id, Update(owner="ada"), peer.version)
    for attempt in (
        backend.peers.update(ADA, peer.id, Update(owner="bob"), peer.version),
        backend.peers.delete(ADA, peer.id, peer.version, force=False),
    ):
        with pytest.raises(PreconditionFailed):
            await attempt
    assert await backend.peer_now(peer.id) == after


async def test_a_config_is_shown_once_when_the_server_made_the_key(backend: Backend) -> None:
    network = await backend.network()
    await backend.enrolled(network, "gw", Kind.JUMP)
    created = await backend.created(network, "phone", Kind.STATIC)
    assert created.config is not None
    first = parse(created.config.text)
    assert first.interface.private_key is not None
    assert str(first.interface.private_key.public()) == created.peer.public_key
    with pytest.raises(ConfigAlreadyShown):
        await backend.static_text(created.peer.id)

    again = parse((await backend.peers.regenerate(ADA, created.peer.id)).text)
    assert again.interface.private_key is not None
    assert (await backend.peer_now(created.peer.id)).public_key == str(again.interface.private_key.public())
    assert (await backend.peer_now(created.peer.id)).public_key != created.peer.public_key
    with pytest.raises(ConfigAlreadyShown):
        await backend.static_text(created.peer.id)


def raw_content(folder: Path) -> tuple[bytes, bytes]:
    """The sealed key, and every byte of the database: as rows, and as files with what SQLite has not cleaned up."""
    with contextlib.closing(sqlite3.connect(folder / "isthmus.db")) as database:
        sealed: bytes = database.execute("SELECT sealed FROM kept_keys").fetchone()[0]
        rows = "\n".join(database.iterdump()).encode()
    return sealed, rows + b"".join(path.read_bytes() for path in folder.glob("isthmus.db*"))


async def test_a_kept_key_is_sealed_in_the_database_and_opens_in_the_config(backend: Backend, tmp_path: Path) -> None:
    network = await backend.network()
    await backend.enrolled(network, "gw", Kind.JUMP)
    created = await backend.created(network, "phone", Kind.STATIC, keep_private_key=True)
    assert created.config is not None
    assert await backend.static_text(created.peer.id) == created.config.text

    private = parse(created.config.text).interface.private_key
    assert private is not None
    secrets = [private.reveal().encode(), bytes.fromhex(private.reveal_hex()), private.reveal_hex().encode()]
    sealed, stored = raw_content(tmp_path)
    assert len(sealed) > 32
    assert not any(secret in stored for secret in secrets)
    regenerated = await backend.peers.regenerate(ADA, created.peer.id)
    assert await backend.static_text(created.peer.id) == regenerated.text


async def test_a_key_that_its_owner_pasted_ends_the_one_that_the_server_made(backend: Backend) -> None:
    network = await backend.network()
    created = await backend.created(network, "phone", Kind.STATIC, keep_private_key=True)
    own = a_public_key()
    await backend.peers.update(ADA, created.peer.id, Update(public_key=own), None)
    config = parse(await backend.static_text(created.peer.id))
    assert config.interface.private_key is None, "the kept key does not fit the new public one"
    assert not (await backend.peer_now(created.peer.id)).server_made_key


async def test_the_same_key_once_more_keeps_the_kept_one(backend: Backend) -> None:
    network = await backend.network()
    created = await backend.created(network, "phone", Kind.STATIC, keep_private_key=True)
    assert created.config is not None
    key = created.peer.public_key
    assert key is not None
    await backend.peers.update(ADA, created.peer.id, Update(public_key=key), None)
    assert await backend.static_text(created.peer.id) == created.config.text


async def test_only_static_peers_have_a_config_and_only_agents_a_token(backend: Backend) -> None:
    network = await backend.network()
    laptop, phone = await backend.peer(network, "laptop"), await backend.peer(network, "phone", Kind.STATIC)
    with pytest.raises(TransitionNotAllowed):
        await backend.static_text(laptop.id)
    with pytest.raises(TransitionNotAllowed):
        await backend.peers.regenerate(ADA, laptop.id)
    with pytest.raises(TransitionNotAllowed):
        await backend.peers.new_token(ADA, phone.id)


async def test_a_deleted_peer_is_gone_with_all_that_was_its_own(backend: Backend) -> None:
    network = await backend.network()
    phone = (await backend.created(network, "phone", Kind.STATIC, keep_private_key=True)).peer
    await backend.peers.delete(ADA, phone.id, None, force=False)
    async with backend.store.reading() as tx:
        assert await tx.kept_keys.get(phone.id) is None
    with pytest.raises(NotFound):
        await backend.peers.delete(ADA, phone.id, None, force=False)


async def test_an_address_that_a_service_names_is_not_given_up(backend: Backend) -> None:
    """Or the service's grants would open it to the peer that gets it next."""
    network = await backend.network()
    router = await backend.peer(network, "router", additional_allowed_ips=["192.168.7.0/24"])
    own = Service(UUID(int=1), "wiki", network.id, "tcp", router.addresses[0], ((443, 443),), backend.clock.now())
    behind = replace(own, id=UUID(int=2), name="camera", address=IPv4Address("192.168.7.9"))
    for service in (own, behind):
        async with backend.store.transaction() as tx:
            await tx.services.add(service)
        with pytest.raises(TransitionNotAllowed, match=service.name):
            await backend.peers.delete(ADA, router.id, None, force=True)
        if service is behind:
            with pytest.raises(TransitionNotAllowed, match="camera"):
                await backend.peers.update(ADA, router.id, Update(additional_allowed_ips=["192.168.8.0/24"]), None)
        await backend.peers.update(
            ADA, router.id, Update(additional_allowed_ips=["192.168.7.0/24", "10.9.0.0/24"]), None
        )
        async with backend.store.transaction() as tx:
            await tx.services.delete(service.id)
    await backend.peers.update(ADA, router.id, Update(additional_allowed_ips=[]), None)
    await backend.peers.delete(ADA, router.id, None, force=False)
    assert await backend.peers_of(network.id) == []
