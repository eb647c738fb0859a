"""What proves that two hosts share an identity, and what does not."""

from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.ids import PeerId
from isthmus.domain.mesh.detection import MOST_OBSERVERS, MOST_STAYS, Observer, Watch, place_of
from isthmus.domain.mesh.incident import Changing, SessionConflict, SharedConfig, SuspiciousActivity, Type
from isthmus.domain.mesh.limits import Limits
from tests.builders import a_peer
from tests.domain.mesh.watching import CAFE, GW, GW_2, HOME, OFFICE, TRAIN, Scene, a_process

OWN, COPY = a_process(), a_process("thief", "boot-9", 1_772_000_500)


class TestSessions:
    def test_a_process_that_speaks_again_after_another_is_a_conflict_with_both_sources(self) -> None:
        scene = Scene()
        scene.beats(HOME, OWN, 60)
        scene.beat(CAFE, COPY)
        assert scene.findings == []
        scene.wait(5)
        scene.beat(HOME, OWN)
        (found,) = scene.findings
        assert (found.type, found.blocks) == (Type.SESSION_CONFLICT, True)
        assert isinstance(found.evidence, SessionConflict)
        assert [(voice.source, voice.process) for voice in found.evidence.voices] == [
            (HOME, OWN),
            (CAFE, COPY),
            (HOME, OWN),
        ]

    def test_two_copies_behind_one_address_are_a_conflict_too(self) -> None:
        scene = Scene()
        for process in (OWN, COPY, OWN):
            scene.beat(HOME, process)
            scene.wait(1)
        assert scene.types == {"session_conflict"}

    def test_a_process_that_moves_while_its_former_address_falls_silent_is_none(self) -> None:
        scene = Scene()
        scene.beats(HOME, OWN, 60)
        scene.beats(CAFE, OWN, 600)
        assert scene.findings == []

    def test_a_process_that_moves_back_is_none(self) -> None:
        scene = Scene()
        for source in (HOME, TRAIN, HOME):
            scene.beats(source, OWN, 45)
        assert scene.findings == []

    @pytest.mark.parametrize("after", [a_process(boot="boot-2", started_at=1), a_process(started_at=1_772_000_900)])
    def test_a_reboot_and_a_restart_are_none_whatever_the_clock_says(self, after: object) -> None:
        scene = Scene()
        scene.beats(HOME, OWN, 60)
        scene.beats(HOME, after, 600)  # type: ignore[arg-type]
        assert scene.findings == []

    def test_a_process_that_returns_after_the_window_is_a_machine_that_was_put_back(self) -> None:
        scene = Scene()
        scene.beat(HOME, OWN)
        scene.beat(HOME, COPY)
        scene.wait(301)
        scene.beat(HOME, OWN)
        assert scene.findings == []

    def test_one_who_does_not_say_who_it_is_is_known_by_its_address(self) -> None:
        honest, thieves = Scene(), Scene()
        for source, process in ((HOME, OWN), (HOME, None), (HOME, OWN), ("2001:db8::7", None), (HOME, OWN)):
            honest.beat(source, process)
        for source in (HOME, CAFE, HOME):
            thieves.beat(source, None)
        assert honest.findings == []
        assert thieves.types == {"session_conflict"}

    def test_addresses_of_one_ipv6_network_and_of_the_other_family_are_one_place(self) -> None:
        scene = Scene()
        for number in range(60):
            scene.beat(f"2001:db8:1:2::{number:x}", OWN)
            scene.beat(HOME, OWN)
            scene.wait(3)
        assert scene.findings == []
        assert place_of("2001:db8:1:2::1") == place_of("2001:db8:1:2:ffff::") == (6, "2001:db8:1:2::/64")
        assert place_of("::ffff:203.0.113.5") == place_of(HOME)


class TestSightings:
    def test_a_static_peer_that_returns_opens_an_incident_that_does_not_block(self) -> None:
        scene = Scene()
        for endpoint in (f"{HOME}:1", f"{CAFE}:2", f"{HOME}:3"):
            scene.see(endpoint)
            scene.wait(60)
        (found,) = scene.findings
        assert (found.type, found.blocks) == (Type.SHARED_CONFIG, False)
        assert isinstance(found.evidence, SharedConfig)
        (observation,) = found.evidence.observations
        assert (observation.observer, observation.name) == (GW.id, "gw")
        assert [sighting.place for sighting in observation.sightings] == [f"{HOME}:1", f"{CAFE}:2", f"{HOME}:3"]

    def test_a_second_observer_confirms_it(self) -> None:
        scene = Scene()
        for place in (HOME, CAFE, HOME):
            scene.see(f"{place}:1", GW)
            scene.see(f"{place}:1", GW_2)
        assert [finding.blocks for finding in scene.findings] == [False, True]
        evidence = scene.findings[-1].evidence
        assert isinstance(evidence, SharedConfig)
        assert {observation.name for observation in evidence.observations} == {"gw", "gw-2"}

    def test_two_processes_at_the_two_places_confirm_it(self) -> None:
        scene = Scene()
        scene.beat(HOME, OWN)
        scene.see(f"{HOME}:1")
        scene.beat(CAFE, COPY)
        scene.see(f"{CAFE}:1")
        scene.wait(10)
        scene.see(f"{HOME}:1")
        (found,) = scene.findings
        assert found.blocks
        assert isinstance(found.evidence, SharedConfig)
        assert {voice.source for voice in found.evidence.voices} == {HOME, CAFE}

    def test_an_agent_that_went_there_and_back_itself_explains_it(self) -> None:
        scene = Scene()
        for place in (HOME, CAFE, HOME):
            scene.see(f"{place}:1")
            scene.beats(place, OWN, 45)
        assert scene.findings == []

    @pytest.mark.parametrize("seconds", [299, 301])
    def test_a_return_counts_within_the_window(self, seconds: float) -> None:
        scene = Scene()
        scene.see(f"{HOME}:1")
        scene.see(f"{CAFE}:1")
        scene.wait(seconds)
        scene.see(f"{HOME}:1")
        assert bool(scene.findings) == (seconds < 300)

    def test_a_port_that_changes_is_no_return(self) -> None:
        scene = Scene()
        for port in (1, 2, 1, 2, 1):
            scene.see(f"{HOME}:{port}")
            scene.wait(5)
        assert scene.findings == []

    def test_a_liar_who_knows_where_the_victims_agent_is_gets_nobody_blocked(self) -> None:
        scene = Scene()
        for number in range(40):
            scene.beat(HOME, OWN)
            scene.see(f"{HOME if number % 2 else OFFICE}:4000")
            scene.wait(15)
        assert scene.types == {"shared_config", "suspicious_activity"}
        assert not scene.blocks


