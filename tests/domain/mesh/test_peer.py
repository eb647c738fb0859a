"""What a peer may be made of."""

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.addresses import Endpoint, overlap, sort_key
from isthmus.domain.errors import InvalidValue, TransitionNotAllowed
from isthmus.domain.mesh import peer as rules
from isthmus.domain.mesh.peer import Kind, check_flags, check_kind_has_what_it_needs, check_may_leave, parse_offers
from tests.builders import a_jump, a_key, a_network, a_peer, a_static
from tests.domain.strategies import few, hostile_text, ip_networks

ENDPOINT = Endpoint("198.51.100.7", 51_820)
OFFICE = a_network()


def test_static_peers_alone_have_no_agent() -> None:
    assert [kind for kind in Kind if not kind.has_agent] == [Kind.STATIC]


def test_jump_peers_alone_are_jump_peers() -> None:
    assert [peer.is_jump for peer in (a_jump(), a_peer(), a_static())] == [True, False, False]


class TestKind:
    @pytest.mark.parametrize(
        ("kind", "endpoint", "key"),
        [
            (Kind.JUMP, ENDPOINT, None),
            (Kind.DYNAMIC, None, None),
            (Kind.DYNAMIC, ENDPOINT, None),
            (Kind.STATIC, None, None),
            (Kind.STATIC, ENDPOINT, a_key(1)),
        ],
    )
    def test_has_what_it_needs(self, kind: Kind, endpoint: Endpoint | None, key: Any) -> None:
        check_kind_has_what_it_needs(kind, endpoint, key)

    def test_a_jump_peer_needs_an_endpoint(self) -> None:
        with pytest.raises(InvalidValue, match="is needed") as caught:
            check_kind_has_what_it_needs(Kind.JUMP, None, None)
        assert caught.value.field == "/endpoint"

    @pytest.mark.parametrize("kind", [Kind.JUMP, Kind.DYNAMIC])
    def test_a_peer_with_an_agent_brings_no_key(self, kind: Kind) -> None:
        with pytest.raises(InvalidValue, match="static") as caught:
            check_kind_has_what_it_needs(kind, ENDPOINT, a_key(1))
        assert caught.value.field == "/public_key"


class TestFlags:
    def test_a_jump_peer_has_none(self) -> None:
        with pytest.raises(InvalidValue, match="isolated"):
            check_flags(a_jump(isolated=True))
        with pytest.raises(InvalidValue, match="full_encapsulation"):
            check_flags(a_jump(full_encapsulation=True))

    def test_other_peers_have_any(self) -> None:
        check_flags(a_jump())
        check_flags(a_peer(isolated=True, full_encapsulation=True))
        check_flags(a_static(isolated=True, full_encapsulation=True))

    def test_nobody_reaches_the_ranges_behind_an_isolated_peer(self) -> None:
        ranges = (ip_network("192.168.50.0/24"),)
        check_flags(a_peer(additional_allowed_ips=ranges))
        with pytest.raises(InvalidValue, match="isolated"):
            check_flags(a_peer(isolated=True, additional_allowed_ips=ranges))


class TestTexts:
    def test_a_name_is_a_label(self) -> None:
        assert rules.parse_name("gw") == "gw"
        with pytest.raises(InvalidValue):
            rules.parse_name("gw.office")

    @pytest.mark.parametrize("text", ["a", "Zoë, 2nd floor", "x" * 120])
    def test_free_text_is_one_printable_line(self, text: str) -> None:
        assert rules.parse_text(text, "/owner") == text

    @pytest.mark.parametrize("text", ["", "x" * 121, "a\nb", "a\tb", "a\x00", "\u202egpj", "a\u2028b", "\ud800"])
    def test_other_text_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidValue, match="one line") as caught:
            rules.parse_text(text, "/owner")
        assert caught.value.field == "/owner"

    def test_labels_are_read_only(self) -> None:
        labels = rules.parse_labels({"site": "Zürich", "rack": "7"})
        assert labels == {"site": "Zürich", "rack": "7"}
        with pytest.raises(TypeError):
            labels["site"] = "Bern"  # type: ignore[index]

    def test_up_to_32_labels_are_read(self) -> None:
        labels = {f"key-{number}": "value" for number in range(32)}
        assert rules.parse_labels(labels) == labels
        with pytest.raises(InvalidValue, match="32"):
            rules.parse_labels(labels | {"one-more": "value"})

    @pytest.mark.parametrize(
        ("labels", "field"),
        [
            ({"Site": "x"}, "/labels"),
            ({"": "x"}, "/labels"),
            ({"a/b": "x"}, "/labels"),
            ({"site": "a\nb"}, "/labels/site"),
        ],
    )
    def test_labels_with_other_keys_or_values_are_refused(self, labels: Mapping[str, str], field: str) -> None:
        with pytest.raises(InvalidValue) as caught:
            rules.parse_labels(labels)
        assert caught.value.field == field


