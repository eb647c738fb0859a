"""Kinds of resources: what can be granted, and how it is read, changed and exported. Extensions add their own."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar
from uuid import UUID

from isthmus.domain.errors import InvalidValue, NotFound
from isthmus.domain.federation import directory as people
from isthmus.domain.federation.axes import parse_id
from isthmus.domain.federation.directory import User
from isthmus.domain.federation.service import Service
from isthmus.domain.federation.serving import ports_as_texts
from isthmus.domain.ids import NetworkId, PeerId
from isthmus.domain.mesh.network import Network
from isthmus.domain.mesh.peer import Peer
from isthmus.server.ports import Transaction
from isthmus.server.records import Page, PeerFilter

T = TypeVar("T")

Fields = Mapping[str, Any]


class Provider(Protocol):
    """One kind. Whoever asks has been granted it; `NotFound` for a resource that is not there. All JSON."""

    async def exists(self, tx: Transaction, resource_id: str) -> bool: ...
    async def read(self, tx: Transaction, resource_id: str) -> Fields: ...
    async def page(self, tx: Transaction, limit: int, after: str | None) -> Sequence[tuple[str, Fields]]:
        """Ids with fields, in an order that `after` goes on in."""

    async def update(self, tx: Transaction, resource_id: str, changes: Fields) -> Fields:
        """The fields after these changes. Raises `InvalidValue` for a field that is not for others to change."""

    async def export(self, tx: Transaction, resource_id: str) -> Fields:
        """All that is needed to set it up anew elsewhere, without a secret."""


class Kinds:
    def __init__(self) -> None:
        self.providers: dict[str, Provider] = {
            "network": Networks(),
            "peer": Peers(),
            "service": Services(),
            "directory": Directory(),
        }

    def register(self, kind: str, provider: Provider) -> None:
        """Raises `ValueError` where the kind is there already."""
        if kind in self.providers:
            raise ValueError(f"there is a kind {kind} already")
        self.providers[kind] = provider

    def of(self, kind: str) -> Provider:
        """Raises `NotFound`."""
        if kind not in self.providers:
            raise NotFound("kind", kind)
        return self.providers[kind]


def id_in(text: str, kind: str) -> UUID:
    try:
        return parse_id(text, "/id")
    except InvalidValue:
        raise NotFound(kind, text) from None


async def is_there(asked: Any) -> bool:
    try:
        await asked
    except NotFound:
        return False
    return True


def refuse_others(changes: Fields, allowed: Sequence[str]) -> None:
    for name in changes:
        if name not in allowed:
            hint = f"those that can be: {', '.join(allowed)}" if allowed else "its owner alone changes it"
            raise InvalidValue(f"/changes/{name[:64]}", "cannot be changed by another backend", hint)


def text_in(changes: Fields, name: str) -> str:
    value = changes[name]
    if not isinstance(value, str):
        raise InvalidValue(f"/changes/{name}", "is not text")
    return value


class Networks:
    """Networks are changed by their owner alone: every peer follows them."""

    async def exists(self, tx: Transaction, resource_id: str) -> bool:
        return await is_there(self._get(tx, resource_id))

    async def read(self, tx: Transaction, resource_id: str) -> Fields:
        return network_fields(await self._get(tx, resource_id))

    async def page(self, tx: Transaction, limit: int, after: str | None) -> Sequence[tuple[str, Fields]]:
        found = await tx.networks.page(Page(limit, None if after is None else id_in(after, "network")))
        return [(str(each.id), network_fields(each)) for each in found]

    async def update(self, tx: Transaction, resource_id: str, changes: Fields) -> Fields:
        refuse_others(changes, ())
        return await self.read(tx, resource_id)

    async def export(self, tx: Transaction, resource_id: str) -> Fields:
        network = await self._get(tx, resource_id)
        peers = await tx.peers.of_network(network.id)
        settings = {"mtu": network.mtu, "listen_port": network.listen_port, "keepalive": network.keepalive}
        return {**network_fields(network), **settings, "peers": [peer_fields(each) for each in peers]}

    async def _get(self, tx: Transaction, resource_id: str) -> Network:
        return await tx.networks.get(NetworkId(id_in(resource_id, "network")))


class Peers:
    async def exists(self, tx: Transaction, resource_id: str) -> bool:
        return await is_there(self._get(tx, resource_id))

    async def read(self, tx: Transaction, resource_id: str) -> Fields:
        return peer_fields(await self._get(tx, resource_id))

    async def page(self, tx: Transaction, limit: int, after: str | None) -> Sequence[tuple[str, Fields]]:
        page = Page(limit, None if after is None else id_in(after, "peer"))
        return [(str(each.id), peer_fields(each)) for each in await tx.peers.page(page, PeerFilter())]

    async def update(self, tx: Transaction, resource_id: str, changes: Fields) -> Fields:
        refuse_others(changes, ())
        return await self.read(tx, resource_id)

    async def export(self, tx: Transaction, resource_id: str) -> Fields:
        peer = await self._get(tx, resource_id)
        return {**peer_fields(peer), "network": network_fields(await tx.networks.get(peer.network_id))}

    async def _get(self, tx: Transaction, resource_id: str) -> Peer:
        return await tx.peers.get(PeerId(id_in(resource_id, "peer")))


class Services:
    """Of a service others may change the note alone: where it is decides what packets may pass."""

    async def exists(self, tx: Transaction, resource_id: str) -> bool:
        return await is_there(self._get(tx, resource_id))

    async def read(self, tx: Transaction, resource_id: str) -> Fields:
        return service_fields(await self._get(tx, resource_id))

    async def page(self, tx: Transaction, limit: int, after: str | None) -> Sequence[tuple[str, Fields]]:
        found = await tx.services.page(Page(limit, None if after is None else id_in(after, "service")))
        return [(str(each.id), service_fields(each)) for each in found]

    async def update(self, tx: Transaction, resource_id: str, changes: Fields) -> Fields:
        refuse_others(changes, ("note",))
        before = await tx.services.lock(id_in(resource_id, "service"))
        note = text_in(changes, "note")
        if len(note) > 255 or not (note.isprintable() or not note):
            raise InvalidValue("/changes/note", "is not one line of at most 255 printable characters")
        after = replace(before, note=note, version=before.version + 1)
        await tx.services.save(after)
        return service_fields(after)

    async def export(self, tx: Transaction, resource_id: str) -> Fields:
        service = await self._get(tx, resource_id)
        return {**service_fields(service), "network": network_fields(await tx.networks.get(service.network_id))}

    async def _get(self, tx: Transaction, resource_id: str) -> Service:
        return await tx.services.get(id_in(resource_id, "service"))


class Directory:
    """People, by handle. A grant shows somebody whatever the directory shows to everybody else."""

    async def exists(self, tx: Transaction, resource_id: str) -> bool:
        return await tx.directory.with_handle(resource_id) is not None

    async def read(self, tx: Transaction, resource_id: str) -> Fields:
        return user_fields(await self._get(tx, resource_id))

    async def page(self, tx: Transaction, limit: int, after: str | None) -> Sequence[tuple[str, Fields]]:
        last = None if after is None else (await self._get(tx, after)).id
        return [(each.handle, user_fields(each)) for each in await tx.directory.page(Page(limit, last))]

    async def update(self, tx: Transaction, resource_id: str, changes: Fields) -> Fields:
        refuse_others(changes, ("display_name",))
        before = await tx.directory.lock((await self._get(tx, resource_id)).id)
        try:
            name = people.parse_display_name(text_in(changes, "display_name"))
        except InvalidValue as error:
            raise InvalidValue("/changes/display_name", error.problem, error.hint) from None
        after = replace(before, display_name=name, version=before.version + 1)
        await tx.directory.save(after)
        return user_fields(after)

    async def export(self, tx: Transaction, resource_id: str) -> Fields:
        user = await self._get(tx, resource_id)
        return {**user_fields(user), "visibility": user.visibility.value}

    async def _get(self, tx: Transaction, resource_id: str) -> User:
        user = await tx.directory.with_handle(resource_id)
        if user is None:
            raise NotFound("directory", resource_id)
        return user


def network_fields(network: Network) -> Fields:
    return {"name": network.name, "cidrs": list(map(str, network.cidrs)), "domain": network.domain}


def peer_fields(peer: Peer) -> Fields:
    return {
        "name": peer.name,
        "network_id": str(peer.network_id),
        "kind": peer.kind.value,
        "addresses": list(map(str, peer.addresses)),
        "public_key": peer.public_key,
    }


def service_fields(service: Service) -> Fields:
    return {
        "name": service.name,
        "network_id": str(service.network_id),
        "protocol": service.protocol,
        "address": str(service.address),
        "ports": ports_as_texts(service.ports),
        "note": service.note,
    }


def user_fields(user: User) -> Fields:
    return {"handle": user.handle, "display_name": user.display_name}