def of_limit(count: int) -> Limits:
    return Limits(address_changes=count, port_changes=count)


class TestLimits:
    @pytest.mark.parametrize("changes", [9, 10])
    def test_ten_addresses_heard_in_a_day_block_and_nine_are_nothing(self, changes: int) -> None:
        scene = Scene()
        for number in range(changes + 1):
            scene.beat(f"198.51.100.{number + 1}", OWN)
            scene.wait(7200)
        assert [finding.type for finding in scene.findings] == [Type.SUSPICIOUS_ACTIVITY] * (changes == 10)
        if scene.findings:
            evidence = scene.findings[0].evidence
            assert isinstance(evidence, SuspiciousActivity)
            assert scene.blocks
            assert evidence.changing is Changing.ADDRESS
            (observation,) = evidence.observations
            assert [sighting.place for sighting in observation.sightings] == [f"198.51.100.{n + 2}" for n in range(10)]

    def test_ten_addresses_in_more_than_a_day_are_nothing(self) -> None:
        scene = Scene()
        for number in range(30):
            scene.beat(f"198.51.100.{number + 1}", OWN)
            scene.wait(86_400 / 8.5)
        assert scene.findings == []

    def test_ten_addresses_that_one_observer_saw_do_not_block_until_another_saw_them(self) -> None:
        scene = Scene()
        for number in range(11):
            scene.see(f"198.51.100.{number + 1}:1", GW)
            scene.see(f"198.51.100.{number + 1}:1", GW_2)
            scene.wait(600)
        assert [finding.blocks for finding in scene.findings] == [False, True]

    @pytest.mark.parametrize("changes", [5, 6])
    def test_six_ports_of_one_address_in_five_minutes_are_reported_and_five_are_not(self, changes: int) -> None:
        scene = Scene()
        for number in range(changes + 1):
            scene.see(f"{HOME}:{number + 1}")
            scene.wait(40)
        assert [finding.type for finding in scene.findings] == [Type.SUSPICIOUS_ACTIVITY] * (changes == 6)
        assert not scene.blocks

    def test_ports_count_for_one_address_at_a_time(self) -> None:
        scene = Scene(Limits(return_window=30))
        for number in range(12):
            scene.see(f"{(HOME, CAFE, TRAIN)[number // 4]}:{number}")
            scene.wait(31)
        assert scene.findings == []

    def test_a_network_sets_its_own_limits(self) -> None:
        scene = Scene(of_limit(3))
        for number in range(4):
            scene.beat(f"198.51.100.{number + 1}", OWN)
        assert scene.blocks


SPEAKERS = st.tuples(
    st.sampled_from([None, HOME, CAFE, TRAIN, "2001:db8::1", "not an address"]),
    st.sampled_from([None, OWN, COPY, a_process(boot="boot-2")]),
)
STEPS = st.lists(st.tuples(st.floats(0, 400), SPEAKERS, st.sampled_from([f"{HOME}:1", f"{CAFE}:1", "[::1]:5", "x"])))


@given(STEPS)
def test_whatever_is_said_one_process_alone_is_never_in_conflict_and_memory_stays_small(
    steps: list[tuple[float, tuple[str | None, object], str]],
) -> None:
    alone, mixed = Scene(), Scene()
    for pause, (source, process), endpoint in steps:
        for scene, who in ((alone, OWN), (mixed, process)):
            scene.wait(pause)
            scene.beat(source, who)  # type: ignore[arg-type]
            scene.see(endpoint)
    assert "session_conflict" not in alone.types
    assert all(finding.evidence.voices for finding in mixed.findings if isinstance(finding.evidence, SessionConflict))
    assert len(mixed.watched._stays) <= MOST_STAYS


def test_memory_is_bounded_for_each_peer_and_in_total() -> None:
    scene = Scene(Limits(return_window=30))
    for number in range(500):
        scene.see(f"198.51.{number % 200}.7:{number + 1}", Observer(PeerId(UUID(int=number)), f"gw-{number}"))
        scene.see(f"203.0.{number % 200}.7:{number + 1}", GW)
        scene.beat(f"192.0.{number % 200}.7", a_process(started_at=number))
        scene.wait(31)
    assert len(scene.watched._seen) <= MOST_OBSERVERS
    assert max(len(trail.moves) for trail in scene.watched._seen.values()) <= scene.limits.address_changes
    watch = Watch(most=10)
    for number in range(100):
        watch.of(a_peer(number).id)
    assert len(watch._peers) == 10
    assert watch.of(a_peer(99).id) is watch.of(a_peer(99).id)
    watch.forget(a_peer(99).id)
    watch.forget(a_peer(99).id)


def test_a_span_reads_a_window() -> None:
    assert Limits().span("return_window") == timedelta(minutes=5)
