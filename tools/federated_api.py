"""The reference of the federated API, made from the table of its calls: `python -m tools.federated_api` writes it, with
`--check` it fails where the page in the repository is another one."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect as look

from isthmus.protocol.federation import (
    API_VERSIONS,
    CALL_SECONDS,
    ERRORS_OF_EVERY_CALL,
    ERRORS_OF_EVERY_MUTATION,
    MOST_REQUEST,
    MOST_RESPONSE,
    RPCS,
    STANDING,
    Rpc,
)
from isthmus.protocol.problem import STATUS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "federated-api.md"
REQUEST, RESPONSE = f"{MOST_REQUEST // 1024} KiB", f"{MOST_RESPONSE // 1024} KiB"
HEAD = f"""# Federated API

<!-- Made by `python -m tools.federated_api` from `src/isthmus/protocol/federation.py`. Edit that, not this. -->

What a remote backend can ask of this one. Every call is `POST /federation/<component>/<rpc>` over mutual TLS to the
ingress, with `Isthmus-Origin-Domain` and `Isthmus-Api-Version`, a body of JSON in UTF-8 of at most {REQUEST}, an answer
of at most {RESPONSE}, and {CALL_SECONDS:g} seconds for all of it. Unknown fields in a request are refused; those in an
answer are ignored, so that later versions may add some. Refusals are problem documents (RFC 9457).

A *mutation* carries a signature of the origin's message key (RFC 9421) and an `Idempotency-Key`; sent again under the
same key it has no second effect and gets the same answer.

This release speaks version {", ".join(map(str, API_VERSIONS))} of the API.
"""


def page() -> str:
    parts = [HEAD, contents()]
    for component in sorted({component for component, _ in RPCS}):
        parts.append(f"## {component}\n")
        parts += [entry(*key) for key in sorted(RPCS) if key[0] == component]
    parts.append(errors())
    return "\n".join(parts)


def contents() -> str:
    rows = [
        f"| [`{component}/{rpc}`](#{component}{rpc}) | {RPCS[component, rpc].summary} |"
        for component, rpc in sorted(RPCS)
    ]
    return "\n".join(["| call | what for |", "|---|---|", *rows, ""])


def entry(component: str, rpc: str) -> str:
    described = RPCS[component, rpc]
    lines = [f"### {component}/{rpc}", "", f"{described.summary}.", "", *facts(component, rpc, described), ""]
    lines += ["**Request**", "", *fields_of(described.request), "", "**Response**", "", *fields_of(described.response)]
    return "\n".join([*lines, ""])


def facts(component: str, rpc: str, described: Rpc) -> Iterator[str]:
    yield f"- path: `POST /federation/{component}/{rpc}`"
    yield f"- API versions: {', '.join(map(str, described.versions))}"
    yield f"- for: {'; '.join(sorted(each.value for each in described.admits))}"
    yield f"- mutation: {'yes' if described.changes else 'no'}"
    yield f"- needs: {needs(component, described)}"
    yield f"- errors of its own: {', '.join(f'`{code}`' for code in described.errors) or 'none'}"


def needs(component: str, described: Rpc) -> str:
    if described.scope is not None:
        return f"a grant with the scope `{described.scope}` for the `kind` and `id` of the request"
    return "no grant" if component in STANDING else "no grant, and a bridge or the permission for the network `wan`"


def fields_of(struct: type[Any]) -> Iterator[str]:
    """A table of the fields, or a word on there being none."""
    if text := struct.__dict__.get("__doc__"):  # its own, not that of its base class
        yield from [" ".join(text.split()), ""]
    found = look.type_info(struct)
    if not isinstance(found, look.StructType):
        raise TypeError(f"{struct} is no struct, as all of the table are")
    if not found.fields:
        yield "No fields: `{}`."
        return
    yield from ["| field | type | |", "|---|---|---|"]
    for field in found.fields:
        yield f"| `{field.encode_name}` | {type_of(field.type)} | {presence_of(field)} |"
    for inner in {each.cls for field in found.fields for each in structs_in(field.type)}:
        yield from ["", f"Each `{inner.__name__}`:", "", *fields_of(inner)]


def presence_of(field: look.Field) -> str:
    if field.required:
        return "required"
    if field.default is not msgspec.NODEFAULT:
        return f"default `{msgspec.json.encode(field.default).decode()}`"
    return "optional"


def type_of(kind: look.Type) -> str:
    """A type with its bounds, in words."""
    match kind:
        case look.StrType():
            length = span("characters", kind.min_length, kind.max_length)
            pattern = "" if kind.pattern is None else f"matching `{kind.pattern.replace('|', chr(92) + '|')}`"
            return joined("string", length, pattern)
        case look.IntType():
            return joined("integer", span("", kind.ge, kind.le))
        case look.FloatType():
            return joined("number", span("", kind.ge, kind.le))
        case look.LiteralType():
            return "one of " + ", ".join(f"`{value}`" for value in kind.values)
        case look.ListType():
            return joined(f"list of {type_of(kind.item_type)}", span("items", kind.min_length, kind.max_length))
        case look.DictType():
            inside = f"object of {type_of(kind.value_type)} by {type_of(kind.key_type)}"
            return joined(inside, span("entries", kind.min_length, kind.max_length))
        case look.StructType():
            return f"`{kind.cls.__name__}`"
    return several(kind)


def several(kind: look.Type) -> str:
    """A type that is made of others, or has a name alone."""
    match kind:
        case look.TupleType():
            return f"list of {len(kind.item_types)}: {' and '.join(map(type_of, kind.item_types))}"
        case look.UnionType():
            return " or ".join(map(type_of, kind.types))
        case look.BoolType():
            return "boolean"
        case look.NoneType():
            return "null"
        case look.AnyType():
            return "anything"
    raise TypeError(f"the reference has no words for {kind}: add some here")


def structs_in(kind: look.Type) -> Iterator[look.StructType]:
    if isinstance(kind, look.StructType):
        yield kind
    if isinstance(kind, look.ListType):
        yield from structs_in(kind.item_type)


def span(unit: str, least: float | None, most: float | None) -> str:
    if least is None and most is None:
        return ""
    if least is None:
        return f"at most {most} {unit}".rstrip()
    return (f"at least {least} {unit}" if most is None else f"{least} to {most} {unit}").rstrip()


def joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def errors() -> str:
    """Every code that a call can end with, and where."""
    own = sorted({code for rpc in RPCS.values() for code in rpc.errors})
    tables = {
        "Errors of every call": ERRORS_OF_EVERY_CALL,
        "Errors of every mutation": ERRORS_OF_EVERY_MUTATION,
        "Errors of single calls": own,
    }
    parts = []
    for title, codes in tables.items():
        parts += [f"## {title}", "", "| code | status |", "|---|---|"]
        parts += [f"| `{code}` | {STATUS[code]} |" for code in codes]
        parts.append("")
    return "\n".join(parts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where the page is another one")
    if not parser.parse_args().check:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page():
        return 0
    print(f"{PAGE.name} is stale: write it anew with python -m tools.federated_api", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
