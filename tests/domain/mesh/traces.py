"""Scripted days of one peer: ordinary ones, in which nothing may open, and thefts, each of which must be found."""

from collections.abc import Callable
from dataclasses import replace

from tests.domain.mesh.watching import BEAT, CAFE, GW, GW_2, HOME, OFFICE, TRAIN, Scene, a_process

Trace = Callable[[Scene], None]
OWN = a_process()
COPY = a_process("thief", "boot-9", 1_772_000_500)
V6_HOME = "2001:db8:1:2"


def at(place: str, port: int = 40_000) -> str:
    return f"[{place}]:{port}" if ":" in place else f"{place}:{port}"


def stay(scene: Scene, place: str, seconds: float, process: object = OWN, port: int = 40_000) -> None:
    """A host at one place: seen there by its jump peer at once, heard there every 15 s after it has reconnected."""
    scene.see(at(place, port))
    if seconds > 2 * BEAT:
        scene.wait(2 * BEAT)
        scene.beats(place, process, seconds - 2 * BEAT)  # type: ignore[arg-type]
    else:
        scene.wait(seconds)


# --- ordinary days


def one_place_all_day(scene: Scene) -> None:
    stay(scene, HOME, 28_800)


def from_home_to_the_office_and_back(scene: Scene) -> None:
    for place, hours in ((HOME, 1), (TRAIN, 0.5), (OFFICE, 6), (TRAIN, 0.5), (HOME, 2)):
        stay(scene, place, hours * 3600)


def lunch_in_a_cafe(scene: Scene) -> None:
    for place, minutes in ((OFFICE, 180), (CAFE, 50), (OFFICE, 240)):
        stay(scene, place, minutes * 60)


def a_cafe_for_four_minutes(scene: Scene) -> None:
    for place, minutes in ((OFFICE, 180), (CAFE, 4), (OFFICE, 240)):
        stay(scene, place, minutes * 60)


def an_elevator(scene: Scene) -> None:
    """Twenty seconds on the mobile network: too short for the agent to reconnect from there."""
    stay(scene, OFFICE, 3600)
    scene.see(at(TRAIN))
    scene.wait(20)
    stay(scene, OFFICE, 3600)


def an_elevator_there_and_back(scene: Scene) -> None:
    for _ in range(2):
        an_elevator_ride(scene)
    stay(scene, OFFICE, 3600)


def an_elevator_ride(scene: Scene) -> None:
    stay(scene, OFFICE, 120)
    scene.see(at(TRAIN))
    scene.wait(20)


def a_tunnel_with_the_train(scene: Scene) -> None:
    for number in range(6):
        stay(scene, TRAIN, 900, port=40_000 + number)


def a_phone_behind_carrier_nat(scene: Scene) -> None:
    """The port changes every two minutes for hours."""
    for number in range(120):
        scene.see(at(TRAIN, 20_000 + number))
        scene.beats(TRAIN, OWN, 120)


def a_carrier_that_moves_the_phone_to_another_exit(scene: Scene) -> None:
    for number in range(6):
        stay(scene, f"100.100.{number}.9", 3_600)


def a_restarted_agent(scene: Scene) -> None:
    stay(scene, HOME, 3_600)
    for number in range(5):
        scene.beats(HOME, a_process(started_at=1_772_010_000 + number), 600)


def a_crashing_agent(scene: Scene) -> None:
    for number in range(200):
        scene.beat(HOME, a_process(started_at=1_772_010_000 + number))
        scene.wait(2)


def a_reboot(scene: Scene) -> None:
    stay(scene, HOME, 3_600)
    scene.wait(40)
    stay(scene, HOME, 3_600, a_process(boot="boot-2", started_at=1_772_020_000), port=51_000)


def a_reboot_without_a_clock(scene: Scene) -> None:
    """A small board whose clock begins in 1970 until somebody tells it the time."""
    stay(scene, HOME, 3_600)
    stay(scene, HOME, 3_600, a_process(boot="boot-2", started_at=30))


