"""The demo's further steps: names, direct paths, keys, a theft, many peers at once, and the death of a jump peer."""

import json
import shutil
import time
from functools import partial
from typing import Any

from lab.echoes import Echoes
from lab.journey import NETWORK, Journey, answers, keys_known, way
from lab.mesh import Member
from lab.waiting import wait_until

STATE = "/var/lib/isthmus-agent"
SECOND_JUMP_ADDRESS = "198.51.100.8"
PROMPT_SECONDS = 1.0
LONGEST_GAP_SECONDS = 1.0
# Both sides watch a path closely once it has been busy for a moment.
BUSY_SECONDS = 3.0
# It is left after a second without an answer, a little later where the machine is busy.
FALLBACK_GAP_SECONDS = 2.0
# Hosts tell each other where they may be reached with their first heartbeats.
DIRECT_SECONDS = 45.0
FALLBACK_SECONDS = 20.0
DETECTION_SECONDS = 30.0
# WireGuard keeps a session that the other side has lost for 15 s before it makes a new one.
SESSION_SECONDS = 40.0
FAILOVER_SECONDS = 45.0
CSV = """\
name,kind,endpoint,groups,labels
exit,jump,203.0.113.99:51820,,
desk-1,,,staff,floor=1
desk-2,,,staff,floor=2
printer,static,,devices,
"""
CSV_PEERS = {"exit", "desk-1", "desk-2", "printer"}


def names(journey: Journey) -> None:
    """Hosts know each other by name"""
    name = f"laptop.{NETWORK}.internal"
    tablet = journey.member("tablet").host
    wait_until(partial(answers, tablet, name), within=10, what=f"{name} to answer tablet")
    printed = journey.backend.type(tablet, "ping", "-c", "1", name)
    journey.expects(
        journey.member("laptop").ipv4 in printed or journey.member("laptop").ipv6 in printed, f"tablet finds {name}"
    )


def direct(journey: Journey) -> None:
    """Behind cone NATs the two find a way past the jump peer, and leave it when it breaks"""
    laptop, tablet = journey.member("laptop"), journey.member("tablet")
    seconds = journey.waits("a direct path", partial(shows_direct, journey, laptop, "tablet"), within=DIRECT_SECONDS)
    journey.backend.cli("peer", "paths", "laptop")
    journey.say.fact(f"laptop and tablet talk directly, seen after {seconds:.0f} s")

    journey.say.note("The internet between their two routers breaks, and stays so; both still reach the jump peer.")
    with Echoes(laptop.host, tablet.ipv4) as echoes:
        journey.say.command(laptop.host, echoes.command, "")
        echoes.go_on(BUSY_SECONDS)
        journey.lab.part(journey.lab.hosts["home"], journey.lab.hosts["cafe"])
        wait_until(lambda: way(laptop.host, "tablet") == "via gw", within=FALLBACK_SECONDS, what="the way via gw")
        echoes.go_on(0.5)
    journey.backend.type(laptop.host, "isthmus", "agent", "status")
    journey.say.fact("laptop and tablet go on through gw")
    gap = echoes.longest_gap
    journey.expects(gap < FALLBACK_GAP_SECONDS, f"the longest time without an answer was {gap * 1000:.0f} ms")


def shows_direct(journey: Journey, one: Member, other: str) -> bool:
    paths = journey.backend.api.get(f"/peers/{one.id}/paths").raise_for_status().json()["items"]
    return any(path["other"]["name"] == other and path["direct"] for path in paths)


def rotate(journey: Journey) -> None:
    """A peer gets another key under a running ping"""
    laptop, tablet = journey.member("laptop"), journey.member("tablet")
    old = journey.backend.peer("laptop")["public_key"]
    with Echoes(tablet.host, laptop.ipv4) as echoes:
        journey.say.command(tablet.host, echoes.command, "")
        journey.backend.cli("peer", "rotate-key", "laptop", "--wait")
        journey.backend.settle()
        echoes.go_on(0.5)
    gap = echoes.longest_gap
    journey.expects(old != journey.backend.peer("laptop")["public_key"], "the key is another one")
    journey.expects(gap < LONGEST_GAP_SECONDS, f"the longest time without an answer was {gap * 1000:.0f} ms")


def history(journey: Journey) -> None:
    """What a peer was told, and what changed it"""
    journey.backend.cli("peer", "config-history", "tablet", "--limit", "4")
    listed = journey.backend.host.run(["isthmus", "peer", "config-history", "tablet", "--json"]).stdout
    found = next(each for each in json.loads(listed)["items"] if each["event"] == "peer.rekeyed")
    revision = int(found["revision"])
    printed = journey.backend.cli("peer", "config-diff", "tablet", str(revision - 1), str(revision))
    journey.expects("+PublicKey" in printed and "-PublicKey" in printed, "the tablet was told laptop's new key")


