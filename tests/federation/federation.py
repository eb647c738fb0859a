"""Three organisations that federate: A and B and C of the catalogue, each whole, and a DNS that can lie."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from lab import Lab
from lab.meeting import acquaint, at_once, make_ready
from lab.organisation import Organisation
from lab.scripted_names import ScriptedNames
from tests.federation.party import Party
from tests.federation.planting import ENVIRONMENT

LOG_LINES = 12
AGENT_PORT = 8081


@dataclass
class Federation:
    """`a`, `b`, `c` have listed, pinned and confirmed each other. Each has the users alice, whom both others may see by
    her exact handle, and hidden, whom nobody may see."""

    lab: Lab
    names: ScriptedNames
    a: Party
    b: Party
    c: Party

    @property
    def parties(self) -> tuple[Party, ...]:
        return self.a, self.b, self.c

    def close(self) -> None:
        for party in self.parties:
            party.unrecord()
            party.api.close()

    def logs(self) -> dict[str, str]:
        """The last lines of each backend's processes."""
        return {str(party): "\n".join(party.site.log.splitlines()[-LOG_LINES:]) for party in self.parties}


def build(lab: Lab, *, settings: Mapping[str, Any] | None = None) -> Federation:
    """Start three organisations and let each two of them federate."""
    names = ScriptedNames(lab)
    given = {"agent_listen": f"127.0.0.1:{AGENT_PORT}"} | dict(settings or {})
    sites = [Organisation(names, name, settings=given, env=ENVIRONMENT) for name in ("a", "b", "c")]
    make_ready(sites)
    built = Federation(lab, names, *(Party(site) for site in sites))
    for party in built.parties:
        party.record()
    for one, two in combinations(sites, 2):
        acquaint(one, two)
    at_once(party.populate for party in built.parties)
    return built
