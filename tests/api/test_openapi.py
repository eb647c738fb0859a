"""The OpenAPI document: complete, with examples that work, and true of every answer that schemathesis provokes."""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from jsonschema_rs import Draft202012Validator
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from isthmus.server.adapters.http.access import ACCESS, API
from tests.api.agent import Agent, a_name, a_network, a_peer, a_public_key, heartbeat
from tests.conforming import faults_of, validator
from tests.server import Server, bearer

EXAMPLES = 12
CALLS = [(method, path) for method, path in ACCESS if method != "WS"]
# The document tells nothing of what they take; or a revision that is nonsense counts as none.
NOTHING_TO_SPOIL = {
    ("GET", f"{API}/{path}")
    for path in ("setup", "session/oidc", "health/live", "health/ready", "openapi.json", "agent/config")
} | {("POST", f"{API}/session/oidc/start")}
OF_AGENTS = f"{API}/agent/"
SPOILABLE = [call for call in CALLS if call not in NOTHING_TO_SPOIL]
MODES = [(*call, GenerationMode.POSITIVE) for call in CALLS] + [(*call, GenerationMode.NEGATIVE) for call in SPOILABLE]
CONFORMANCE = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def document(server: Server) -> Any:
    return httpx2.get(f"{server.url}{API}/openapi.json").raise_for_status().json()


@pytest.fixture
def ids(admin: httpx2.Client) -> dict[str, Any]:
    """Something that exists for every parameter in a path."""
    network = a_network(admin)
    address = f"{network['cidr_v6'].partition('/')[0]}99"
    admin.post(f"/networks/{network['id']}/reservations", json={"address": address}).raise_for_status()
    token = admin.post("/tokens", json={"name": "spare", "scopes": ["read"]}).raise_for_status().json()
    peer = a_peer(admin, network, kind="static")["peer"]
    template = (
        admin.post("/network-templates", json={"name": a_name("template"), "mtu": 1400}).raise_for_status().json()
    )
    made = {"network_id": network["id"], "peer_id": peer["id"], "token_id": token["id"], "address": address}
    user = admin.post("/users", json={"handle": a_name("user")}).raise_for_status().json()
    return made | {"template_id": template["id"], "revision": 2, "user_id": user["id"], "remote": "b.example"}


@pytest.fixture
def agent(server: Server, admin: httpx2.Client) -> Agent:
    return Agent.enrolled(server, a_peer(admin, a_network(admin)))


@pytest.mark.case("SEED-106")
@pytest.mark.parametrize("call", MODES, ids=lambda call: f"{call[0]} {call[1]} {call[2].value}")
def test_every_answer_is_as_the_document_says(
    server: Server, document: Any, ids: dict[str, Any], agent: Agent, call: tuple[str, str, GenerationMode]
) -> None:
    method, path, mode = call
    operation = schemathesis.openapi.from_dict(document)[path][method]
    known = {name: value for name, value in ids.items() if f"{{{name}}}" in path}
    headers = bearer(agent.session if path.startswith(OF_AGENTS) else server.token("read", "write", "admin"))
    if mode is GenerationMode.POSITIVE:
        cases, checks = operation.as_strategy(generation_mode=mode, path_parameters=known), CONFORMANCE
    else:
        cases, checks = operation.as_strategy(generation_mode=mode), [*CONFORMANCE, negative_data_rejection]

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def run(case: Case[Any]) -> None:
        answer = case.call(base_url=server.url, headers=headers)
        # A body over the bound is refused before anybody looks whether it is a good one.
        is_unread = answer.status_code == 413
        # A list or an object that is empty has no form in a query: what is spoilt so has not been sent.
        sent = parse_qs(urlsplit(str(answer.request.url)).query, keep_blank_values=True)
        is_unread |= bool((case.query or {}).keys() - sent.keys())
        told = [check for check in checks if not (is_unread and check is negative_data_rejection)]
        case.validate_response(answer, checks=told)

    run()


async def test_the_frames_of_both_streams_are_as_the_document_says(
    server: Server, document: Any, admin: httpx2.Client, agent: Agent
) -> None:
    async with agent.stream() as stream:
        frames = [await stream.connection.recv() for _ in range(2)]
    assert [told_by(document, f"{OF_AGENTS}stream", frame) for frame in frames] == ["hello", "snapshot"]
    events = f"ws://{server.address}{API}/events"
    async with connect(events, additional_headers=bearer(server.token("read")), proxy=None) as connection:
        first = await connection.recv()
        a_network(admin)
        second = await connection.recv()
    assert [told_by(document, f"{API}/events", frame) for frame in (first, second)] == ["hello", "notice"]