def a_reboot_into_another_network(scene: Scene) -> None:
    stay(scene, HOME, 3_600)
    stay(scene, OFFICE, 3_600, a_process(boot="boot-2", started_at=1_772_020_000))


def a_disk_that_moved_to_another_machine(scene: Scene) -> None:
    stay(scene, HOME, 3_600)
    scene.wait(5)
    stay(scene, HOME, 3_600, COPY)


def a_lid_that_was_closed_for_the_night(scene: Scene) -> None:
    stay(scene, OFFICE, 7_200)
    scene.wait(50_000)
    stay(scene, HOME, 7_200)


def privacy_addresses(scene: Scene) -> None:
    for number in range(48):
        address = f"{V6_HOME}::{number + 1:x}"
        scene.see(at(address))
        scene.beats(address, OWN, 600)


def both_families(scene: Scene) -> None:
    for number in range(30):
        stay(scene, HOME if number % 2 else f"{V6_HOME}::9", 600)


def a_jump_peer_whose_interface_was_made_anew(scene: Scene) -> None:
    for number in range(10):
        scene.see(at(HOME), GW)
        scene.see(at(HOME), GW_2)
        scene.beats(HOME, OWN, 300 + number)


def two_jump_peers_that_saw_it_last_at_different_times(scene: Scene) -> None:
    stay(scene, HOME, 600)
    scene.see(at(HOME), GW_2)
    stay(scene, CAFE, 600)
    scene.see(at(CAFE), GW_2)
    stay(scene, OFFICE, 600)
    scene.see(at(OFFICE), GW_2)


def a_static_phone_on_its_way(scene: Scene) -> None:
    for place in (HOME, TRAIN, OFFICE, TRAIN, HOME):
        scene.see(at(place))
        scene.wait(3_600)


def an_agent_behind_a_proxy(scene: Scene) -> None:
    for place in (HOME, OFFICE):
        scene.see(at(place))
        scene.beats("192.0.2.1", OWN, 3_600)


def a_server_that_restarts_again_and_again(scene: Scene) -> None:
    """The agent connects anew each time, by whichever family answers first."""
    for number in range(40):
        scene.beats(HOME if number % 3 else f"{V6_HOME}::9", OWN, 30)


def websockets_that_come_and_go(scene: Scene) -> None:
    """Stream and plain HTTPS in turn, the latter through connections that do not tell of the process again."""
    for _ in range(20):
        scene.beats(HOME, OWN, 60)
        scene.beats(HOME, None, 60)


ORDINARY: tuple[Trace, ...] = (
    one_place_all_day,
    from_home_to_the_office_and_back,
    lunch_in_a_cafe,
    a_cafe_for_four_minutes,
    an_elevator,
    an_elevator_there_and_back,
    a_tunnel_with_the_train,
    a_phone_behind_carrier_nat,
    a_carrier_that_moves_the_phone_to_another_exit,
    a_restarted_agent,
    a_crashing_agent,
    a_reboot,
    a_reboot_without_a_clock,
    a_reboot_into_another_network,
    a_disk_that_moved_to_another_machine,
    a_lid_that_was_closed_for_the_night,
    privacy_addresses,
    both_families,
    a_jump_peer_whose_interface_was_made_anew,
    two_jump_peers_that_saw_it_last_at_different_times,
    a_static_phone_on_its_way,
    an_agent_behind_a_proxy,
    a_server_that_restarts_again_and_again,
    websockets_that_come_and_go,
)


# --- thefts. Of those of a WireGuard key alone one observer is no proof: they are found, and do not block.


def in_turn(scene: Scene, *voices: tuple[str, object], turns: int = 4, pause: float = BEAT) -> None:
    for _ in range(turns):
        for source, process in voices:
            scene.beat(source, process)  # type: ignore[arg-type]
            scene.wait(pause / len(voices))


