"""What FastAPI does not describe: the agents' calls, the streams and the document itself, from their messages."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from isthmus.protocol import agent, notice
from isthmus.server.adapters.api.routes.router import PROBLEMS
from isthmus.server.adapters.http.access import API

Json = dict[str, Any]
AGENT, EVENT = "Agent", "Event"
REVISION = {
    "name": "revision",
    "in": "query",
    "required": False,
    "description": "The revision that the agent has; anything but a number counts as none.",
    "schema": {"type": "string"},
}
NETWORK = {
    "name": "network",
    "in": "query",
    "required": False,
    "description": "Hear of this network, of several where it is given more than once; left out: of all.",
    "schema": {"type": "array", "maxItems": 64, "items": {"type": "string", "format": "uuid"}},
}


@dataclass(frozen=True, slots=True)
class Plain:
    """One call. `takes` and `gives` are messages; a `stream` sends those in `gives`, and gets those in `takes`."""

    id: str
    tag: str
    description: str
    takes: tuple[type, ...] = ()
    gives: tuple[type, ...] = ()
    status: int = 200
    parameters: tuple[Json, ...] = ()
    is_stream: bool = False
    prefix: str = AGENT


DOCUMENT = Plain("getOpenApi", "operations", "This document.")
PLAIN: dict[tuple[str, str], Plain] = {
    ("get", f"{API}/openapi.json"): DOCUMENT,
    ("post", f"{API}/agent/enroll"): Plain(
        "enrollAgent",
        "agents",
        "Spend an enrollment token: the host becomes the peer that the token was made for.",
        (agent.EnrollRequest,),
        (agent.EnrollAnswer,),
        201,
    ),
    ("get", f"{API}/agent/config"): Plain(
        "getAgentConfig",
        "agents",
        "The whole config, or what has changed since a revision, or neither where nothing has.",
        gives=(agent.ConfigAnswer,),
        parameters=(REVISION,),
    ),
    ("post", f"{API}/agent/heartbeat"): Plain(
        "agentHeartbeat", "agents", "What the host sees of its tunnel.", (agent.Heartbeat,), (agent.Ack,)
    ),
    ("post", f"{API}/agent/applied"): Plain(
        "agentApplied", "agents", "A revision is in effect on the host, or why not.", (agent.Applied,), status=204
    ),
    ("post", f"{API}/agent/rekey"): Plain(
        "agentRekey", "agents", "The public half of a key that the host has just made.", (agent.Rekey,), status=204
    ),
    ("post", f"{API}/agent/instance"): Plain(
        "getAgentInstance",
        "agents",
        "A new leaf for the instance on the agent's host.",
        (agent.InstanceRequest,),
        (agent.InstanceAnswer,),
    ),
    ("get", f"{API}/agent/stream"): Plain(
        "agentStream",
        "agents",
        "The same calls as a WebSocket, on which the server says at once what has changed.",
        agent.FromAgent.__args__,
        agent.FromServer.__args__,
        101,
        (REVISION,),
        is_stream=True,
    ),
    ("get", f"{API}/events"): Plain(
        "events",
        "operations",
        "A WebSocket on which the server tells that something changed, and where.",
        (),
        notice.FromServer.__args__,
        101,
        (NETWORK,),
        is_stream=True,
        prefix=EVENT,
    ),
}


def add_plain(document: Json) -> None:
    """Put these operations and the schemas of their messages into the document."""
    messages = {(call.prefix, each) for call in PLAIN.values() for each in (*call.takes, *call.gives)}
    for prefix in (AGENT, EVENT):
        document["components"]["schemas"] |= schemas_of(prefix, [each for own, each in messages if own == prefix])
    for (method, path), call in PLAIN.items():
        document["paths"].setdefault(path, {})[method] = operation_of(call, document["components"]["schemas"])


def schemas_of(prefix: str, messages: Iterable[type]) -> Json:
    template = f"#/components/schemas/{prefix}{{name}}"
    ordered = sorted(messages, key=lambda each: each.__name__)
    _, found = msgspec.json.schema_components(ordered, ref_template=template)
    return {f"{prefix}{name}": _without_anchors(schema) for name, schema in found.items()}


def operation_of(call: Plain, schemas: Json) -> Json:
    names = [f"{call.prefix}{each.__name__}" for each in call.gives]
    success: Json = {"description": "Successful Response"}
    operation: Json = {
        "tags": [call.tag],
        "description": call.description,
        "operationId": call.id,
        "responses": {str(call.status): success, **{str(status): each for status, each in PROBLEMS.items()}},
    }
    if call.parameters:
        operation["parameters"] = list(call.parameters)
    if call.is_stream:
        success["description"] = "The WebSocket is open."
        takes = [f"{call.prefix}{each.__name__}" for each in call.takes]
        # OpenAPI has no words for what passes a WebSocket.
        operation["x-frames"] = {"from_server": _one_of(names), "from_client": _one_of(takes)}
        return operation
    if call.takes:
        (message,) = call.takes
        name = f"{call.prefix}{message.__name__}"
        operation["requestBody"] = {"required": True, "content": _json(_as_body(schemas[name]))}
    if names:
        success["content"] = _json({"$ref": f"#/components/schemas/{names[0]}"})
    elif call is DOCUMENT:
        success["content"] = _json({"type": "object"})
    return operation


def _as_body(schema: Json) -> Json:
    """The path says which message a body is, so that its `type` may be left out."""
    return schema | {"required": [name for name in schema.get("required", []) if name != "type"]}


def _one_of(names: Iterable[str]) -> Json:
    return {"oneOf": [{"$ref": f"#/components/schemas/{name}"} for name in names]}


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _without_anchors(schema: Mapping[str, Any]) -> Json:
    r"""JSON Schema has regular expressions of ECMA 262, which know no `\A` and `\Z`."""
    plain: Json = json.loads(json.dumps(schema).replace(r"\\A", "^").replace(r"\\Z", "$"))
    return plain
