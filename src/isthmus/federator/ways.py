"""The ways to a remote: at which addresses a call is tried, in which order, and which of them were just found dead."""

import random
import time
from dataclasses import replace

from isthmus.domain.federation.denial import Denied
from isthmus.domain.federation.discovery import Draw, Target, ordered
from isthmus.domain.federation.targets import AddressPolicy
from isthmus.domain.federation.view import Known, View
from isthmus.federator.calling import Place, Way
from isthmus.federator.discovery import Discovery, Services
from isthmus.federator.resolving import Tlsa

RANDOM = random.SystemRandom()
SOUR_SECONDS = 30.0
"""For so long a target that was not reached is tried after the others, whatever its priority."""
SHUT_SECONDS = 10.0
"""For so long nobody is looked for over a bridge on which nobody answered, or that the remote holds shut."""
MOST_SOUR = 1024


class Ways:
    def __init__(self, discovery: Discovery, addresses: AddressPolicy, draw: Draw = RANDOM.randint) -> None:
        self._discovery, self._addresses, self._draw = discovery, addresses, draw
        self._sour: dict[Place, float] = {}

    def plan(self, services: Services) -> list[Target]:
        """The targets in the order in which one call tries them; those that were just found dead come last."""
        return sorted(ordered(services.records, self._draw), key=lambda target: self._is_sour((target, None)))

    async def inside(self, view: View, known: Known, target: Target) -> list[Way]:
        """Those over effective bridges, which prove themselves as `target` does. One that was just found dead is none:
        there is another way."""
        found = []
        for bridge in known.bridges:
            way = None if bridge.vip is None else Way(Target(target.host, bridge.port), bridge.vip, bridge=bridge)
            if way is not None and not self._is_sour(way.place) and self._may_dial(view, known, way):
                found.append(way)
        if not found:
            return []
        try:
            associations = await self._associations(known, target)
        except Denied:
            return []
        return [replace(way, associations=associations) for way in found]

    def _may_dial(self, view: View, known: Known, way: Way) -> bool:
        if way.bridge is None or not way.bridge.has(way.address):
            return False
        try:
            self._addresses.check(way.address, view.ground(known))
        except Denied:
            return False
        return True

    async def outside(self, view: View, known: Known, target: Target) -> list[Way]:
        """The addresses of `target` that may be dialled. Raises `Denied`."""
        answer = await self._discovery.addresses(target.host, pinned=bool(known.infra_domains))
        if known.needs_dnssec and not answer.authenticated:
            detail = f"no resolver vouches for the addresses of {target.host}"
            raise Denied("target_denied", "discovery.not_authenticated", detail)
        associations = await self._associations(known, target)
        ways, denial = [], None
        for address in answer.items:
            try:
                self._addresses.check(address, view.ground(known))
                ways.append(Way(target, address, associations))
            except Denied as denied:
                denial = denied
        if not ways and denial is not None:
            raise denial
        return ways

    async def _associations(self, known: Known, target: Target) -> tuple[Tlsa, ...] | None:
        if not known.needs_tlsa:
            return None
        found = await self._discovery.associations(target.host, target.port, pinned=bool(known.infra_domains))
        if not (found.items and found.authenticated):
            raise Denied("target_denied", "discovery.no_tlsa", f"no resolver vouches for TLSA records of {target}")
        return found.items

    def dead(self, place: Place) -> None:
        """It was not reached just now."""
        now = time.monotonic()
        self._sour[place] = now + (SOUR_SECONDS if place[1] is None else SHUT_SECONDS)
        if len(self._sour) > MOST_SOUR:
            self._sour = {each: until for each, until in self._sour.items() if until > now}

    def _is_sour(self, place: Place) -> bool:
        return self._sour.get(place, 0.0) > time.monotonic()
