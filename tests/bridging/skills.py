"""An extension for tests: resources of the kind `skill`, two of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from isthmus.domain.errors import NotFound
from isthmus.server.application.kinds import Kinds
from isthmus.server.ports import Transaction

SKILLS: dict[str, dict[str, Any]] = {"skill-x": {"title": "how to move"}, "skill-y": {"title": "how to stay"}}

Fields = Mapping[str, Any]


class Skills:
    """What they say is in memory alone."""

    async def exists(self, tx: Transaction, resource_id: str) -> bool:
        return resource_id in SKILLS

    async def read(self, tx: Transaction, resource_id: str) -> Fields:
        if resource_id not in SKILLS:
            raise NotFound("skill", resource_id)
        return SKILLS[resource_id]

    async def page(self, tx: Transaction, limit: int, after: str | None) -> Sequence[tuple[str, Fields]]:
        return [(each, SKILLS[each]) for each in sorted(SKILLS) if after is None or each > after][:limit]

    async def update(self, tx: Transaction, resource_id: str, changes: Fields) -> Fields:
        SKILLS[resource_id] = dict(await self.read(tx, resource_id)) | dict(changes)
        return SKILLS[resource_id]

    async def export(self, tx: Transaction, resource_id: str) -> Fields:
        return await self.read(tx, resource_id)


def register(kinds: Kinds) -> None:
    kinds.register("skill", Skills())
