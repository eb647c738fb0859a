"""The application: routes, their documentation, and the check that each one stands in the access table."""

import json
import re
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI

from isthmus import __version__
from isthmus.server.adapters.agents.plane import AgentPlane
from isthmus.server.adapters.agents.streams import StreamHub
from isthmus.server.adapters.api.plain_operations import add_plain
from isthmus.server.adapters.api.routes import (
    account_book,
    accounts,
    audit,
    bridge_status,
    bridges,
    bulk,
    certificates,
    directory,
    federation,
    grants,
    history,
    identity,
    incidents,
    instances,
    messages,
    metrics,
    networks,
    operations,
    paths,
    peers,
    remotes,
    templates,
    topology,
)
from isthmus.server.adapters.api.routes import services as catalogue
from isthmus.server.adapters.api.views import Problem
from isthmus.server.adapters.events.hub import EventHub
from isthmus.server.adapters.events.plane import EventPlane
from isthmus.server.adapters.http.access import ACCESS, API, Need, check_complete
from isthmus.server.adapters.http.deps import Services
from isthmus.server.adapters.http.errors import HANDLERS

BEARER = "an API token, what signing in gave, or a JWT of the identity provider"
SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": BEARER,
    },
    "session": {"type": "http", "scheme": "bearer", "description": "what an agent got when it enrolled"},
}
TITLE = "Isthmus"


def build_app(services: Services, hub: StreamHub, events: EventHub, origins: Sequence[str] = ()) -> FastAPI:
    """All routes of one server. `origins` are those of its UI, see `browser.is_ours`. Raises `UnlistedRoute` when the
    access table and the routes differ."""
    app = FastAPI(
        title=TITLE,
        version=__version__,
        summary="Networks and peers of one backend",
        openapi_url=f"{API}/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers=HANDLERS,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.services = services
    app.state.origins = tuple(origins)
    # One flat list, agents first: it is searched in order, and a router included as a whole is searched twice.
    app.router.routes.extend(AgentPlane(services, hub).routes())
    app.router.routes.extend(EventPlane(services, events).routes())
    people = (accounts, account_book, identity, audit, operations, metrics)
    mesh = (networks, peers, bulk, incidents, paths, topology, history, templates)
    trust = (directory, federation, remotes, messages, certificates, instances, bridges, grants, catalogue)
    for module in (*people, *mesh, bridge_status, *trust):
        app.router.routes.extend(module.router.routes)
    check_complete(app.routes)
    describe_security(app)
    app.state.parameters = query_parameters(app.openapi())
    return app


def query_parameters(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, bool]]:
    """The names that each call takes in its query, by method and path, and whether they may come more than once."""
    return {
        (method.upper(), path): {
            parameter["name"]: "array" in json.dumps(parameter["schema"])
            for parameter in operation.get("parameters", [])
            if parameter["in"] == "query"
        }
        for path, operations_of_path in document["paths"].items()
        for method, operation in operations_of_path.items()
    }


def with_short_names(document: dict[str, Any]) -> dict[str, Any]:
    """Where two enumerations have one name FastAPI puts their module's path before it; its last part says enough."""
    text = re.sub(
        r"isthmus__\w+__([a-z]+)__([A-Z]\w*)", lambda found: f"{found[1].title()}{found[2]}", json.dumps(document)
    )
    short: dict[str, Any] = json.loads(text)
    return short


def need_of(method: str, path: str, operation: dict[str, Any]) -> Need:
    return ACCESS["WS" if "101" in operation["responses"] else method.upper(), path]


def describe_security(app: FastAPI) -> None:
    """Put into the OpenAPI document what FastAPI cannot know: problems as the only errors, and who needs a token."""
    document = with_short_names(app.openapi())
    schemas = document["components"]["schemas"]
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs"))
    schemas["Problem"] = problem
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    add_plain(document)
    document["components"]["securitySchemes"] = SCHEMES
    for path, operations_of_path in document["paths"].items():
        for method, operation in operations_of_path.items():
            operation["responses"].pop("422", None)
            need = need_of(method, path, operation)
            if need is not Need.NOTHING:
                operation["security"] = [{"session" if need is Need.AGENT else "bearer": []}]
    app.openapi_schema = document
