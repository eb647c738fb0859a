"""Network templates in the store: read back as written, unique by name, in pages."""

from dataclasses import replace
from uuid import UUID

import pytest

from isthmus.domain.errors import NotFound
from isthmus.domain.ids import TemplateId
from isthmus.domain.mesh.template import Template
from isthmus.server.ports import Store, TemplateNameTaken
from isthmus.server.records import Page
from tests.builders import NOON

# The store suite: the same on both databases.
pytestmark = pytest.mark.case("SEED-099")

OFFICE = Template(TemplateId(UUID(int=1)), "office", {"mtu": 1380, "cidr_pool": "10.0.0.0/8"}, NOON)
LAB = Template(TemplateId(UUID(int=2)), "lab", {}, NOON, version=7)


@pytest.fixture(autouse=True)
async def filled(store: Store) -> None:
    async with store.transaction() as tx:
        await tx.templates.add(OFFICE)
        await tx.templates.add(LAB)


async def test_templates_read_back_as_written_in_pages(store: Store) -> None:
    async with store.reading() as tx:
        assert await tx.templates.get(LAB.id) == LAB
        assert await tx.templates.page(Page(1)) == [OFFICE]
        assert await tx.templates.page(Page(1, OFFICE.id)) == [LAB]
        assert await tx.templates.page(Page(), "lab") == [LAB]
    after = replace(OFFICE, name="attic", settings={"mtu": 1400}, version=2)
    async with store.transaction() as tx:
        assert await tx.templates.lock(OFFICE.id) == OFFICE
        await tx.templates.save(after)
        await tx.templates.delete(LAB.id)
    async with store.reading() as tx:
        assert await tx.templates.page(Page()) == [after]


async def test_a_name_belongs_to_one_template(store: Store) -> None:
    with pytest.raises(TemplateNameTaken):
        async with store.transaction() as tx:
            await tx.templates.add(replace(LAB, id=TemplateId(UUID(int=3))))
    with pytest.raises(TemplateNameTaken):
        async with store.transaction() as tx:
            await tx.templates.save(replace(LAB, name="office"))


async def test_an_unknown_template_is_not_found(store: Store) -> None:
    nobody = TemplateId(UUID(int=404))
    async with store.transaction() as tx:
        for ask in (tx.templates.get, tx.templates.lock, tx.templates.delete):
            with pytest.raises(NotFound):
                await ask(nobody)
        with pytest.raises(NotFound):
            await tx.templates.save(replace(OFFICE, id=nobody))
