"""Two organisations that federate, each with a network and hosts in it: what bridges and grants are tried on."""

from dataclasses import dataclass
from functools import partial
from itertools import combinations

from lab import Lab
from lab.organisation import Organisation
from lab.scripted_names import ScriptedNames
from lab.side import Side, at_once, build
from tests.federation.federation import acquaint, initialise

LOG_LINES = 30


@dataclass
class Alliance:
    """A has the network `office` with the hosts `wiki`, which offers a service, and `desk`; B has `plant` with `app`,
    which has the leaf of an instance, and `other`, which has one as well."""

    lab: Lab
    names: ScriptedNames
    a: Side
    b: Side

    def logs(self) -> dict[str, str]:
        """The last lines of each backend and agent."""
        told = self.a.logs() | self.b.logs()
        return {name: "\n".join(text.splitlines()[-LOG_LINES:]) for name, text in told.items()}

    def close(self) -> None:
        for side in (self.a, self.b):
            side.api.close()


def assemble(lab: Lab) -> Alliance:
    """Start everything, as much as possible at the same time."""
    names = ScriptedNames(lab)
    sites = [Organisation(names, name) for name in ("a", "b")]
    at_once([site.await_server for site in sites])
    at_once([partial(initialise, site) for site in sites])
    for site in sites:
        site.publish()
    at_once([site.await_ingress for site in sites])
    a, b = sites
    found = at_once(
        [
            partial(build, a, "office", "10.20.0.0/24", ["wiki", "desk"]),
            partial(build, b, "plant", "10.30.0.0/24", ["app", "other"]),
            *(partial(acquaint, one, two) for one, two in combinations(sites, 2)),
        ]
    )
    return Alliance(lab, names, found[0], found[1])
