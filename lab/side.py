"""One side of a bridge in a lab: an organisation with a network, its gateway, and hosts that are peers of it."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from lab.mesh import Member
from lab.organisation import Organisation


@dataclass
class Side:
    """`gateway` is the jump peer; `home` is the backend's own host as a peer, where its ingress listens too; `hosts`
    are the others, by their names without the organisation's."""

    site: Organisation
    network: str
    gateway: Member
    home: Member
    hosts: dict[str, Member] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.site.name

    @property
    def domain(self) -> str:
        return self.site.domain

    @property
    def api(self) -> Any:
        return self.site.api

    @property
    def members(self) -> list[Member]:
        return [self.gateway, self.home, *self.hosts.values()]

    @property
    def network_id(self) -> str:
        found = self.api.get("/networks", params={"name": self.network}).raise_for_status().json()["items"]
        return str(found[0]["id"])

    def logs(self) -> dict[str, str]:
        """What its backend and its agents have printed."""
        return {self.domain: self.site.log} | {each.name: each.agent.output for each in self.members}


def build(
    site: Organisation, network: str, cidr: str, hosts: Iterable[str] = (), instances: Iterable[str] = ()
) -> Side:
    """Make the network, a gateway with a public endpoint, and peers of the backend's own host and of new `hosts`; those
    of `instances` get the leaf of an instance too. All by the API, and at once."""
    mesh, lab = site.mesh, site.names.lab
    mesh.create_network(network, cidr_v4=cidr, direct_paths="off")
    gateway = lab.host(f"{site.name}-gw")
    others = {name: lab.host(f"{site.name}-{name}") for name in [*hosts, *instances]}
    joins = [partial(mesh.join, gateway, network, kind="jump"), partial(mesh.join, site.host, network)]
    joins += [
        partial(mesh.join, host, network, *(["--instance"] if name in instances else []))
        for name, host in others.items()
    ]
    members = at_once(joins)
    mesh.settle(within=60.0)
    return Side(site, network, members[0], members[1], dict(zip(others, members[2:], strict=True)))


def at_once(works: Iterable[Callable[[], Any]]) -> list[Any]:
    """Do all of this at the same time and return what came of each; what fails is raised."""
    with ThreadPoolExecutor() as pool:
        return [done.result() for done in [pool.submit(work) for work in works]]
