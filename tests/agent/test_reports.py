"""Reports: what changed and only that, the urgent first, and nobody starves."""

from dataclasses import replace

from isthmus.agent.reports import Reports
from isthmus.domain.addresses import Endpoint
from isthmus.protocol.agent import MAX_FLOWS, MAX_PATHS, MAX_REPORTS, FlowReport, Host, PathReport
from isthmus.wireguard.keys import PublicKey
from isthmus.wireguard.state import InterfaceState, PeerState
from tests.agent.builders import a_key

HOME = Endpoint("203.0.113.5", 4242)
AWAY = Endpoint("198.51.100.9", 4242)


def key(number: int) -> PublicKey:
    return PublicKey.parse(a_key(number))


def interface(*peers: PeerState) -> InterfaceState:
    return InterfaceState(None, 0, 0, {peer.public_key: peer for peer in peers})


def test_an_unchanged_neighbour_is_reported_once() -> None:
    reports, state = Reports(), interface(PeerState(key(1), HOME, latest_handshake=5, rx=1, tx=2))
    (report,) = reports.draw(state)
    assert (report.endpoint, report.latest_handshake, report.rx, report.tx) == (str(HOME), 5, 1, 2)
    assert reports.draw(state) == (report,)
    reports.accepted()
    assert reports.draw(state) == ()


def test_counters_come_with_the_next_handshake_for_every_keepalive_changes_them() -> None:
    reports, state = Reports(), interface(PeerState(key(1), HOME, latest_handshake=5, rx=1))
    reports.draw(state)
    reports.accepted()
    assert reports.draw(interface(replace(state.peers[key(1)], rx=33))) == ()
    (report,) = reports.draw(interface(replace(state.peers[key(1)], rx=99, latest_handshake=125)))
    assert (report.rx, report.latest_handshake) == (99, 125)


def test_the_host_is_told_once_a_session_and_when_it_changed() -> None:
    reports, host = Reports(), Host("laptop", "machine", "boot", "1", 1, 2)
    assert reports.draw_host(host) == host
    assert reports.draw_host(host) == host, "nobody has acknowledged it yet"
    reports.accepted()
    assert reports.draw_host(host) is None
    renamed = Host("desk", "machine", "boot", "1", 1, 2)
    assert reports.draw_host(renamed) == renamed
    reports.forget()
    assert reports.draw_host(host) == host


def test_a_neighbour_of_which_nothing_is_known_is_not_reported() -> None:
    assert Reports().draw(interface(PeerState(key(1)))) == ()


def test_a_new_session_is_told_everything_again() -> None:
    reports, state = Reports(), interface(PeerState(key(1), HOME, latest_handshake=5))
    reports.draw(state)
    reports.accepted()
    reports.forget()
    assert len(reports.draw(state)) == 1


def test_a_new_endpoint_is_urgent_until_the_server_knows_it() -> None:
    reports, state = Reports(), interface(PeerState(key(1), HOME, latest_handshake=5))
    assert reports.is_urgent(state)
    reports.draw(state)
    reports.accepted()
    assert not reports.is_urgent(state)
    moved = interface(replace(state.peers[key(1)], endpoint=AWAY))
    assert reports.is_urgent(moved)
    assert not reports.is_urgent(interface(replace(state.peers[key(1)], rx=99)))


def test_an_endpoint_that_only_the_config_knows_is_not_urgent() -> None:
    assert not Reports().is_urgent(interface(PeerState(key(1), HOME)))


def test_all_of_many_changes_are_reported_in_turn_the_urgent_first() -> None:
    reports = Reports()
    peers = [PeerState(key(number), HOME, latest_handshake=1, rx=1) for number in range(1, MAX_REPORTS + 45)]
    seen: list[str] = []
    for _ in range(2):
        drawn = reports.draw(interface(*peers))
        assert len(drawn) <= MAX_REPORTS
        seen += [report.public_key for report in drawn]
        reports.accepted()
    assert sorted(seen) == sorted(str(peer.public_key) for peer in peers)
    # Everybody has a new handshake all the time; the one that moved does not wait for its turn, all others do.
    busy = [replace(peer, latest_handshake=2) for peer in peers]
    busy[200] = replace(busy[200], endpoint=AWAY)
    first = [report.public_key for report in reports.draw(interface(*busy))]
    assert first[0] == str(busy[200].public_key)
    reports.accepted()
    still_busy = interface(*(replace(peer, latest_handshake=3) for peer in busy))
    second = [report.public_key for report in reports.draw(still_busy)]
    left_out = {str(peer.public_key) for peer in peers} - set(first)
    assert set(second[: len(left_out)]) == left_out


def test_where_the_host_is_found_is_told_once_a_conversation_and_when_it_changed() -> None:
    reports = Reports()
    assert reports.draw_candidates((str(HOME),)) == (str(HOME),)
    reports.accepted()
    assert reports.draw_candidates((str(HOME),)) is None
    assert reports.draw_candidates(()) == (), "that it is found nowhere is news too"
    reports.accepted()
    assert reports.draw_candidates(()) is None
    reports.forget()
    assert reports.draw_candidates(()) == ()


def test_a_way_is_told_when_packets_move_and_not_for_noise_in_its_round_trip() -> None:
    reports, direct = Reports(), PathReport(a_key(1), since=100, round_trip=20_000)
    assert reports.has_moved([direct])
    assert reports.draw_paths([direct]) == (direct,)
    reports.accepted()
    assert not reports.has_moved([direct])
    assert reports.draw_paths([PathReport(a_key(1), 100, "", 23_000)]) == ()
    slower = PathReport(a_key(1), 100, "", 30_000)
    assert not reports.has_moved([slower])
    assert reports.draw_paths([slower]) == (slower,)
    closed = PathReport(a_key(1), 160, a_key(9))
    assert reports.has_moved([closed])
    assert reports.draw_paths([closed]) == (closed,)


def test_a_heartbeat_tells_of_so_many_ways_and_of_moves_before_round_trips() -> None:
    reports = Reports()
    known = [PathReport(a_key(number), 100, "", 5_000) for number in range(20)]
    reports.draw_paths(known)
    reports.accepted()
    slower = [PathReport(a_key(number), 100, "", 50_000) for number in range(20)]
    moved = [PathReport(a_key(number), 100) for number in range(100, 100 + MAX_PATHS - 4)]
    drawn = reports.draw_paths([*slower, *moved])
    assert len(drawn) == MAX_PATHS
    assert set(moved) <= set(drawn)
    reports.accepted()
    assert len(reports.draw_paths([*slower, *moved])) == 16


def test_flows_are_reported_when_something_has_passed_since_and_none_is_left_out_for_ever() -> None:
    reports = Reports()
    flows = [FlowReport("b-1", f"f-{number:03}", 1, 100) for number in range(MAX_FLOWS + 2)]
    first = reports.draw_flows(flows)
    assert len(first) == MAX_FLOWS
    assert reports.draw_flows(flows) == first, "nobody has acknowledged them yet"
    reports.accepted()
    moved = [FlowReport("b-1", "f-000", 2, 200), *flows[1:]]
    # Those that were never told go first.
    assert [each.flow for each in reports.draw_flows(moved)] == ["f-256", "f-257", "f-000"]
    reports.accepted()
    assert reports.draw_flows(moved) == ()
    # Gone and back: its counter has begun anew.
    assert reports.draw_flows(moved[1:]) == ()
    assert reports.draw_flows(moved) == (moved[0],)
    reports.forget()
    assert len(reports.draw_flows(moved[:5])) == 5
