"""Network templates: create, list, change and delete named settings for new networks."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from isthmus.domain.errors import InvalidValue
from isthmus.domain.ids import TemplateId
from isthmus.domain.mesh import template as rules
from isthmus.domain.mesh.template import Template
from isthmus.server.application.caller import Caller
from isthmus.server.application.networks import check_version
from isthmus.server.ports import Clock, Ids, Store, TemplateNameTaken
from isthmus.server.records import Page


class TemplateService:
    """A template is copied when a network is made: to change it later changes no network."""

    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids

    async def create(self, caller: Caller, name: str, settings: Mapping[str, Any]) -> Template:
        now = self._clock.now()
        parsed = rules.parse_settings(settings)
        template = Template(TemplateId(self._ids.new()), rules.parse_name(name), parsed, now)
        try:
            async with self._store.transaction() as tx:
                await tx.templates.add(template)
                await tx.journal.audit([caller.did("template.create", template.id, now, name=template.name)])
        except TemplateNameTaken:
            raise _taken() from None
        return template

    async def get(self, template_id: TemplateId) -> Template:
        async with self._store.reading() as tx:
            return await tx.templates.get(template_id)

    async def named(self, name: str, field: str = "/template") -> Template:
        """The template of that name; refused as the fault of `field` where there is none."""
        rules.parse_name(name)
        async with self._store.reading() as tx:
            for template in await tx.templates.page(Page(1), name):
                return template
        raise InvalidValue(field, f"there is no template {name}", "isthmus template list shows those that exist")

    async def page(self, page: Page, name: str | None = None) -> list[Template]:
        async with self._store.reading() as tx:
            return await tx.templates.page(page, name)

    async def update(
        self, caller: Caller, template_id: TemplateId, changes: Mapping[str, Any], version: int | None
    ) -> Template:
        """`changes` names what shall be other; a setting that becomes None is left to the defaults."""
        now = self._clock.now()
        try:
            async with self._store.transaction() as tx:
                before = await tx.templates.lock(template_id)
                check_version(before.version, version)
                name = rules.parse_name(changes.get("name", before.name))
                settings = {key: value for key, value in changes.items() if key != "name"}
                parsed = rules.parse_settings({**before.settings, **settings})
                after = replace(before, name=name, settings=parsed)
                if after != before:
                    after = replace(after, version=before.version + 1)
                    await tx.templates.save(after)
                await tx.journal.audit([caller.did("template.update", template_id, now, fields=sorted(changes))])
        except TemplateNameTaken:
            raise _taken() from None
        return after

    async def delete(self, caller: Caller, template_id: TemplateId, version: int | None) -> None:
        now = self._clock.now()
        async with self._store.transaction() as tx:
            template = await tx.templates.lock(template_id)
            check_version(template.version, version)
            await tx.templates.delete(template_id)
            await tx.journal.audit([caller.did("template.delete", template_id, now, name=template.name)])


def _taken() -> InvalidValue:
    return InvalidValue("/name", "is the name of another template")
