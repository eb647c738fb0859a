"""Keeps the arrival guard before the listeners of overlays: none of them is there without it."""

import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

import msgspec

from isthmus.ingress import addresses
from isthmus.ingress.arrival import TABLE, Guarded, render
from isthmus.ingress.refused import FactsRefused
from isthmus.protocol.ingress import WAN, IngressFacts

SECONDS = 10.0
SBIN = "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"
LONGEST = 300
MEND = "install nftables, and run the ingress with CAP_NET_ADMIN as isthmus.service does"


@dataclass(frozen=True, slots=True)
class Plan:
    """The overlay listeners that this host can have now, each with its tunnel, and why it cannot have others, by id."""

    guarded: tuple[Guarded, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)

    def of(self, facts: IngressFacts) -> IngressFacts:
        """`facts` with the listeners of the WAN and those of this plan alone."""
        kept = {each.listener.id for each in self.guarded}
        listeners = [each for each in facts.listeners if each.network == WAN or each.id in kept]
        return msgspec.structs.replace(facts, listeners=listeners)

    def without_guard(self, why: str) -> "Plan":
        return Plan((), {**self.left_out, **{each.listener.id: why for each in self.guarded}})


def planned(facts: IngressFacts) -> Plan:
    """What this host can have now. Blocks."""
    overlays = [each for each in facts.listeners if each.network != WAN]
    if not overlays:
        return Plan()
    try:
        found = addresses.interfaces()
    except OSError as error:
        return Plan((), {each.id: f"no interface can be looked for ({error})" for each in overlays})
    guarded, left_out = [], {}
    for each in overlays:
        interface = found.get(str(ip_address(each.address)))
        if interface is None:
            left_out[each.id] = f"no interface of this host has {each.address}: is the agent of this peer running here?"
        elif not interface.is_tunnel:
            left_out[each.id] = f"{interface.name}, which has {each.address}, is no tunnel: packets prove no overlay"
        else:
            guarded.append(Guarded(each, interface.name))
    return Plan(tuple(guarded), left_out)


class Guard:
    """The rules in the kernel. All of it blocks."""

    def __init__(self) -> None:
        self._applied: tuple[Guarded, ...] = ()

    def before(self, plan: Plan) -> Plan:
        """Guard all that is about to listen, and what listens still; the plan without what cannot be guarded."""
        if not plan.guarded:
            return plan
        leaving = [each for each in self._applied if each not in plan.guarded]
        problem = self._apply((*plan.guarded, *leaving))
        return plan.without_guard(problem) if problem else plan

    def after(self, plan: Plan) -> None:
        """The listeners are those of `plan`: the guard of the others goes."""
        if self._applied != plan.guarded:
            self._apply(plan.guarded)

    def is_whole(self, plan: Plan) -> bool:
        """Whether the kernel still has each rule; others may empty its tables."""
        return not plan.guarded or {each.listener.id for each in plan.guarded} <= dropped().keys()

    def _apply(self, guarded: tuple[Guarded, ...]) -> str:
        """What is wrong if it could not be done."""
        try:
            problem = _nft("-f", "-", given=render(guarded))[0]
        except FactsRefused as refused:
            problem = str(refused)
        if not problem:
            self._applied = guarded
        return problem


def dropped() -> dict[str, int]:
    """The packets that the guard of each listener has dropped, by its id; none where there is no guard. Blocks."""
    problem, text = _nft("-j", "list", "table", "inet", TABLE)
    if problem:
        return {}
    found: dict[str, int] = {}
    for rule in _rules(msgspec.json.decode(text)):
        name = str(rule.get("comment", "")).removeprefix("listener ")
        packets = sum(each["counter"]["packets"] for each in rule["expr"] if "counter" in each)
        found[name] = found.get(name, 0) + packets
    return found


def _rules(listing: Any) -> Iterable[dict[str, Any]]:
    return [each["rule"] for each in listing["nftables"] if "rule" in each]


def _nft(*arguments: str, given: str = "") -> tuple[str, str]:
    """What is wrong, and what it printed."""
    program = shutil.which("nft", path=SBIN)
    if program is None:
        return f"the arrival guard cannot be set: nft is not installed; {MEND}", ""
    try:
        done = subprocess.run(
            [program, *arguments], input=given, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"the arrival guard cannot be set: nft does not run ({error})", ""
    if done.returncode:
        said = " ".join(done.stderr.split())[:LONGEST]
        return f"the arrival guard cannot be set: {said}; {MEND}", ""
    return "", done.stdout
