"""JSON from strangers, looked at before it is decoded: cheap to refuse, and with one meaning only.

Decoders disagree on what RFC 8259 leaves open (a key given twice, numbers without end, halves of surrogate pairs), and
some of it costs them much. What passes here is UTF-8, bounded in depth, size and digits, and reads alike everywhere.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

import msgspec


@dataclass(frozen=True, slots=True)
class Bounds:
    """`values` counts strings, numbers and brackets; `digits` the characters of one number."""

    depth: int = 16
    values: int = 5_000
    digits: int = 24


REQUEST = Bounds()
RESPONSE = Bounds(values=20_000)

# Whole strings at a time, so that brackets and digits inside of them are none. Possessive: nothing is tried twice.
TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[{]|[\]}]|[-0-9][-+.0-9eE]*+', re.DOTALL)
OPENING, CLOSING, QUOTE = b"[{", b"]}", b'"'


@dataclass(eq=False)
class NotPlain(Exception):
    """`code` is `json_limits` or `json_invalid`; `detail` names the rule and repeats nothing of the text."""

    code: str
    detail: str

    def __str__(self) -> str:
        return self.detail


def check(raw: bytes, bounds: Bounds = REQUEST) -> None:
    """Raises `NotPlain` unless `raw` is one JSON text that keeps within `bounds`."""
    _measure(raw, bounds)
    try:
        # Strict about UTF-8, surrogates, NaN, numbers without end and whatever follows the text.
        msgspec.json.decode(raw)
        json.loads(raw, object_pairs_hook=_once, parse_int=len, parse_float=len)
    except NotPlain:
        raise
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise NotPlain("json_invalid", "the body is not one JSON text in UTF-8") from None


def _measure(raw: bytes, bounds: Bounds) -> None:
    depth = 0
    for values, token in enumerate(TOKEN.finditer(raw), 1):
        first = raw[token.start()]
        if first in OPENING:
            depth += 1
            if depth > bounds.depth:
                raise NotPlain("json_limits", f"is nested more than {bounds.depth} deep")
        elif first in CLOSING:
            depth -= 1
        elif first != QUOTE[0] and token.end() - token.start() > bounds.digits:
            raise NotPlain("json_limits", f"holds a number of more than {bounds.digits} characters")
        if values > bounds.values:
            raise NotPlain("json_limits", f"holds more than {bounds.values} values")


def _once(pairs: list[tuple[str, Any]]) -> None:
    """What the object holds does not matter here: only that each key is given once."""
    if len({key for key, _ in pairs}) != len(pairs):
        raise NotPlain("json_invalid", "gives a key twice")


PLACE = re.compile(r" - at (?:`key` in )?`\$(.*)`$", re.DOTALL)
STEP = re.compile(r"\.([^.\[\]]+)|\[([^\]]*)\]")
UNKNOWN = re.compile(r"Object contains unknown field `([A-Za-z0-9_-]{1,64})`")


def pointed(error: Exception) -> tuple[str, str]:
    """A decoder's complaint as JSON pointer and text, which names types and rules and never a value."""
    text = str(error)
    found = PLACE.search(text)
    steps = STEP.findall(found[1]) if found else []
    parts = [key or index for key, index in steps]
    text = text[: found.start()] if found else text
    if unknown := UNKNOWN.match(text):
        parts.append(unknown[1])
        text = "is not a field of this call"
    elif text.startswith("Object contains unknown field"):
        text = "holds a field that this call does not have"
    elif text.startswith("Invalid enum value"):
        text = "is none of the values that this field takes"
    return "/" + "/".join(part.replace("~", "~0").replace("/", "~1") for part in parts), text
