"""Two organisations that federate, each with a network and hosts in it; bridges and grants by their APIs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from lab.lab import Lab
from lab.meeting import acquaint, at_once, make_ready
from lab.mesh import Member
from lab.organisation import Organisation
from lab.scripted_names import ScriptedNames
from lab.side import Side, build
from lab.waiting import wait_until

LOG_LINES = 30
WITHIN = 40.0
"""Seconds for something that takes one: the machine may be busy."""
PORT, BEACON = 443, 4000
LIFTS = {"operator": "resume", "incident": "release"}
CHECKOUT = Path(__file__).resolve().parent.parent

Json = dict[str, Any]


@dataclass
class Alliance:
    """A has the network `office` with the hosts `wiki`, where the services `wiki` (TCP) and `beacon` (UDP) are, and
    `desk`; B has `plant` with `app` and `other`, which have the leaf of an instance each. Nothing joins the two
    networks before `join`."""

    lab: Lab
    names: ScriptedNames
    a: Side
    b: Side
    instances: dict[str, str] = field(default_factory=dict)

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.a, self.b

    @property
    def wiki(self) -> Member:
        return self.a.hosts["wiki"]

    @property
    def app(self) -> Member:
        return self.b.hosts["app"]

    def logs(self) -> dict[str, str]:
        """The last lines of each backend and agent."""
        told = self.a.logs() | self.b.logs()
        return {name: "\n".join(text.splitlines()[-LOG_LINES:]) for name, text in told.items()}

    def close(self) -> None:
        for side in self.sides:
            side.api.close()

    # ---- bridges

    def bridge(self, side: Side) -> Json | None:
        """The one that is not revoked, as `side` shows it."""
        found: list[Json] = side.api.get("/bridges").raise_for_status().json()["items"]
        return next((each for each in found if each["state"] != "revoked"), None)

    def join(self) -> str:
        """Make the bridge effective, whatever was done to it; returns its id. A has proposed it."""
        for side in self.sides:
            self._unhold(side)
        if self.bridge(self.a) is None:
            body = {"remote": self.b.domain, "network_id": self.a.network_id}
            self.a.api.post("/bridges", json=body).raise_for_status()
        wait_until(lambda: self.bridge(self.b), within=WITHIN, what="the proposal at B")
        there = self.bridge(self.b) or {}
        if there["state"] == "proposed":
            self.act(self.b, "accept", network_id=self.b.network_id)
        wait_until(lambda: all(map(self.is_effective, self.sides)), within=WITHIN, what="the bridge to be effective")
        at_once([partial(side.site.mesh.settle, within=WITHIN) for side in self.sides])
        return str(there["id"])

    def _unhold(self, side: Side) -> None:
        for hold in (self.bridge(side) or {"holds": []})["holds"]:
            self.act(side, LIFTS[hold])

    def is_effective(self, side: Side) -> bool:
        bridge = self.bridge(side)
        return bridge is not None and bool(bridge["effective"])

    def act(self, side: Side, action: str, **fields: Any) -> Json:
        """`accept`, `suspend`, `resume`, `hold`, `release` or `revoke` the bridge on one side."""
        bridge = self.bridge(side)
        if bridge is None:
            raise LookupError(f"there is no bridge at {side.domain}")
        body = {"reason": "a test"} | fields
        answer: Json = side.api.post(f"/bridges/{bridge['id']}/{action}", json=body).raise_for_status().json()
        return answer

    # ---- grants

    @contextmanager
    def granted(self, kind: str = "service", resource: str | None = "wiki", **fields: Any) -> Iterator[tuple[str, str]]:
        """A grant of A to bob@b.example while the block runs: its id and token. By default for one service, `connect`
        and `read`, and for the instance of `app`, over the network of A, from B's prefix alone."""
        body = {"subject": f"bob@{self.b.domain}", "kind": kind, "scopes": ["connect", "read"]} | self.narrow | fields
        if resource is not None:
            body["resource_id"] = self.service(resource)["id"] if kind == "service" else resource
        made = self.a.api.post("/grants", json=body).raise_for_status().json()
        grant = made["grant"]["id"]
        try:
            yield grant, made["token"]
        finally:
            self.revoke(grant)

    @property
    def narrow(self) -> Json:
        """The three axes as a careful operator fills them."""
        prefix = str(self.prefix_of(self.b))
        return {"instances": [self.instances["app"]], "networks": [self.a.network_id], "sources": [prefix]}

    def prefix_of(self, side: Side) -> str:
        """The IPv6 range of a side's network."""
        found = side.api.get(f"/networks/{side.network_id}").raise_for_status().json()
        return str(found["cidr_v6"])

    def revoke(self, grant: str) -> None:
        """Revoke a grant, if it is not revoked already."""
        found = self.a.api.get(f"/grants/{grant}").raise_for_status().json()
        if found["state"] != "revoked":
            self.a.api.post(f"/grants/{grant}/revoke", json={"reason": "a test"}).raise_for_status()

    def service(self, name: str) -> Json:
        found: list[Json] = self.a.api.get("/services").raise_for_status().json()["items"]
        return next(each for each in found if each["name"] == name)

    def soon(self, seconds: float) -> str:
        """A time so many seconds from now, for an end."""
        return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def assemble(lab: Lab, *extensions: str) -> Alliance:
    """Start everything, as much as possible at the same time. `extensions` are those of A's server."""
    names = ScriptedNames(lab)
    env = {"PYTHONPATH": str(CHECKOUT)}
    given: Mapping[str, Json] = {"a": {"extensions": list(extensions)} if extensions else {}, "b": {}}
    sites = [Organisation(names, name, settings=settings, env=env) for name, settings in given.items()]
    make_ready(sites)
    a, b = sites
    found = at_once(
        [
            partial(build, a, "office", "10.20.0.0/24", ["wiki", "desk"]),
            partial(build, b, "plant", "10.30.0.0/24", [], ["app", "other"]),
            partial(acquaint, a, b),
        ]
    )
    alliance = Alliance(lab, names, found[0], found[1])
    furnish(alliance)
    return alliance


def furnish(alliance: Alliance) -> None:
    """The services of A, the ids of B's instances, and the ingress of both inside their networks."""
    for name, protocol, port in (("wiki", "tcp", PORT), ("beacon", "udp", BEACON)):
        where = {"network_id": alliance.a.network_id, "address": alliance.wiki.ipv6, "ports": [str(port)]}
        alliance.a.api.post("/services", json={"name": name, "protocol": protocol} | where).raise_for_status()
    for side in alliance.sides:
        body = {"peer_id": side.home.id}
        side.api.put(f"/networks/{side.network_id}/ingress", json=body).raise_for_status()
    for each in alliance.b.api.get("/instances").raise_for_status().json()["items"]:
        if each["peer"] is not None:
            alliance.instances[each["peer"]["name"].removeprefix("b-")] = each["id"]
