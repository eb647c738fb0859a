"""Network templates: checked like networks, copied into new ones, unique by name."""

from typing import Any

import pytest

from isthmus.domain.errors import InvalidValue, NotFound, PreconditionFailed
from isthmus.domain.mesh.template import Sources
from isthmus.server.application.networks import Draft
from tests.application.backend import ADA, ALL, BOTH_DATABASES, Backend

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "an mtu that IPv6 does not allow": ({"mtu": 1000}, "/mtu"),
    "a port that is none": ({"listen_port": 70_000}, "/listen_port"),
    "a server for names that is none": ({"dns_upstreams": ["one"]}, "/dns_upstreams/0"),
    "keys for a minute": ({"key_max_age": 60}, "/key_max_age"),
    "a domain with a space": ({"domain_suffix": "a b"}, "/domain_suffix"),
    "a prefix wider than its pool": ({"cidr_prefix": 12, "cidr_pool": "10.0.0.0/16"}, "/cidr_prefix"),
    "a prefix without hosts": ({"cidr_prefix": 31}, "/cidr_prefix"),
    "a pool of the other family": ({"cidr_prefix": 24, "cidr_pool": "fd00::/48"}, "/cidr_pool"),
    "a pool and no size": ({"cidr_pool": "10.0.0.0/16"}, "/cidr_prefix"),
}


@pytest.mark.parametrize(("settings", "field"), WRONG.values(), ids=WRONG)
async def test_a_template_no_network_could_be_made_with_is_refused(
    backend: Backend, settings: dict[str, Any], field: str
) -> None:
    good = await backend.templates.create(ADA, "good", {"mtu": 1400})
    for attempt in (
        backend.templates.create(ADA, "bad", settings),
        backend.templates.update(ADA, good.id, settings, None),
    ):
        with pytest.raises(InvalidValue) as refused:
            await attempt
        assert refused.value.field == field
    assert await backend.templates.page(ALL) == [good]


@BOTH_DATABASES
async def test_templates_are_kept_changed_and_deleted(backend: Backend) -> None:
    office = await backend.templates.create(ADA, "office", {"mtu": 1380, "keepalive": None})
    assert dict(office.settings) == {"mtu": 1380}
    lab = await backend.templates.create(ADA, "lab", {})
    assert await backend.templates.page(ALL) == [office, lab]
    assert await backend.templates.page(ALL, "lab") == [lab]
    for attempt in (
        backend.templates.create(ADA, "office", {}),
        backend.templates.update(ADA, lab.id, {"name": "office"}, None),
    ):
        with pytest.raises(InvalidValue, match="the name of another template"):
            await attempt
    changed = await backend.templates.update(ADA, office.id, {"mtu": None, "keepalive": 0}, 1)
    assert (dict(changed.settings), changed.version) == ({"keepalive": 0}, 2)
    assert await backend.templates.get(office.id) == changed
    assert (await backend.templates.update(ADA, office.id, {"keepalive": 0}, 2)).version == 2
    for stale in (
        backend.templates.update(ADA, office.id, {"mtu": 1400}, 1),
        backend.templates.delete(ADA, office.id, 1),
    ):
        with pytest.raises(PreconditionFailed):
            await stale
    await backend.templates.delete(ADA, office.id, 2)
    with pytest.raises(NotFound):
        await backend.templates.get(office.id)


async def test_networks_of_a_template_get_free_cidrs_of_its_pool_until_there_is_none(backend: Backend) -> None:
    await backend.network("taken", "10.9.0.0/25")
    template = await backend.templates.create(
        ADA, "site", {"cidr_prefix": 24, "cidr_pool": "10.9.0.0/22", "domain_suffix": "example.com"}
    )
    assert template.sources != Sources()
    made = [
        (await backend.networks.create(ADA, Draft(f"site-{number}", sources=template.sources))).network
        for number in range(3)
    ]
    assert [str(network.cidr_v4) for network in made] == ["10.9.1.0/24", "10.9.2.0/24", "10.9.3.0/24"]
    assert made[0].domain == "site-0.example.com"
    with pytest.raises(InvalidValue, match="no /24 is free"):
        await backend.networks.create(ADA, Draft("more", sources=template.sources))
    own = await backend.networks.create(ADA, Draft("own", "10.77.0.0/24", domain="x.test", sources=template.sources))
    assert (str(own.network.cidr_v4), own.network.domain) == ("10.77.0.0/24", "x.test")
