"""The variables of an nginx configuration: what a request line is, whose request it is, what its refusal is called.

Parts of regular expressions are variables too: those are called `part_…`, or one could take another variable's place.
"""

from pathlib import Path

from isthmus.ingress.syntax import Directive, block, line
from isthmus.protocol.ingress import METHOD_OVERRIDES, TRUST_HEADERS

SEGMENT = "[a-z][a-z0-9-]{0,62}"
CALL = f"/federation/{SEGMENT}/{SEGMENT}"
PAIR = "$isthmus_pair"
LONGEST_PATH = 256
LONGEST_ID = 128
LONGEST_NAME = 128


def maps() -> list[Directive]:
    return [*_request_lines(), *_request_ids(), *_presented(), *_refusals()]


def pair_map(pairs: Path) -> Directive:
    """The folder of certificate and key.

    A variable in their names has nginx read them for each handshake, so that new ones take no reload, which would close
    the connections that remotes keep open. It is looked up once a handshake, by where `root` leads: both halves come
    out of one folder, whenever that link is turned.
    """
    return _map("$realpath_root", PAIR, {"default": "", "~/(?<part_pair>[0-9a-f-]+)$": f"{pairs}/$part_pair"})


def _map(source: str, target: str, values: dict[str, str]) -> Directive:
    return block("map", source, target, of=[line(key, value) for key, value in values.items()])


def _request_lines() -> list[Directive]:
    # The line as it came: nginx decodes `%64`, resolves `..` and drops scheme and host before it looks for a location.
    return [
        _map(
            "$request",
            "$isthmus_line",
            {
                "default": "other",
                rf"~^POST {CALL} HTTP/1\.1$": "call",
                rf"~^[A-Z]+ {CALL} HTTP/1\.1$": "method",
                rf"~^[A-Z]+ {CALL}[?#][^ ]* HTTP/1\.1$": "query",
                r"~ HTTP/1\.0$": "malformed",
            },
        ),
        _map(
            "$ssl_server_name $host",
            "$isthmus_host_agrees",
            {"default": "no", r"~*^(?<part_name>[a-z0-9.-]+) \k<part_name>$": "yes"},
        ),
        # One that another HTTP stack might obey. Of the caller's headers nobody behind us would see it.
        _map(
            "".join(f"$http_{name.lower().replace('-', '_')}" for name in METHOD_OVERRIDES),
            "$isthmus_override",
            {"default": "yes", "": "no"},
        ),
        _map("$server_port", "$isthmus_everybody", {"default": "all"}),
    ]


def _request_ids() -> list[Directive]:
    # 120 random bits in the form of a version 4 UUID.
    digits = r"~^(?<part_a>.{8})(?<part_b>.{4}).(?<part_c>.{3}).(?<part_d>.{3})(?<part_e>.{12})$"
    return [
        _map(
            "$request_id", "$isthmus_request_id", {"default": "", digits: "$part_a-$part_b-4$part_c-8$part_d-$part_e"}
        ),
        _map(
            "$http_x_request_id",
            "$isthmus_caller_request_id",
            {"default": "", rf"~^(?<part_id>[\x21-\x7e]{{1,{LONGEST_ID}}})": "$part_id"},
        ),
    ]


def _presented() -> list[Directive]:
    names = [(name, name.lower().replace("-", "_")) for name in TRUST_HEADERS]
    listed = "".join(f"$isthmus_has_{variable}" for _, variable in names)
    return [
        *(
            _map(f"$http_{variable}", f"$isthmus_has_{variable}", {"default": f"{name},", "": ""})
            for name, variable in names
        ),
        _map(listed, "$isthmus_presented", {"default": "", "~^(?<part_names>.+),$": "$part_names"}),
    ]


def _refusals() -> list[Directive]:
    return [
        # An empty code is no refusal of ours. Without a location of ours nginx has answered by itself; what the
        # Federator answered has an upstream, and who left before there was a line has asked for nothing.
        _map(
            "$isthmus_refusal",
            "$isthmus_code",
            {"default": "$isthmus_refusal", "": "$isthmus_unnamed"},
        ),
        _map(
            "$upstream_addr $status $request",
            "$isthmus_unnamed",
            {
                "default": "",
                "~^ (400|408|505) .": "malformed_request",
                "~^ 414 ": "headers_too_large",
                "~^ (4[0-8]|5).. .": "internal",
            },
        ),
        _map("$request_uri", "$isthmus_shown_path", {"": "$isthmus_shown_line", **_beginning("path", LONGEST_PATH)}),
        _map("$request", "$isthmus_shown_line", _beginning("line", LONGEST_PATH)),
        # The way to a problem document turns the method into GET, so it comes from the request line.
        _map(
            "$request",
            "$isthmus_shown_method",
            {"default": "", "~^(?<part_method>[A-Za-z_-]{1,16}) ": "$part_method"},
        ),
        _map("$ssl_client_verify", "$isthmus_shown_verify", _beginning("verify", LONGEST_NAME)),
        _map("$http_host", "$isthmus_shown_host", _beginning("host", LONGEST_NAME)),
    ]


def _beginning(name: str, most: int) -> dict[str, str]:
    """The values of a map that cuts its source off."""
    return {"default": "", rf"~^(?<part_{name}>[^\r\n]{{0,{most}}})": f"$part_{name}"}
