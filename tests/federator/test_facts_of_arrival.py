"""On which network a call arrives and from where: what the ingress proves counts, and nothing else that is said."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from isthmus.federator.settings import SettingsRefused, load
from tests.federator.stage import SOURCE, Answer, Stage

OFFICE, LAB = "8d7c1a52-7f65-4d43-9c1c-0b7f7f4f2c11", "0d3f5a0e-3a57-4b61-8f0f-3f1a5f1d7d11"
LISTENERS = {"wan": "wan", "vip6-office": OFFICE, "vip6-lab": LAB}
PROXY, SECOND = "192.0.2.80", "2001:db8::80"


@pytest.fixture
def overlays(stage: Stage) -> Stage:
    stage.relist(stage.a.entry(), stage.c.entry(), listeners=LISTENERS)
    return stage


@pytest.fixture(scope="module")
def behind_proxies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    stage = Stage(tmp_path_factory.mktemp("proxied"), {"trusted_proxies": f"{PROXY}, {SECOND}"})
    stage.start()
    stage.relist(stage.a.entry(), stage.c.entry(), listeners=LISTENERS)
    yield stage
    stage.stop()


def arrived(stage: Stage, answer: Answer) -> tuple[str, str, str]:
    assert answer.status == 200, answer
    context = stage.around.components["directory"].calls[-1].context
    return context.network, context.source, context.assurance


def test_the_network_is_that_of_the_listener(overlays: Stage) -> None:
    for listener, network in (("vip6-office", OFFICE), ("vip6-lab", LAB)):
        answer = overlays.ask(overlays.a, **overlays.listener(listener), X_Sdwan_Network=network)
        assert arrived(overlays, answer) == (network, SOURCE, "cryptokey")
    assert arrived(overlays, overlays.ask(overlays.a)) == ("wan", SOURCE, "tcp")


@pytest.mark.parametrize(
    ("listener", "network"),
    [
        ("vip6-office", LAB), ("vip6-office", "wan"), ("wan", OFFICE), ("vip6-gone", OFFICE), ("vip6-office", None),
        ("vip6-office", OFFICE.upper()),
    ],
)  # fmt: skip
def test_a_listener_says_no_other_network_than_its_own(overlays: Stage, listener: str, network: str | None) -> None:
    answer = overlays.ask(overlays.a, **overlays.listener(listener), X_Sdwan_Network=network)
    assert (answer.status, answer.code) == (403, "ingress_untrusted")
    row = overlays.row(answer)
    assert (row.reason, row.facts["listener"]) == ("listener_network", listener)
    assert not overlays.around.components["directory"].calls


def test_the_secret_of_one_listener_is_none_of_another(overlays: Stage) -> None:
    secret = overlays.listener("wan")["Isthmus_Ingress_Secret"]
    more = {"Isthmus_Ingress_Listener": "vip6-office", "Isthmus_Ingress_Secret": secret, "X_Sdwan_Network": OFFICE}
    answer = overlays.ask(overlays.a, **more)
    assert (answer.status, answer.code) == (403, "ingress_untrusted")


@pytest.mark.parametrize("said", ["192.0.2.1, 198.51.100.9", "", "somebody", "192.0.2.1,", None, "fe80::1%eth0, x"])
def test_the_source_is_one_address_where_nothing_stands_before_the_ingress(stage: Stage, said: str | None) -> None:
    answer = stage.ask(stage.a, X_Forwarded_For=said)
    assert (answer.status, answer.code) == (400, "malformed_request")
    assert stage.row(answer).reason == "source"


def test_a_mapped_address_is_the_address_that_it_maps(stage: Stage) -> None:
    assert arrived(stage, stage.ask(stage.a, X_Forwarded_For="::ffff:192.0.2.9"))[1] == "192.0.2.9"
    assert arrived(stage, stage.ask(stage.a, X_Forwarded_For="2001:DB8:0::9"))[1] == "2001:db8::9"


@pytest.mark.case("SEED-135")
@pytest.mark.parametrize(
    ("chain", "source"),
    [
        (f"198.51.100.9, {PROXY}", "198.51.100.9"),
        (f"10.0.0.1, 198.51.100.9, {PROXY}", "198.51.100.9"),
        (f"198.51.100.9, {SECOND}, {PROXY}", "198.51.100.9"),
        (PROXY, PROXY),
        ("198.51.100.9", "198.51.100.9"),
    ],
)
def test_behind_declared_load_balancers_the_hop_before_them_counts(
    behind_proxies: Stage, chain: str, source: str
) -> None:
    assert arrived(behind_proxies, behind_proxies.ask(behind_proxies.a, X_Forwarded_For=chain))[1] == source


@pytest.mark.case("SEED-135")
def test_a_chain_that_comes_another_way_does_not_count(behind_proxies: Stage) -> None:
    """Neither from a host that is no declared one, nor over an overlay, where nobody stands before the ingress."""
    stage = behind_proxies
    foreign = stage.ask(stage.a, X_Forwarded_For=f"10.0.0.1, {PROXY}, 198.51.100.9")
    inside = stage.ask(
        stage.a, **stage.listener("vip6-office"), X_Sdwan_Network=OFFICE, X_Forwarded_For=f"10.0.0.1, {PROXY}"
    )
    for answer in (foreign, inside):
        assert (answer.code, stage.row(answer).reason) == ("malformed_request", "source")


@pytest.mark.case("SEED-135")
@pytest.mark.parametrize("proxies", ["fd12:3456:789a::/48", "10.0.0.0/8", "192.0.2.80/32", "0.0.0.0/0", "balancer"])
def test_a_range_of_proxies_refuses_the_start(tmp_path: Path, proxies: str) -> None:
    """One that covers an overlay would let each of its peers say who calls."""
    own = {"ISTHMUS_DATA_DIR": str(tmp_path)}
    with pytest.raises(SettingsRefused, match=r"trusted_proxies: .* never a range"):
        load(None, {}, own | {"ISTHMUS_FEDERATOR_TRUSTED_PROXIES": f"{PROXY},{proxies}"})
    settings = load(None, {}, own | {"ISTHMUS_FEDERATOR_TRUSTED_PROXIES": f"{PROXY},{SECOND}"})
    assert {str(each) for each in settings.proxies} == {PROXY, SECOND}
