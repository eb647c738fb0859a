"""Networks: names, CIDRs, versions, deletion."""

import pytest

from isthmus.domain.errors import InvalidValue, NotFound, PreconditionFailed, TransitionNotAllowed
from isthmus.domain.mesh.peer import Kind
from isthmus.server.application.networks import Draft, Update
from tests.application.backend import ADA, ALL, Backend

BAD_CIDRS = {
    "10.20.0.5/24": "bits set behind its prefix",
    "fd00::/64": "is not IPv4",
    "224.0.0.0/8": "not a range that hosts may use",
    "0.0.0.0/0": "not between /8 and /30",
    "10.20.0.0/31": "not between /8 and /30",
    "10.20.0.128/25": "overlaps 10.20.0.0/24 of office",
    "10.0.0.0/8": "overlaps 10.20.0.0/24 of office",
    "10.99.0.0/255.255.255.0": "a netmask where a prefix length belongs",
    "ten": "is not a CIDR",
}


@pytest.mark.parametrize(("cidr", "problem"), BAD_CIDRS.items())
async def test_a_wrong_cidr_is_refused_and_nothing_is_made(backend: Backend, cidr: str, problem: str) -> None:
    await backend.network()
    with pytest.raises(InvalidValue, match=problem) as refused:
        await backend.network("lab", cidr)
    assert refused.value.field == "/cidr_v4"
    assert [sized.network.name for sized in await backend.networks.page(ALL)] == ["office"]


@pytest.mark.parametrize("cidr", ["fd12:3456:789a::/48", "fd00::/64", "10.9.0.0/24", "fd12:3456:789a:1::/64"])
async def test_a_wrong_ipv6_cidr_is_refused(backend: Backend, cidr: str) -> None:
    await backend.network()
    with pytest.raises(InvalidValue) as refused:
        await backend.networks.create(ADA, Draft("lab", cidr_v6=cidr))
    assert refused.value.field == "/cidr_v6"


async def test_every_network_gets_a_64_of_its_own(backend: Backend) -> None:
    made = [await backend.network(name, None) for name in ("one", "two", "three")]
    assert [str(network.cidr_v6) for network in made] == [
        "fd12:3456:789a:1::/64",
        "fd12:3456:789a:2::/64",
        "fd12:3456:789a:3::/64",
    ]


async def test_two_networks_have_two_names(backend: Backend) -> None:
    await backend.network()
    lab = await backend.network("lab", None)
    with pytest.raises(InvalidValue, match="the name of another network"):
        await backend.network("office", None)
    with pytest.raises(InvalidValue, match="the name of another network"):
        await backend.networks.update(ADA, lab.id, Update(name="office"), None)
    assert (await backend.networks.update(ADA, lab.id, Update(name="lab"), None)).network.network == lab


async def test_a_deleted_network_frees_its_cidrs_and_its_name(backend: Backend) -> None:
    office = await backend.network()
    await backend.peer(office, "one")
    with pytest.raises(TransitionNotAllowed, match="still has 1 peers"):
        await backend.networks.delete(ADA, office.id, None, force=False)
    await backend.networks.delete(ADA, office.id, None, force=True)
    with pytest.raises(NotFound):
        await backend.networks.get(office.id)
    again = await backend.network()
    assert (again.cidr_v4, again.cidr_v6) == (office.cidr_v4, office.cidr_v6)


async def test_a_change_for_another_version_is_refused(backend: Backend) -> None:
    network = await backend.network()
    changed = (await backend.networks.update(ADA, network.id, Update(mtu=1380), network.version)).network.network
    assert changed.version == network.version + 1
    with pytest.raises(PreconditionFailed):
        await backend.networks.update(ADA, network.id, Update(mtu=1400), network.version)
    with pytest.raises(PreconditionFailed):
        await backend.networks.delete(ADA, network.id, network.version, force=False)
    assert await backend.network_now(network.id) == changed


async def test_a_refused_update_changes_no_field(backend: Backend) -> None:
    network = await backend.network()
    for update in (Update(name="lab", mtu=100), Update(name="lab", cidr_v4="10.0.0.1/8"), Update(mtu=1300, domain="-")):
        with pytest.raises(InvalidValue):
            await backend.networks.update(ADA, network.id, update, None)
    assert await backend.network_now(network.id) == network


async def test_a_cidr_that_a_peer_offers_cannot_become_the_networks_own(backend: Backend) -> None:
    network = await backend.network()
    await backend.peer(network, "site", additional_allowed_ips=["192.168.50.0/24"])
    with pytest.raises(InvalidValue, match=r"overlaps 192\.168\.50\.0/24, which site offers"):
        await backend.networks.update(ADA, network.id, Update(cidr_v4="192.168.0.0/16"), None)


async def test_a_renumbering_that_would_break_static_configs_needs_force_even_when_it_drops_ipv4(
    backend: Backend,
) -> None:
    network = await backend.network()
    phone = await backend.peer(network, "phone", Kind.STATIC)
    with pytest.raises(TransitionNotAllowed):
        await backend.networks.update(ADA, network.id, Update(cidr_v4=None), None)
    updated = await backend.networks.update(ADA, network.id, Update(cidr_v4=None, force=True), None)
    assert [peer.id for peer in updated.reissue] == [phone.id]


async def test_a_suggested_network_is_free_and_large_enough(backend: Backend) -> None:
    await backend.network("first", "10.0.0.0/24")
    prefix, cidr = await backend.networks.suggest(200)
    assert (prefix, str(cidr)) == (24, "10.0.1.0/24")
    assert (await backend.network("second", str(cidr))).cidr_v4 == cidr