def told_by(document: Any, path: str, frame: str | bytes) -> str:
    """The type of a frame that the server of a stream sent, which fits the document."""
    message = json.loads(frame)
    schema = document["paths"][path]["get"]["x-frames"]["from_server"]
    Draft202012Validator({**schema, **document}).validate(message)
    spoilt = {name: value for name, value in message.items() if name != "type"}
    assert not Draft202012Validator({**schema, **document}).is_valid(spoilt)
    return str(message["type"])


@pytest.mark.case("SEED-106")
@pytest.mark.parametrize(("path", "query"), [("agent/stream", ""), ("events", ""), ("events", "?network=nonsense")])
async def test_who_may_not_open_a_stream_is_told_as_the_document_says(server: Server, path: str, query: str) -> None:
    token = server.token("read") if query else None
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"ws://{server.address}{API}/{path}{query}", additional_headers=bearer(token), proxy=None):
            pass
    validator("Problem").validate(json.loads(refused.value.response.body))
    assert refused.value.response.headers["content-type"] == "application/problem+json"


@pytest.mark.case("SEED-106")
async def test_an_agents_calls_are_answered_as_the_document_says(
    server: Server, admin: httpx2.Client, agent: Agent
) -> None:
    admin.post(f"/peers/{agent.peer_id}/rotate-key").raise_for_status()
    nonce = agent.config().nonce
    with agent.client() as client:
        said = client.post("/agent/heartbeat", json=heartbeat(nonce))
        applied = client.post("/agent/applied", json={"revision": 1, "took_ms": 3})
        spoilt = client.post("/agent/applied", json={"revision": "1", "took_ms": 3})
        rekeyed = client.post("/agent/rekey", json={"public_key": a_public_key()})
    answers = [said, applied, spoilt, rekeyed]
    assert [answer.status_code for answer in answers] == [200, 204, 422, 204]
    assert [faults_of(answer) for answer in answers] == [""] * 4


def operations_of(document: Any) -> list[tuple[str, Any]]:
    return [
        (f"{method} {path}", operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]


@pytest.mark.case("SEED-106")
def test_everything_is_described(document: Any) -> None:
    assert document["openapi"].startswith("3.1")
    assert {path for path in document["paths"] if not path.startswith(f"{API}/")} == {"/metrics"}
    names = [operation["operationId"] for _, operation in operations_of(document)]
    assert len(set(names)) == len(names)
    for name, operation in operations_of(document):
        assert operation["description"], name
        assert operation["tags"], name
        success = {status for status in operation["responses"] if status.startswith("2") or status == "101"}
        assert len(success) == 1, name
        assert operation["responses"].keys() - success - {"503"} == {"4XX", "5XX"}, name
        for status in ("4XX", "5XX"):
            content = operation["responses"][status]["content"]["application/problem+json"]
            assert content["schema"] == {"$ref": "#/components/schemas/Problem"}, name


def bodies_of(document: Any) -> dict[str, Any]:
    """The schemas of request bodies, by name. Agents of later versions may say more than this server knows."""
    found = {}
    for _, operation in operations_of(document):
        for schema in [] if "agents" in operation["tags"] else schemas_in(operation.get("requestBody", {})):
            found[schema] = document["components"]["schemas"][schema]
    return found


def schemas_in(node: Any) -> list[str]:
    if isinstance(node, list):
        return [name for item in node for name in schemas_in(item)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"].rpartition("/")[2]] if "$ref" in node else []
    return own + [name for item in node.values() for name in schemas_in(item)]


def test_bodies_take_no_field_that_they_do_not_name(document: Any) -> None:
    assert len(bodies_of(document)) >= 9
    for name, schema in bodies_of(document).items():
        assert schema["additionalProperties"] is False, name


def test_what_a_body_must_have_comes_with_an_example_unless_it_is_secret(document: Any) -> None:
    for name, schema in bodies_of(document).items():
        for field in schema.get("required", []):
            described = schema["properties"][field]
            assert described.get("examples") or described.get("format") == "password", (name, field)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ("NetworkBody", "/networks"),
        ("PeerBody", "/networks/{network}/peers"),
        ("ReservationBody", "/networks/{network}/reservations"),
        ("TokenBody", "/tokens"),
        ("TemplateBody", "/network-templates"),
        ("BulkBody", "/networks/{network}/peers/bulk"),
    ],
)
def test_the_examples_work(admin: httpx2.Client, document: Any, body: str, path: str) -> None:
    network = a_network(admin, cidr_v4="10.20.0.0/24")
    schema = document["components"]["schemas"][body]
    example = {field: schema["properties"][field]["examples"][0] for field in schema["required"]}
    if body in {"NetworkBody", "TemplateBody"}:
        example["name"] = a_name(example["name"])
    answer = admin.post(path.format(network=network["id"]), json=example)
    admin.delete(f"/networks/{network['id']}", params={"force": True}).raise_for_status()
    assert answer.status_code in {200, 201}, answer.text
