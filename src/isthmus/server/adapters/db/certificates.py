"""The backend's own authorities, message keys, leaves and bundle, in the database."""

import base64
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Table, bindparam, delete, select

from isthmus.domain.federation.names import InfraDomain
from isthmus.domain.federation.rollover import Standing
from isthmus.server.adapters.db.certificate_tables import own_authorities, own_bundle, own_keys, own_leaves
from isthmus.server.adapters.db.statements import AnyRow, Statements, upsert_into, values_of
from isthmus.server.certificate_records import OwnAuthority, OwnBundle, OwnKey, OwnLeaf, Purpose

BUNDLE = select(own_bundle)
BUNDLE_LOCKED = BUNDLE.with_for_update()
AUTHORITIES = select(own_authorities).order_by(own_authorities.c.published_at, own_authorities.c.fingerprint)
KEYS = select(own_keys).order_by(own_keys.c.published_at, own_keys.c.id)
LEAVES = select(own_leaves).order_by(own_leaves.c.issued_at, own_leaves.c.serial)
DROP_AUTHORITY = delete(own_authorities).where(own_authorities.c.fingerprint == bindparam("gone"))
DROP_KEY = delete(own_keys).where(own_keys.c.id == bindparam("gone"))
DROP_LEAF = delete(own_leaves).where(own_leaves.c.serial == bindparam("gone"))

# One authority or key at a time has one of the first two standings: who leaves one is written before who takes it.
ORDER = [Standing.PAST, Standing.CURRENT, Standing.NEXT]


class SqlOwnTrust:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def bundle(self) -> OwnBundle | None:
        return bundle_of(await self._statements.row(BUNDLE))

    async def lock(self) -> OwnBundle | None:
        return bundle_of(await self._statements.row(BUNDLE_LOCKED))

    async def authorities(self) -> list[OwnAuthority]:
        return [authority_of(row) for row in await self._statements.rows(AUTHORITIES)]

    async def keys(self) -> list[OwnKey]:
        rows = await self._statements.rows(KEYS)
        return [OwnKey(**{**row._mapping, "standing": Standing(row.standing)}) for row in rows]

    async def leaves(self) -> list[OwnLeaf]:
        return [leaf_of(row) for row in await self._statements.rows(LEAVES)]

    async def put_bundle(self, bundle: OwnBundle) -> None:
        await self._put(own_bundle, [{"id": 1, **values_of(bundle)}])

    async def put_authorities(self, authorities: Iterable[OwnAuthority]) -> None:
        ordered = sorted(authorities, key=lambda each: ORDER.index(each.standing))
        await self._put(own_authorities, [authority_fields(each) for each in ordered])

    async def put_keys(self, keys: Iterable[OwnKey]) -> None:
        ordered = sorted(keys, key=lambda each: ORDER.index(each.standing))
        await self._put(own_keys, [values_of(each) for each in ordered])

    async def put_leaves(self, leaves: Iterable[OwnLeaf]) -> None:
        await self._put(own_leaves, [leaf_fields(each) for each in leaves])

    async def drop_authorities(self, fingerprints: Sequence[bytes]) -> None:
        for fingerprint in fingerprints:
            await self._statements.write(DROP_AUTHORITY, {"gone": fingerprint})

    async def drop_keys(self, ids: Sequence[str]) -> None:
        for each in ids:
            await self._statements.write(DROP_KEY, {"gone": each})

    async def drop_leaves(self, serials: Sequence[int]) -> None:
        if serials:
            await self._statements.write(DROP_LEAF, [{"gone": f"{serial:x}"} for serial in serials])

    async def _put(self, table: Table, rows: Sequence[dict[str, Any]]) -> None:
        # One by one: their order matters.
        for row in rows:
            await self._statements.write(upsert_into(table, self._statements.dialect), row)


def bundle_of(row: AnyRow | None) -> OwnBundle | None:
    if row is None:
        return None
    return OwnBundle(**{name: value for name, value in row._mapping.items() if name != "id"})


def authority_of(row: AnyRow) -> OwnAuthority:
    certificates = tuple(base64.b64decode(each) for each in row.certificates)
    return OwnAuthority(**{**row._mapping, "certificates": certificates, "standing": Standing(row.standing)})


def authority_fields(authority: OwnAuthority) -> dict[str, Any]:
    texts = [base64.b64encode(each).decode() for each in authority.certificates]
    return values_of(authority) | {"certificates": texts}


def leaf_of(row: AnyRow) -> OwnLeaf:
    names = tuple(InfraDomain(name) for name in row.infra_domains)
    changed = {"serial": int(row.serial, 16), "purpose": Purpose(row.purpose), "infra_domains": names}
    return OwnLeaf(**{**row._mapping, **changed})


def leaf_fields(leaf: OwnLeaf) -> dict[str, Any]:
    return values_of(leaf) | {"serial": f"{leaf.serial:x}", "infra_domains": list(leaf.infra_domains)}
