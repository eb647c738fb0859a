"""Whether an nginx configuration still is what the contract of the ingress asks for.

The tables below say it once more, apart from the renderer: a mistake in one of the two is found by the other. What a
table does not know has no place, so nothing can be slipped in either.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from isthmus.ingress.facts import DEEPEST_CHAIN, certificates_of
from isthmus.ingress.nginx import ANCHORS, CONFIG, DIGEST, digest_of
from isthmus.ingress.nginx_errors import error_locations, error_pages
from isthmus.ingress.nginx_maps import maps
from isthmus.ingress.passed_calls import BEGINNING
from isthmus.ingress.refused import FactsRefused
from isthmus.ingress.syntax import Directive, SyntaxBroken, parse
from isthmus.protocol.places import MOST_REPLICAS

Args = tuple[str, ...]
Want = Args | Callable[[Args], bool]


def _number(highest: int, lowest: int = 1, unit: str = "") -> Callable[[Args], bool]:
    pattern = re.compile(rf"(\d{{1,12}}){unit}")

    def is_within(args: Args) -> bool:
        found = pattern.fullmatch(args[0]) if len(args) == 1 else None
        return found is not None and lowest <= int(found[1]) <= highest

    return is_within


def _seconds(highest: int) -> Callable[[Args], bool]:
    return _number(highest, unit="s")


def _one(args: Args) -> bool:
    return len(args) == 1


TOP: Mapping[str, Want] = {
    "daemon": ("off",),
    "worker_processes": _one,
    "worker_rlimit_nofile": ("8704",),
    "worker_shutdown_timeout": _seconds(10),
    "pid": _one,
    "error_log": ("stderr", "warn"),
}
EVENTS: Mapping[str, Want] = {"worker_connections": _number(65_536, 512)}
HTTP: Mapping[str, Want] = {
    "client_body_temp_path": _one,
    "proxy_temp_path": _one,
    "fastcgi_temp_path": _one,
    "uwsgi_temp_path": _one,
    "scgi_temp_path": _one,
    "root": lambda args: len(args) == 1 and args[0].startswith("/") and args[0].endswith("/mark"),
    "ssl_protocols": ("TLSv1.3",),
    "ssl_certificate": ("$isthmus_pair/chain.pem",),
    "ssl_certificate_key": ("$isthmus_pair/key.pem",),
    "ssl_client_certificate": ("anchors.pem",),
    "ssl_verify_client": ("on",),
    "ssl_verify_depth": _number(DEEPEST_CHAIN),
    "ssl_session_cache": ("off",),
    "ssl_session_tickets": ("off",),
    "ssl_early_data": ("off",),
    "merge_slashes": ("off",),
    "underscores_in_headers": ("off",),
    "ignore_invalid_headers": ("on",),
    "client_max_body_size": _number(16 * 1024 * 1024, 1024),
    "client_body_buffer_size": _number(16 * 1024 * 1024, 1024),
    "client_header_buffer_size": ("1k",),
    "large_client_header_buffers": ("2", "8k"),
    "client_header_timeout": _seconds(10),
    "client_body_timeout": _seconds(10),
    "send_timeout": _seconds(10),
    "lingering_time": _seconds(10),
    "lingering_timeout": _seconds(10),
    "keepalive_timeout": _seconds(75),
    "keepalive_requests": _number(100_000),
    "reset_timedout_connection": ("on",),
    "limit_conn_status": ("429",),
    "server_tokens": ("off",),
    "default_type": ("application/problem+json",),
    "msie_padding": ("off",),
    "max_ranges": ("0",),
    "uninitialized_variable_warn": ("off",),
    "variables_hash_max_size": ("4096",),
    "access_log": ("off",),
    "upstream": ("isthmus_federator",),
}
MANY_IN_HTTP = frozenset({"limit_conn_zone", "limit_conn", "add_header", "map", "error_page", "log_format", "server"})
LIMITS = (
    ("limit_conn_zone", "$binary_remote_addr", "zone=isthmus_source:4m"),
    ("limit_conn_zone", "$isthmus_everybody", "zone=isthmus_all:64k"),
    ("limit_conn", "isthmus_source", "64"),
    ("limit_conn", "isthmus_all", "512"),
    ("add_header", "Cache-Control", "no-store", "always"),
    ("add_header", "X-Request-Id", "$isthmus_request_id", "always"),
)
SEGMENT = "[a-z][a-z0-9-]{0,62}"
CALLS = {
    "default": "other",
    rf"~^POST /federation/{SEGMENT}/{SEGMENT} HTTP/1\.1$": "call",
    rf"~^[A-Z]+ /federation/{SEGMENT}/{SEGMENT} HTTP/1\.1$": "method",
    rf"~^[A-Z]+ /federation/{SEGMENT}/{SEGMENT}[?#][^ ]* HTTP/1\.1$": "query",
    r"~ HTTP/1\.0$": "malformed",
}
UPSTREAM: Mapping[str, Want] = {
    "keepalive": _number(1024),
    "keepalive_timeout": _seconds(60),
}
CALL: Mapping[str, Want] = {
    "proxy_pass": ("http://isthmus_federator",),
    "proxy_http_version": ("1.1",),
    "proxy_pass_request_headers": ("off",),
    "proxy_request_buffering": ("on",),
    "proxy_buffering": ("on",),
    "proxy_buffer_size": ("16k",),
    "proxy_buffers": ("8", "16k"),
    "proxy_max_temp_file_size": ("0",),
    "proxy_next_upstream": ("off",),
    "proxy_redirect": ("off",),
    "proxy_hide_header": ("Cache-Control",),
    "add_header": ("Cache-Control", "no-store", "always"),
    "proxy_connect_timeout": _seconds(10),
    "proxy_send_timeout": _seconds(10),
    "proxy_read_timeout": _seconds(30),
    "proxy_ignore_headers": (
        "X-Accel-Redirect", "X-Accel-Expires", "X-Accel-Limit-Rate", "X-Accel-Buffering", "X-Accel-Charset",
    ),
}  # fmt: skip
OF_SEVERAL: Mapping[str, Want] = {**CALL, "proxy_next_upstream": ("error",)}
REFUSED_IN_CALL = [
    ("($isthmus_host_agrees != yes)", "472"),
    ("($isthmus_line = malformed)", "471"),
    ("($isthmus_line = method)", "405"),
    ("($isthmus_line = query)", "470"),
    ("($isthmus_line != call)", "404"),
    ("($isthmus_override != no)", "405"),
]
REFUSED_ELSEWHERE = [("($isthmus_line = malformed)", "471"), ("($isthmus_host_agrees != yes)", "472")]
# None stands for a constant of the listener.
SENT: Mapping[str, str | None] = {
    "Host": "isthmus-federator",
    "Connection": "",
    "Isthmus-Ingress-Leaf": "$ssl_client_escaped_cert",
    "Isthmus-Ingress-Listener": None,
    "Isthmus-Ingress-Secret": None,
    "X-Sdwan-Network": None,
    "X-Forwarded-For": "$remote_addr",
    "Isthmus-Ingress-Request-Id": "$isthmus_request_id",
    "Isthmus-Caller-Request-Id": "$isthmus_caller_request_id",
    "Isthmus-Ingress-Presented": "$isthmus_presented",
    "Isthmus-Origin-Domain": "$http_isthmus_origin_domain",
    "Isthmus-Api-Version": "$http_isthmus_api_version",
    "Idempotency-Key": "$http_idempotency_key",
    "Content-Digest": "$http_content_digest",
    "Signature": "$http_signature",
    "Signature-Input": "$http_signature_input",
    "Authorization": "$http_authorization",
    "Content-Type": "$http_content_type",
    "Content-Encoding": "$http_content_encoding",
}
PART = re.compile(r"\(\?<(\w+)>")
ROUTE = f"^/federation/{SEGMENT}/{SEGMENT}$"


def lint(files: Mapping[str, str]) -> list[str]:
    """What is wrong with a configuration, by file name; an empty list if nothing is."""
    missing = [name for name in (CONFIG, ANCHORS, DIGEST) if name not in files]
    if missing:
        return [f"{name} is missing" for name in missing]
    try:
        tree = parse(files[CONFIG])
    except SyntaxBroken as error:
        return [f"{CONFIG}: {error}"]
    return [*(f"{CONFIG}: {each}" for each in _top(tree)), *_beside(files)]


def _beside(files: Mapping[str, str]) -> Iterator[str]:
    try:
        certificates_of(files[ANCHORS], ANCHORS)
    except FactsRefused as refused:
        yield str(refused)
    digest = files[DIGEST].strip()
    if f'"digest":"{digest}"' not in files[CONFIG] or digest_of(files) != digest:
        yield f"{DIGEST}: it is not that of {CONFIG} and {ANCHORS}: one of them was changed by hand"


def check_block(
    where: str, found: Sequence[Directive], singles: Mapping[str, Want], others: Sequence[str] = ()
) -> list[str]:
    """Each of `singles` once and as wanted; nothing else than `others`, which are looked at elsewhere."""
    findings = []
    by_name: dict[str, list[Directive]] = {}
    for each in found:
        by_name.setdefault(each.name, []).append(each)
    for name, want in singles.items():
        present = by_name.get(name, [])
        if len(present) != 1:
            findings.append(f"{where}: {name} is {'missing' if not present else 'there more than once'}")
        elif not (want(present[0].args) if callable(want) else present[0].args == want):
            wanted = f", not {' '.join(want)}" if isinstance(want, tuple) else ""
            findings.append(f"{where}: {name} is {' '.join(present[0].args) or 'empty'}{wanted}")
    findings += [f"{where}: {name} has no place here" for name in by_name if name not in singles and name not in others]
    return findings


def _top(tree: Sequence[Directive]) -> Iterator[str]:
    yield from check_block("main", tree, {**TOP, "events": (), "http": ()}, ("user",))
    whole = Directive("main", (), tuple(tree))
    for events in whole.inside("events"):
        yield from check_block("events", events.block or (), EVENTS)
    for http in whole.inside("http"):
        yield from _http(http)


def _http(http: Directive) -> Iterator[str]:
    yield from check_block("http", http.block or (), HTTP, tuple(MANY_IN_HTTP))
    limits = [(each.name, *each.args) for each in http.block or () if each.name in {row[0] for row in LIMITS}]
    yield from differences("http", limits, LIMITS)
    named = [each for each in http.inside("map") if each.args[1:] == ("$isthmus_pair",)]
    yield from differences("http", [each for each in http.inside("map") if each not in named], maps())
    if [_is_folder_of_pair(each) for each in named] != [True]:
        yield "http: the map of the certificate's folder is not ours"
    yield from differences("http", http.inside("error_page"), list(error_pages()))
    lines = [each for each in http.inside("map") if each.args[1:] == ("$isthmus_line",)]
    if [each.args for each in lines] != [("$request", "$isthmus_line")] or pairs_of(lines[0]) != CALLS:
        yield "http: the map of request lines is not the strict one on raw bytes"
    parts = {name for each in http.inside("map") for key in each.block or () for name in PART.findall(key.name)}
    taken = parts & {each.args[1].removeprefix("$") for each in http.inside("map") if len(each.args) > 1}
    if taken or not all(name.startswith("part_") for name in parts):
        yield "http: a part of a regular expression has the name of another variable"
    federators = 0
    for upstream in http.inside("upstream"):
        yield from check_block("upstream", upstream.block or (), UPSTREAM, ("server",))
        sockets = [each.args for each in upstream.inside("server")]
        federators = len(sockets)
        if not are_federators(sockets):
            yield "upstream: the servers are not the sockets of one Federator or several"
    yield from _servers(http, several=federators > 1)


def are_federators(sockets: Sequence[Args]) -> bool:
    are_ours = all(len(args) == 2 and args[0].startswith("unix:/") and args[1] == "max_fails=0" for args in sockets)
    return are_ours and 0 < len(set(sockets)) == len(sockets) <= MOST_REPLICAS


def _is_folder_of_pair(mapping: Directive) -> bool:
    values = pairs_of(mapping)
    folder = values.pop("~/(?<part_pair>[0-9a-f-]+)$", "")
    is_one = folder.startswith("/") and folder.endswith("/$part_pair") and folder.count("$") == 1
    return mapping.args[0] == "$realpath_root" and values == {"default": ""} and is_one


def pairs_of(mapping: Directive) -> dict[str, str]:
    return {each.name: " ".join(each.args) for each in mapping.block or ()}


def differences(where: str, found: Sequence[object], wanted: Sequence[object]) -> Iterator[str]:
    if list(found) == list(wanted):
        return
    for each in wanted:
        if each not in found:
            yield f"{where}: {_named(each)} is missing or changed"
    for each in found:
        if each not in wanted:
            yield f"{where}: {_named(each)} is not one of ours"
    yield f"{where}: the directives are not those that were rendered, in their order"


def _named(each: object) -> str:
    words = (each.name, *each.args) if isinstance(each, Directive) else each if isinstance(each, tuple) else (each,)
    return " ".join(map(str, words))[:120]


def _servers(http: Directive, *, several: bool) -> Iterator[str]:
    formats = {each.args[0]: each.args[1:] for each in http.inside("log_format") if each.args}
    closed, opened, status = set(), set(), 0
    for server in http.inside("server"):
        listen = server.inside("listen")
        args = listen[0].args if listen else ()
        if args and args[0].startswith("unix:"):
            status += 1
            yield from _status(server)
        elif "default_server" in args:
            closed.add(args[0])
            yield from _closed(server, formats, several=several)
        else:
            opened.add(args[0] if args else "")
            yield from _ours(server, formats, several=several)
    if status != 1:
        yield f"http: there are {status} status servers, not one"
    if closed != opened or not opened:
        yield "http: not every address has one server that refuses handshakes for unknown names, and one of ours"
    if len(formats) != 2 * len(opened):
        yield "http: there are not two log formats for each listener, for what is refused and for calls"


def _listen(*flags: str, shared: bool = False) -> Callable[[Args], bool]:
    allowed = {flags, (*flags, "ipv6only=on")}
    if shared:
        # Others listen there too at the WAN, and nobody else in an overlay.
        allowed |= {(*each, "reuseport") for each in allowed}
    return lambda args: len(args) > 1 and args[1:] in allowed


def _is_log(args: Args, formats: Mapping[str, Args], ends: tuple[str, str], beginning: str) -> bool:
    """Whether `args` of an access_log are a target and a condition as in `ends`, and its format is of ours."""
    whole = len(args) == 3 and args[0].startswith(ends[0]) and args[2] == ends[1]
    shape = formats.get(args[1], ()) if whole else ()
    # Escaped, or a caller could write lines of a log.
    return len(shape) == 2 and shape[0] == "escape=json" and shape[1].startswith(beginning)


def _logs(where: str, server: Directive, formats: Mapping[str, Args], *, calls: bool) -> Iterator[str]:
    """What is refused is told to the Federator; a server that passes calls on has a line for each of them too."""
    found = [each.args for each in server.inside("access_log")]
    syslog = ("syslog:server=unix:/", "if=$isthmus_code")
    if not found or not _is_log(found[0], formats, syslog, '{"request_id":"$isthmus_request_id","at":'):
        yield f"{where}: access_log of what is refused is missing or changed"
    if calls and (len(found) < 2 or not _is_log(found[1], formats, ("/dev/stderr", "if=$upstream_addr"), BEGINNING)):
        yield f"{where}: access_log of calls is missing or changed"
    if len(found) > 1 + calls:
        yield f"{where}: access_log is there too often"


def _closed(server: Directive, formats: Mapping[str, Args], *, several: bool) -> Iterator[str]:
    singles: dict[str, Want] = {
        "listen": _listen("ssl", "default_server", shared=several),
        "server_name": ("_",),
        "ssl_reject_handshake": ("on",),
    }
    yield from check_block("default server", server.block or (), singles, ("location", "access_log"))
    yield from _logs("default server", server, formats, calls=False)
    nothing = Directive("location", ("/",), (Directive("return", ("404",)),))
    yield from differences("default server", server.inside("location"), [*error_locations(), nothing])


def _status(server: Directive) -> Iterator[str]:
    singles: dict[str, Want] = {"listen": _one, "server_name": ("isthmus-ingress-status",)}
    yield from check_block("status server", server.block or (), singles, ("location",))
    locations = server.inside("location")
    nothing = Directive("location", ("/",), (Directive("return", ("404",)),))
    rest = [each for each in locations if each.args != ("=", "/status")]
    yield from differences("status server", rest, [*error_locations(), nothing])
    for each in locations:
        if each.args == ("=", "/status"):
            answers: dict[str, Want] = {
                "default_type": ("application/json",),
                "return": lambda args: len(args) == 2 and args[0] == "200",
            }
            yield from check_block("status", each.block or (), answers)
    if len(rest) != len(locations) - 1:
        yield "status server: there is no one location = /status"


def _ours(server: Directive, formats: Mapping[str, Args], *, several: bool) -> Iterator[str]:
    def are_names(args: Args) -> bool:
        return bool(args) and all(re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", name) for name in args)

    singles: dict[str, Want] = {
        "listen": _listen("ssl"),
        "server_name": are_names,
    }
    yield from check_block("server", server.block or (), singles, ("location", "access_log"))
    yield from _logs("server", server, formats, calls=True)
    locations = server.inside("location")
    calls = [each for each in locations if each.args == ("~", ROUTE)]
    others = [each for each in locations if each.args == ("/",)]
    rest = [each for each in locations if each not in calls and each not in others]
    yield from differences("server", rest, list(error_locations()))
    if len(calls) != 1 or len(others) != 1 or locations[-2:] != [*calls, *others]:
        yield "server: there is not one location for calls, and one that refuses all else"
    for each in calls:
        yield from check_call(each, OF_SEVERAL if several else CALL)
    for each in others:
        yield from check_no_call(each)


def check_no_call(location: Directive) -> Iterator[str]:
    """What is wrong with the location that takes all that is no call."""
    yield from check_block("location /", location.block or (), {"return": ("404",)}, ("if",))
    yield from differences("location /", list(refusals_in(location)), REFUSED_ELSEWHERE)


def refusals_in(location: Directive) -> Iterator[tuple[str, ...]]:
    """Condition and status of each `if (variable = value) { return status; }`."""
    for each in location.inside("if"):
        inner = each.block or ()
        yield (" ".join(each.args), *(inner[0].args if len(inner) == 1 and inner[0].name == "return" else ("?",)))


def check_call(location: Directive, singles: Mapping[str, Want] = CALL) -> Iterator[str]:
    """What is wrong with the location that passes calls on."""
    yield from check_block("call", location.block or (), singles, ("if", "proxy_set_header"))
    yield from differences("call", list(refusals_in(location)), REFUSED_IN_CALL)
    sent = [each.args for each in location.inside("proxy_set_header")]
    if [args[0] for args in sent] != list(SENT):
        missing = [name for name in SENT if name not in {args[0] for args in sent}]
        foreign = [args[0] for args in sent if args[0] not in SENT]
        yield f"call: the headers are not those of the whitelist ({', '.join([*missing, *foreign]) or 'doubled'})"
    for args in sent:
        wanted = SENT.get(args[0])
        is_constant = len(args) == 2 and args[1] != "" and "$" not in args[1]
        if args[0] in SENT and not (is_constant if wanted is None else args[1:] == (wanted,)):
            yield f"call: proxy_set_header {args[0]} is not what the ingress proves"
