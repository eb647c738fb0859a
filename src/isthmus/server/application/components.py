"""The components: what answers the calls of other backends, by component and call."""

from collections.abc import Mapping

from isthmus.protocol.federation import RPCS, WITHOUT_GRANT
from isthmus.server.application.calls import Component, Endpoint, TableDiffers, Writing, is_endpoint


class Components:
    """Every component of this backend. `endpoints` are complete once all have registered."""

    def __init__(self) -> None:
        self.endpoints: dict[str, dict[str, Endpoint]] = {}

    def register(self, component: str, endpoints: Component) -> None:
        """Add endpoints of `component`; it may come in parts. Raises `TableDiffers` for one that the table of calls
        lacks, that somebody answers already, that the gate is not in front of, or that needs more than it has: a
        mutation that does not write, a call that no grant opens."""
        known = self.endpoints.setdefault(component, {})
        for rpc, endpoint in endpoints.items():
            if (component, rpc) not in RPCS:
                raise TableDiffers(f"the table of calls has no {component}/{rpc}")
            if rpc in known:
                raise TableDiffers(f"{component}/{rpc} has two endpoints")
            if not is_endpoint(endpoint):
                raise TableDiffers(f"{component}/{rpc} is not behind the gate: it is none of the kinds of endpoints")
            entry = RPCS[component, rpc]
            if entry.writes and not isinstance(endpoint, Writing):
                raise TableDiffers(f"{component}/{rpc} is to leave a row, by the table, and does not write")
            if entry.scope is None and component not in WITHOUT_GRANT:
                raise TableDiffers(f"{component}/{rpc} needs no grant, by the table: it must name a scope")
            if entry.scope is not None and not {"kind", "id"} <= set(entry.request.__struct_fields__):
                raise TableDiffers(f"{component}/{rpc} needs a grant and does not say for which kind and id")
            known[rpc] = endpoint

    def missing(self) -> set[tuple[str, str]]:
        """The calls of the table that nobody answers."""
        return {(component, rpc) for component, rpc in RPCS if rpc not in self.endpoints.get(component, {})}

    def complete(self) -> Mapping[str, Component]:
        """All components. Raises `TableDiffers` where somebody answers a part of one only."""
        if half := {key for key in self.missing() if key[0] in self.endpoints}:
            raise TableDiffers(f"nobody answers {sorted(half)}")
        return self.endpoints
