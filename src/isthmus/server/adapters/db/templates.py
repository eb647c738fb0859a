"""Network templates in the database."""

from sqlalchemy import bindparam, delete, insert, select, update

from isthmus.domain.errors import NotFound
from isthmus.domain.ids import TemplateId
from isthmus.domain.mesh.template import Template
from isthmus.server.adapters.db.statements import AnyRow, Statements
from isthmus.server.adapters.db.tables import network_templates
from isthmus.server.records import Page

FIRST = select(network_templates).order_by(network_templates.c.id).limit(bindparam("most"))
NEXT = FIRST.where(network_templates.c.id > bindparam("after"))
NAMED = network_templates.c.name == bindparam("named")
IS_IT = network_templates.c.id == bindparam("template_id")
ONE = select(network_templates).where(IS_IT)
ONE_LOCKED = ONE.with_for_update()
ADD = insert(network_templates)
SAVE = update(network_templates).where(IS_IT)
DELETE = delete(network_templates).where(IS_IT)


class SqlTemplates:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def get(self, template_id: TemplateId) -> Template:
        return found(await self._statements.row(ONE, {"template_id": template_id}), template_id)

    async def lock(self, template_id: TemplateId) -> Template:
        return found(await self._statements.row(ONE_LOCKED, {"template_id": template_id}), template_id)

    async def page(self, page: Page, name: str | None = None) -> list[Template]:
        statement = FIRST if page.after is None else NEXT
        if name is not None:
            statement = statement.where(NAMED)
        values = {"most": page.limit, "after": page.after, "named": name}
        given = {key: value for key, value in values.items() if value is not None}
        return [template_of(row) for row in await self._statements.rows(statement, given)]

    async def add(self, template: Template) -> None:
        values = {"id": template.id, "name": template.name, "settings": dict(template.settings)}
        values |= {"created_at": template.created_at, "version": template.version}
        await self._statements.write(ADD, values)

    async def save(self, template: Template) -> None:
        values = {"name": template.name, "settings": dict(template.settings), "version": template.version}
        if not await self._statements.write(SAVE, {"template_id": template.id, **values}):
            raise not_found(template.id)

    async def delete(self, template_id: TemplateId) -> None:
        if not await self._statements.write(DELETE, {"template_id": template_id}):
            raise not_found(template_id)


def not_found(template_id: TemplateId) -> NotFound:
    return NotFound("template", str(template_id))


def found(row: AnyRow | None, template_id: TemplateId) -> Template:
    if row is None:
        raise not_found(template_id)
    return template_of(row)


def template_of(row: AnyRow) -> Template:
    return Template(row.id, row.name, row.settings, row.created_at, row.version)