def theft(journey: Journey) -> None:
    """Somebody copies the laptop's agent to another host: it is found out, and the laptop's identity is blocked"""
    laptop = journey.member("laptop")
    others = [journey.member(name) for name in ("gw", "tablet")]
    key = journey.backend.peer("laptop")["public_key"]
    thief = journey.lab.host("thief")
    journey.backend.trust(thief)
    shutil.copytree(laptop.host.path(STATE), thief.path(STATE))
    journey.say.note(f"{STATE} of laptop is now on thief too.")
    copy = thief.start(["isthmus", "agent", "run"], name="agent")
    journey.say.command(thief, copy.command, "")
    seconds = journey.waits("the incident", lambda: bool(incidents(journey)), within=DETECTION_SECONDS)
    opened = time.monotonic()
    wait_until(
        lambda: not any(key in keys_known(each) for each in others), within=5, what="gw and tablet to drop laptop"
    )
    prompt = time.monotonic() - opened
    journey.say.fact(f"an incident was opened {seconds:.1f} s after the copy was started")
    journey.expects(prompt < PROMPT_SECONDS, f"gw and tablet had dropped laptop's key {prompt:.1f} s later")
    journey.reaches_not(journey.member("tablet").host, "laptop", laptop.ipv4)
    identity = incidents(journey)[0]["id"]
    journey.backend.cli("incident", "list")
    journey.backend.cli("incident", "show", identity)
    copy.stop()
    journey.say.note("The copy is found and switched off.")
    journey.backend.cli("incident", "resolve", identity, "--reason", "the copy is switched off")
    returns(journey, laptop, others, key)


def incidents(journey: Journey) -> list[dict[str, Any]]:
    """Those that are open."""
    found: list[dict[str, Any]] = journey.backend.api.get("/incidents").raise_for_status().json()["items"]
    return [each for each in found if each["state"] == "open"]


def returns(journey: Journey, member: Member, others: list[Member], key: str) -> None:
    """After the incident: the others at once, its own agent when it asks again, or when it is restarted."""
    wait_until(lambda: all(key in keys_known(each) for each in others), within=5, what="the others to know it again")
    journey.say.fact(f"gw and tablet know {member.name} again")
    journey.say.note("A blocked agent asks about once a minute; restarting it is quicker.")
    member.agent.restart()
    journey.say.command(member.host, member.agent.command, "")
    journey.say.note(f"… waiting for a new WireGuard session, {SESSION_SECONDS:.0f} s at most")
    tablet = journey.member("tablet")
    journey.reaches(member.host, "tablet", tablet.ipv4, within=SESSION_SECONDS)


def revoke(journey: Journey) -> None:
    """A session is revoked: the host takes its tunnel down at once, and returns with a new token"""
    tablet = journey.member("tablet")
    journey.backend.cli("peer", "revoke-session", "tablet", "--yes")
    wait_until(lambda: not tablet.agent.running, within=10, what="the tablet's agent to end")
    gone = tablet.host.run(["ip", "link", "show", tablet.interface], check=False).returncode != 0
    journey.expects(gone, "the tablet's tunnel is down and its agent has ended")
    journey.enrolls(tablet.host, journey.backend.cli("peer", "token", "tablet"))
    journey.backend.settle()
    tablet = journey.member("tablet")
    journey.reaches(journey.member("laptop").host, "tablet", tablet.ipv4, tablet.ipv6)


def many(journey: Journey) -> None:
    """A second network by a template, and many peers by a file: all of them or none"""
    cli = journey.backend.cli
    cli("template", "create", "branch", "--cidr-prefix", "26", "--mtu", "1380")
    cli("network", "create", "berlin", "--template", "branch")
    journey.backend.host.path("/run/peers.csv").write_text(CSV)
    journey.backend.type(journey.backend.host, "cat", "/run/peers.csv")
    cli("peer", "import", "/run/peers.csv", "--network", "berlin", "--dry-run")
    journey.expects(not CSV_PEERS & named(journey), "the dry run has made no peer")
    cli("peer", "import", "/run/peers.csv", "--network", "berlin", "--output", "/run/tokens.json")
    journey.expects(named(journey) >= CSV_PEERS, f"all {len(CSV_PEERS)} peers of the file are there")
    cli("group", "list")
    cli("peer", "update-many", "--network", "berlin", "--group", "staff", "--isolated", "--yes")
    isolated = {peer["name"] for peer in journey.backend.peers() if peer["isolated"]}
    journey.expects(isolated == {"desk-1", "desk-2"}, "the peers of the group are isolated, and no others")
    cli("network", "delete", "berlin", "--force", "--yes")


def named(journey: Journey) -> set[str]:
    return {peer["name"] for peer in journey.backend.peers()}


def failover(journey: Journey) -> None:
    """A second jump peer joins, the first dies: its peers find the other by themselves"""
    jump = journey.lab.host("gw2", address=SECOND_JUMP_ADDRESS)
    journey.joins(jump, "--kind", "jump", "--endpoint", f"{SECOND_JUMP_ADDRESS}:51820")
    journey.backend.settle()
    laptop, tablet, second = (journey.member(name) for name in ("laptop", "tablet", "gw2"))
    for member in (laptop, tablet):
        journey.reaches(member.host, "gw2", second.ipv4)
    journey.reaches(laptop.host, "tablet", tablet.ipv4)
    journey.lab.cut(journey.member("gw").host)
    journey.say.note(
        "gw is cut off: no packet comes or goes. One lost packet is no death, so this takes half a minute."
    )
    what = "laptop to reach tablet by gw2"
    seconds = journey.waits(what, partial(goes_by, laptop, tablet, "gw2"), within=FAILOVER_SECONDS)
    journey.backend.type(laptop.host, "isthmus", "agent", "status")
    journey.say.fact(f"laptop reaches tablet through gw2, {seconds:.0f} s after gw died")
    journey.lab.mend(journey.member("gw").host)


def goes_by(member: Member, other: Member, jump: str) -> bool:
    return answers(member.host, other.ipv4) and way(member.host, other.name) == f"via {jump}"