def a_state_folder_on_another_machine(scene: Scene) -> None:
    stay(scene, HOME, 3_600)
    in_turn(scene, (CAFE, COPY), (HOME, OWN))


def a_state_folder_behind_the_same_nat(scene: Scene) -> None:
    stay(scene, HOME, 3_600)
    in_turn(scene, (HOME, COPY), (HOME, OWN))


def a_state_folder_in_a_container_of_the_same_machine(scene: Scene) -> None:
    stay(scene, HOME, 3_600)
    in_turn(scene, (HOME, replace(OWN, started_at=1_772_000_700)), (HOME, OWN))


def a_cloned_disk_with_the_same_machine_id(scene: Scene) -> None:
    stay(scene, HOME, 3_600)
    in_turn(scene, (OFFICE, replace(OWN, boot_id="boot-2", started_at=1_772_000_700)), (HOME, OWN))


def a_copy_that_is_as_slow_as_plain_https(scene: Scene) -> None:
    in_turn(scene, (HOME, OWN), (CAFE, COPY), pause=60)


def a_copy_used_while_the_laptop_sleeps(scene: Scene) -> None:
    stay(scene, HOME, 3_600)
    scene.beats(CAFE, COPY, 7_200)
    in_turn(scene, (HOME, OWN), (CAFE, COPY))


def a_copy_that_does_not_say_who_it_is(scene: Scene) -> None:
    stay(scene, HOME, 3_600)
    in_turn(scene, (CAFE, None), (HOME, OWN))


def a_frozen_machine_that_runs_twice(scene: Scene) -> None:
    """Machine, boot and process are one: only the addresses tell the two apart."""
    in_turn(scene, (HOME, OWN), (CAFE, OWN), turns=6, pause=2)


def three_copies(scene: Scene) -> None:
    in_turn(scene, (HOME, OWN), (CAFE, COPY), (TRAIN, a_process("third", "boot-7")))


def a_copy_over_ipv6(scene: Scene) -> None:
    stay(scene, HOME, 3_600)
    in_turn(scene, ("2001:db8:77::1", COPY), (HOME, OWN))


def a_key_on_two_hosts_that_two_jump_peers_see(scene: Scene) -> None:
    for place in (HOME, CAFE, HOME, CAFE):
        scene.see(at(place), GW)
        scene.see(at(place), GW_2)
        scene.wait(25)


def a_whole_host_with_its_tunnel(scene: Scene) -> None:
    """State and key: both agents beat, and the jump peer sees the key in both places."""
    stay(scene, HOME, 3_600)
    for source, process in ((CAFE, COPY), (HOME, OWN)) * 3:
        scene.see(at(source))
        scene.beat(source, process)
        scene.wait(7)


def a_phones_config_on_two_phones(scene: Scene) -> None:
    for place in (HOME, CAFE) * 4:
        scene.see(at(place))
        scene.wait(25)


def an_agents_key_on_another_host(scene: Scene) -> None:
    for place in (HOME, CAFE) * 6:
        scene.see(at(place))
        scene.beat(HOME, OWN)
        scene.wait(25)


THEFTS: tuple[Trace, ...] = (
    a_state_folder_on_another_machine,
    a_state_folder_behind_the_same_nat,
    a_state_folder_in_a_container_of_the_same_machine,
    a_cloned_disk_with_the_same_machine_id,
    a_copy_that_is_as_slow_as_plain_https,
    a_copy_used_while_the_laptop_sleeps,
    a_copy_that_does_not_say_who_it_is,
    a_frozen_machine_that_runs_twice,
    three_copies,
    a_copy_over_ipv6,
    a_key_on_two_hosts_that_two_jump_peers_see,
    a_whole_host_with_its_tunnel,
)
FOUND_ONLY: tuple[Trace, ...] = (a_phones_config_on_two_phones, an_agents_key_on_another_host)