class TestOffers:
    def test_are_sorted_so_that_equal_sets_are_equal(self) -> None:
        texts = ["fdaa::/48", "192.168.60.0/24", "192.168.50.0/24"]
        expected = tuple(map(ip_network, ["192.168.50.0/24", "192.168.60.0/24", "fdaa::/48"]))
        assert parse_offers(texts, OFFICE) == parse_offers(reversed(texts), OFFICE) == expected

    @pytest.mark.parametrize("text", ["0.0.0.0/0", "::/0"])
    def test_the_default_route_is_refused_with_the_flag_that_does_it(self, text: str) -> None:
        with pytest.raises(InvalidValue, match="default route") as caught:
            parse_offers([text], OFFICE)
        assert "full_encapsulation" in (caught.value.hint or "")

    @pytest.mark.parametrize(
        "text",
        [
            "0.0.0.0/1",
            "128.0.0.0/1",
            "126.0.0.0/7",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "224.0.0.0/4",
            "fe80::/64",
            "ff00::/8",
        ],
    )
    def test_ranges_that_hold_no_routable_hosts_are_refused(self, text: str) -> None:
        with pytest.raises(InvalidValue, match="not a range that can be routed"):
            parse_offers([text], a_network(cidr_v4=None))

    @pytest.mark.parametrize("text", ["10.20.0.0/24", "10.20.0.7/32", "10.0.0.0/8", "fd12:3456:789a::/48"])
    def test_ranges_of_the_network_itself_are_refused(self, text: str) -> None:
        with pytest.raises(InvalidValue, match="overlaps"):
            parse_offers([text], OFFICE)

    def test_a_refusal_points_at_the_range_in_the_order_of_the_request(self) -> None:
        with pytest.raises(InvalidValue, match=r"192\.168\.0\.0/24 overlaps 192\.168\.0\.0/16") as caught:
            parse_offers(["fdaa::/48", "192.168.0.0/16", "192.168.0.0/24"], OFFICE)
        assert caught.value.field == "/additional_allowed_ips/2"

    def test_64_are_read_and_more_refused_before_the_rest_is_looked_at(self) -> None:
        texts = [f"192.168.{number}.0/24" for number in range(64)]
        assert len(parse_offers(texts, OFFICE)) == 64
        with pytest.raises(InvalidValue, match="more than 64"):
            parse_offers([*texts, "rubbish"], OFFICE)

    @few
    @given(st.lists(hostile_text | ip_networks().map(str), max_size=4))
    def test_whatever_is_accepted_is_disjoint_sorted_and_outside_the_network(self, texts: list[str]) -> None:
        try:
            offers = parse_offers(texts, OFFICE)
        except InvalidValue:
            return
        assert len(offers) == len(texts)
        assert list(offers) == sorted(offers, key=sort_key)
        everything = (*OFFICE.cidrs, *offers)
        assert not any(overlap(one, other) for i, one in enumerate(everything) for other in everything[:i])

    def test_a_range_that_another_peer_offers_is_refused_naming_it(self) -> None:
        others = [("site", ip_network("192.168.0.0/16")), ("lab", ip_network("fdaa::/48"))]
        rules.check_offers_are_free([ip_network("192.169.0.0/24"), ip_network("fdab::/48")], others)
        with pytest.raises(InvalidValue) as caught:
            rules.check_offers_are_free([ip_network("172.16.0.0/16"), ip_network("192.168.7.0/24")], iter(others))
        assert caught.value.field == "/additional_allowed_ips"
        assert caught.value.problem == "192.168.7.0/24 overlaps 192.168.0.0/16, which site offers"

    def test_an_isolated_peer_makes_none(self) -> None:
        ranges = (ip_network("192.168.7.0/24"),)
        assert a_peer(additional_allowed_ips=ranges).offers == ranges
        assert a_peer(additional_allowed_ips=ranges, isolated=True).offers == ()


class TestLeaving:
    def test_the_last_jump_peer_that_others_need_is_kept(self) -> None:
        with pytest.raises(TransitionNotAllowed, match="jump-1: is the last jump peer and 3 other peers"):
            check_may_leave(a_jump(), other_jumps=0, other_peers=3, force=False)

    def test_it_goes_by_force_with_a_successor_or_when_nobody_is_left(self) -> None:
        check_may_leave(a_jump(), other_jumps=0, other_peers=3, force=True)
        check_may_leave(a_jump(), other_jumps=1, other_peers=3, force=False)
        check_may_leave(a_jump(), other_jumps=0, other_peers=0, force=False)

    @pytest.mark.parametrize("peer", [a_peer(), a_static()])
    def test_other_peers_always_go(self, peer: rules.Peer) -> None:
        check_may_leave(peer, other_jumps=0, other_peers=3, force=False)
