"""Whether an answer of a server is as its OpenAPI document says: status, media type and schema."""

import re
from functools import cache
from typing import Any, cast

import httpx2
from jsonschema_rs import Draft202012Validator

from isthmus.server.adapters.api.app import build_app
from isthmus.server.adapters.http.access import API

SEEN: set[tuple[str, str, str]] = set()
"""Method, path and status of every answer that was judged in this process."""


@cache
def the_document() -> Any:
    nothing = cast("Any", None)
    return build_app(nothing, nothing, nothing).openapi()


@cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    """Paths without parameters come first: they are the more special ones."""
    paths = sorted(the_document()["paths"], key=lambda path: path.count("{"))
    return [(path, re.compile(re.sub(r"\\{[^}]*\\}", "[^/]+", re.escape(path)))) for path in paths]


@cache
def validator(name: str) -> Draft202012Validator:
    """Of a schema that has a name in the document."""
    return _validator_of(f"/components/schemas/{name}")


@cache
def _validator_of(pointer: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#{pointer}", **the_document()})


def operation_at(method: str, path: str) -> tuple[str, Any]:
    """The path as the document has it, with the operation; an empty path where it has none."""
    for known, pattern in _patterns():
        operation = the_document()["paths"][known].get(method.lower())
        if operation and pattern.fullmatch(path):
            return known, operation
    return "", {}


def faults_of(answer: httpx2.Response) -> str:
    """What the document does not allow of this answer, which has been read; empty where it fits."""
    path, operation = operation_at(answer.request.method, answer.request.url.path)
    if not path:
        # Nothing of the API: what is told then is a problem all the same.
        is_told = answer.status_code >= 400 and answer.request.url.path.startswith(f"{API}/")
        return _misfit(answer, "/components/schemas/Problem") if is_told and answer.content else ""
    responses = operation["responses"]
    status = next((own for own in (str(answer.status_code), f"{answer.status_code // 100}XX") if own in responses), "")
    if not status:
        return f"status {answer.status_code} is not described"
    SEEN.add((answer.request.method, path, str(answer.status_code)))
    media = answer.headers.get("content-type", "").partition(";")[0]
    content = responses[status].get("content", {})
    if not content:
        return "has a body that is not described" if answer.content else ""
    if media not in content:
        return f"{media or 'no media type'} is not described for {status}"
    if not media.endswith("json"):
        return ""
    steps = ["paths", path, answer.request.method.lower(), "responses", status, "content", media, "schema"]
    return _misfit(answer, "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps))


def _misfit(answer: httpx2.Response, pointer: str) -> str:
    # In a fragment of a URI braces and percent signs are escaped.
    escaped = pointer.replace("{", "%7B").replace("}", "%7D")
    return "; ".join(
        f"{error.instance_path}: {error.message}" for error in _validator_of(escaped).iter_errors(answer.json())
    )


def judge(answer: httpx2.Response) -> None:
    if faults := faults_of(answer):
        raise AssertionError(f"{answer.request.method} {answer.request.url.path} {answer.status_code}: {faults}")
