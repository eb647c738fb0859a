"""The components: what answers the calls of other backends, by component and call."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from isthmus.protocol.context import Context
from isthmus.protocol.federation import RPCS
from isthmus.server.application.caller import Caller

Handler = Callable[[Context, Any, Caller], Awaitable[Any]]
"""Answers one call: what the Federator has proven of the caller, the decoded request of the table of calls, and who
that is for the audit log. Returns the response of the table; raises `Denied` or a `Refusal` to say no."""

Handlers = Mapping[str, Handler]
"""The handlers of one component by the name of the call."""


class Components:
    """Every component of this backend. `handlers` are complete once all have registered."""

    def __init__(self) -> None:
        self.handlers: dict[str, dict[str, Handler]] = {}

    def register(self, component: str, handlers: Handlers) -> None:
        """Add the handlers of `component`; it may come in parts. Raises `ValueError` for a call that the table lacks
        or that somebody answers already."""
        known = self.handlers.setdefault(component, {})
        for rpc, handler in handlers.items():
            if (component, rpc) not in RPCS:
                raise ValueError(f"the table of calls has no {component}/{rpc}")
            if rpc in known:
                raise ValueError(f"{component}/{rpc} has two handlers")
            known[rpc] = handler

    def missing(self) -> set[tuple[str, str]]:
        """The calls of the table that nobody answers."""
        return {(component, rpc) for component, rpc in RPCS if rpc not in self.handlers.get(component, {})}
