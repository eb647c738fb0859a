"""Ways to weaken a configuration by one directive, key or value. The lint must notice each of them."""

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from isthmus.ingress.syntax import Directive, line, parse, text_of

Path = tuple[int, ...]
# Where nginx runs as somebody else than root, it has none.
MAY_BE_MISSING = frozenset({"user"})

TURNED: Sequence[tuple[str, str, str]] = (
    # (directive, its arguments, what they are turned into)
    ("ssl_protocols", "TLSv1.3", "TLSv1.2 TLSv1.3"),
    ("ssl_verify_client", "on", "optional"),
    ("ssl_verify_client", "on", "optional_no_ca"),
    ("ssl_verify_client", "on", "off"),
    ("ssl_client_certificate", "anchors.pem", "/etc/ssl/certs/ca-certificates.crt"),
    ("ssl_session_cache", "off", "shared:everybody:1m"),
    ("ssl_session_tickets", "off", "on"),
    ("ssl_early_data", "off", "on"),
    ("ssl_reject_handshake", "on", "off"),
    ("merge_slashes", "off", "on"),
    ("underscores_in_headers", "off", "on"),
    ("ignore_invalid_headers", "on", "off"),
    ("client_max_body_size", "262144", "0"),
    ("large_client_header_buffers", "2 8k", "64 64k"),
    ("client_header_timeout", "10s", "600s"),
    ("client_body_timeout", "10s", "600s"),
    ("limit_conn", "isthmus_source 64", "isthmus_source 64000"),
    ("limit_conn", "isthmus_all 512", "isthmus_all 64000"),
    ("server_tokens", "off", "on"),
    ("proxy_pass", "http://isthmus_federator", "http://isthmus_federator/"),
    ("proxy_pass", "http://isthmus_federator", "http://127.0.0.1:8080"),
    ("proxy_pass_request_headers", "off", "on"),
    ("proxy_next_upstream", "off", "error timeout non_idempotent"),
    ("proxy_set_header", "Isthmus-Ingress-Leaf $ssl_client_escaped_cert", "Isthmus-Ingress-Leaf $http_client_cert"),
    ("proxy_set_header", "X-Forwarded-For $remote_addr", "X-Forwarded-For $proxy_add_x_forwarded_for"),
    ("proxy_set_header", "X-Sdwan-Network wan", "X-Sdwan-Network $http_x_sdwan_network"),
    ("error_page", "496 =401 /-/client_certificate_required/401", "496 =200 /-/client_certificate_required/401"),
    ("default", "other", "call"),
)
ADDED: Sequence[tuple[str, Directive]] = (
    ("http", line("include", "/etc/nginx/conf.d/*.conf")),
    ("http", line("ssl_verify_client", "optional")),
    ("server", line("ssl_verify_client", "optional")),
    ("server", line("ssl_protocols", "TLSv1.2")),
    ("server", line("ssl_session_tickets", "on")),
    ("server", line("listen", "0.0.0.0:80")),
    ("server", line("rewrite", "^/x/(.*)$", "/$1", "break")),
    ("server", Directive("location", ("/health",), (line("return", "200", "well"),))),
    ("location", line("proxy_set_header", "X-Calling-Instance", "$http_x_calling_instance")),
    ("location", line("proxy_set_body", "x")),
    ("location", line("include", "more.conf")),
)


def weakenings(config: str) -> Iterator[tuple[str, str]]:
    """What is done, and the whole weakened configuration, for every directive and every way."""
    tree = parse(config)
    for path, directive in _walk(tree):
        words = " ".join([directive.name, *directive.args])[:100]
        if directive.name not in MAY_BE_MISSING:
            yield f"without {words}", text_of(_changed(tree, path, lambda _: []))
        for name, before, after in TURNED:
            if directive.name == name and " ".join(directive.args) == before:
                turned = Directive(name, tuple(after.split()), directive.block)
                yield f"{name} {after}", text_of(_changed(tree, path, _being(turned)))
        for name, addition in ADDED:
            if directive.name == name and directive.block is not None:
                yield f"{words} with {addition.name}", text_of(_changed(tree, path, _adding(addition)))


def _being(other: Directive) -> Callable[[Directive], list[Directive]]:
    return lambda _: [other]


def _adding(addition: Directive) -> Callable[[Directive], list[Directive]]:
    return lambda found: [Directive(found.name, found.args, (*(found.block or ()), addition))]


def _walk(directives: Sequence[Directive], above: Path = ()) -> Iterator[tuple[Path, Directive]]:
    for number, each in enumerate(directives):
        yield (*above, number), each
        yield from _walk(each.block or (), (*above, number))


def _changed(
    directives: Sequence[Directive], path: Path, change: Callable[[Directive], list[Directive]]
) -> tuple[Directive, ...]:
    at, *rest = path
    found = directives[at]
    if not rest:
        return (*directives[:at], *change(found), *directives[at + 1 :])
    inner = _changed(found.block or (), tuple(rest), change)
    return (*directives[:at], Directive(found.name, found.args, inner), *directives[at + 1 :])


def document_weakenings(document: Any) -> Iterator[tuple[str, Any]]:
    """What is done, and the whole weakened document: every key and element left out, every value turned, and one more
    in every list and object."""
    for path, holder in [((), document), *_places(document)]:
        name = ".".join(map(str, path))
        if isinstance(holder, dict):
            yield f"{name} with one key more", _with(document, (*path, "more"), "more")
        elif isinstance(holder, list):
            yield f"{name} with one element more", _with(document, path, [*holder, "more"])
    for path, value in _places(document):
        name = ".".join(map(str, path))
        yield f"without {name}", _without(document, path)
        if isinstance(value, bool):
            yield f"{name} {not value}", _with(document, path, not value)
        elif isinstance(value, int):
            more = value * 1_000_000 + 1
            yield f"{name} {more}", _with(document, path, more)
        elif value in ("on", "off", "true", "false"):
            turned = {"on": "off", "off": "on", "true": "false", "false": "true"}[value]
            yield f"{name} {turned}", _with(document, path, turned)


def _places(document: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in inner:
        yield (*above, key), value
        yield from _places(value, (*above, key))


def _without(document: Any, path: tuple[Any, ...]) -> Any:
    changed = copy.deepcopy(document)
    del _parent(changed, path)[path[-1]]
    return changed


def _with(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    changed = copy.deepcopy(document)
    _parent(changed, path)[path[-1]] = value
    return changed


def _parent(document: Any, path: tuple[Any, ...]) -> Any:
    for key in path[:-1]:
        document = document[key]
    return document
