"""An extension for tests: plants calls of remotes that go past the gate. The variable PLANTED names which."""

import os
from collections.abc import Callable, Mapping
from typing import Any

from fastapi.routing import APIRoute
from msgspec.structs import replace

from isthmus.protocol import federation as wire
from isthmus.server.adapters.api.routes import federation
from isthmus.server.adapters.http.access import ACCESS, Need
from isthmus.server.application.calls import Call, Reading
from isthmus.server.application.directory import DirectoryComponent
from isthmus.server.application.kinds import Kinds
from isthmus.server.application.resources import ResourcesComponent
from isthmus.server.ports import Transaction

PATH = "/federation/directory/get-everything"
AnyTable: Any = wire.RPCS


async def everything(call: Call, tx: Transaction) -> Any:
    raise AssertionError


async def answer() -> None:
    raise AssertionError


def add(component: Any, rpc: str, endpoint: object) -> None:
    """Have a component register one endpoint more."""
    own: Callable[[Any], Mapping[str, object]] = component.endpoints
    component.endpoints = lambda self: {**own(self), rpc: endpoint}


def beside_the_gate() -> None:
    """What answers is a function of its own, which no gate is asked before."""
    AnyTable["directory", "get-everything"] = wire.RPCS["directory", "get-instance"]
    add(DirectoryComponent, "get-everything", everything)


def outside_the_table() -> None:
    """The gate would not know what the call needs."""
    add(DirectoryComponent, "get-everything", Reading(everything))


def without_a_scope() -> None:
    """The gate would ask for no grant."""
    AnyTable["resources", "get-everything"] = replace(wire.RPCS["resources", "get"], scope=None)
    add(ResourcesComponent, "get-everything", Reading(everything))


def on_the_listener_of_people() -> None:
    """With its row in the access table, as any other route has one."""
    federation.router.routes.append(APIRoute(PATH, answer, methods=["POST"], response_model=None))
    rows: Any = ACCESS
    rows["POST", PATH] = Need.NOTHING


def behind_the_gate() -> None:
    """No weakness: a call like the others."""
    AnyTable["directory", "get-everything"] = wire.RPCS["directory", "get-instance"]
    add(DirectoryComponent, "get-everything", Reading(everything))


PLANTS: Mapping[str, Callable[[], None]] = {
    each.__name__: each
    for each in (beside_the_gate, outside_the_table, without_a_scope, on_the_listener_of_people, behind_the_gate)
}


def register(kinds: Kinds) -> None:
    PLANTS[os.environ["PLANTED"]]()
