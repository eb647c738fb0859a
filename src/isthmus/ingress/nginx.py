"""An nginx of our own from typed facts: the whole nginx.conf, for an instance that serves nothing else.

What each directive is for stands in docs/decisions/0022; `nginx_lint` checks that it is there.
"""

import re
from collections.abc import Iterator, Mapping
from hashlib import sha256

from isthmus.ingress.facts import anchors_text, checked
from isthmus.ingress.layout import Layout
from isthmus.ingress.nginx_errors import error_locations, error_pages
from isthmus.ingress.nginx_maps import PAIR, maps, pair_map
from isthmus.ingress.passed_calls import call_format, call_log
from isthmus.ingress.refusal_table import ID_PLACE
from isthmus.ingress.syntax import Directive, block, line, text_of
from isthmus.protocol.ingress import (
    CALLER_REQUEST_ID,
    INGRESS_REQUEST_ID,
    LEAF,
    LISTENER,
    NETWORK,
    PASSED,
    PRESENTED,
    SECRET,
    SOURCE,
    WAN,
    IngressFacts,
    Listener,
)

CONFIG, ANCHORS, CHAIN, KEY, DIGEST = "nginx.conf", "anchors.pem", "chain.pem", "key.pem", "digest"
ROUTE = "^/federation/[a-z][a-z0-9-]{0,62}/[a-z][a-z0-9-]{0,62}$"
CONNECTIONS = 4096
PER_SOURCE, IN_ALL = 64, 512
SLOW_SECONDS = 10
IDLE_SECONDS = 60
ANSWER_SECONDS = 15
SHUTDOWN_SECONDS = 5
BLANK_STAMP = '"digest":"","version":""'
STAMP = re.compile(r'"digest":"([0-9a-f]*)","version":"[A-Za-z0-9-]*"')


def render(facts: IngressFacts, layout: Layout) -> dict[str, str]:
    """The files of a configuration by name, `digest` among them; certificate and key stand in `layout.pairs`.

    Raises `FactsRefused`.
    """
    checked(facts)
    files = {CONFIG: _config(facts, layout), ANCHORS: anchors_text(facts.anchors)}
    digest = digest_of(files)
    files[CONFIG] = files[CONFIG].replace(BLANK_STAMP, stamp(digest, ""), 1)
    return {**files, DIGEST: digest + "\n"}


def stamp(digest: str, version: str) -> str:
    """What a running nginx says of its configuration; the only text in it that its digest does not cover."""
    return f'"digest":"{digest}","version":"{version}"'


def with_version(config: str, version: str) -> str:
    """`config`, for the folder `version` of the places that it is kept in."""
    return STAMP.sub(lambda found: stamp(found[1], version), config, count=1)


def digest_of(files: Mapping[str, str]) -> str:
    """SHA-256 over the rendered files."""
    found = sha256()
    for name, text in ((CONFIG, STAMP.sub(BLANK_STAMP, files[CONFIG])), (ANCHORS, files[ANCHORS])):
        raw = text.encode()
        found.update(f"{name} {len(raw)}\n".encode() + raw)
    return found.hexdigest()


def _config(facts: IngressFacts, layout: Layout) -> str:
    run_as = [line("user", layout.user)] if layout.user else []
    return text_of(
        [
            *run_as,
            line("daemon", "off"),
            line("worker_processes", "auto"),
            # The usual limit of 1024 would end below the connections that are allowed.
            line("worker_rlimit_nofile", 2 * CONNECTIONS + 512),
            line("worker_shutdown_timeout", f"{SHUTDOWN_SECONDS}s"),
            line("pid", layout.pid),
            line("error_log", "stderr", "warn"),
            block("events", of=[line("worker_connections", CONNECTIONS)]),
            block("http", of=_http(facts, layout)),
        ]
    )


def _http(facts: IngressFacts, layout: Layout) -> list[Directive]:
    return [
        *_temporary_files(layout),
        # Nothing is served from it: it is empty, and what it leads to names the certificate.
        line("root", layout.mark),
        *_tls(facts),
        *_limits(facts),
        *_answers(),
        *maps(),
        pair_map(layout.pairs),
        *error_pages(),
        # Each server has its own: a row for each refusal goes to the Federator, a line for each call to the runner.
        line("access_log", "off"),
        *(each for listener in facts.listeners for each in (_refusal_format(listener), call_format(listener))),
        block(
            "upstream",
            "isthmus_federator",
            of=[
                *(line("server", f"unix:{path}", "max_fails=0") for path in layout.inward[: facts.replicas]),
                line("keepalive", 32),
                line("keepalive_timeout", "30s"),
            ],
        ),
        *(each for listener in facts.listeners for each in _servers(facts, listener, layout)),
        _status_server(layout),
    ]


def _temporary_files(layout: Layout) -> Iterator[Directive]:
    for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"):
        yield line(f"{kind}_temp_path", layout.temp / kind)


def _tls(facts: IngressFacts) -> list[Directive]:
    # For all servers: nginx takes some of these from the default server whatever the name of the session is.
    return [
        line("ssl_protocols", "TLSv1.3"),
        line("ssl_certificate", f"{PAIR}/{CHAIN}"),
        line("ssl_certificate_key", f"{PAIR}/{KEY}"),
        line("ssl_client_certificate", ANCHORS),
        line("ssl_verify_client", "on"),
        line("ssl_verify_depth", facts.verify_depth),
        line("ssl_session_cache", "off"),
        line("ssl_session_tickets", "off"),
        line("ssl_early_data", "off"),
    ]


def _limits(facts: IngressFacts) -> list[Directive]:
    return [
        line("merge_slashes", "off"),
        line("underscores_in_headers", "off"),
        line("ignore_invalid_headers", "on"),
        line("client_max_body_size", facts.most_body),
        # A whole body fits, so none is written to a disk.
        line("client_body_buffer_size", facts.most_body),
        line("client_header_buffer_size", "1k"),
        line("large_client_header_buffers", 2, "8k"),
        line("client_header_timeout", f"{SLOW_SECONDS}s"),
        line("client_body_timeout", f"{SLOW_SECONDS}s"),
        line("send_timeout", f"{SLOW_SECONDS}s"),
        line("lingering_time", f"{SLOW_SECONDS}s"),
        line("lingering_timeout", "2s"),
        line("keepalive_timeout", f"{IDLE_SECONDS}s"),
        line("keepalive_requests", 10_000),
        line("reset_timedout_connection", "on"),
        line("limit_conn_zone", "$binary_remote_addr", "zone=isthmus_source:4m"),
        line("limit_conn_zone", "$isthmus_everybody", "zone=isthmus_all:64k"),
        line("limit_conn", "isthmus_source", PER_SOURCE),
        line("limit_conn", "isthmus_all", IN_ALL),
        line("limit_conn_status", 429),
    ]


def _answers() -> list[Directive]:
    return [
        line("server_tokens", "off"),
        line("default_type", "application/problem+json"),
        line("msie_padding", "off"),
        line("max_ranges", 0),
        line("uninitialized_variable_warn", "off"),
        line("variables_hash_max_size", 4096),
        line("add_header", "Cache-Control", "no-store", "always"),
        line("add_header", "X-Request-Id", ID_PLACE, "always"),
    ]


def _refusal_format(listener: Listener) -> Directive:
    members = (
        '{"request_id":"$isthmus_request_id","at":$msec,"listener":"',
        listener.id,
        '","source":"$remote_addr","code":"$isthmus_code","status":$status,"method":"$isthmus_shown_method",',
        '"path":"$isthmus_shown_path","verify":"$isthmus_shown_verify","host":"$isthmus_shown_host"}',
    )
    return line("log_format", _format_name(listener), "escape=json", "".join(members))


def _format_name(listener: Listener) -> str:
    return f"isthmus_{listener.id.replace('-', '_')}"


def _servers(facts: IngressFacts, listener: Listener, layout: Layout) -> list[Directive]:
    host = f"[{listener.address}]" if ":" in listener.address else listener.address
    socket = f"{host}:{listener.port}"
    log = line(
        "access_log",
        f"syslog:server=unix:{layout.refusals},nohostname,tag=isthmus",
        _format_name(listener),
        "if=$isthmus_code",
    )
    only = ["ipv6only=on"] if ":" in host else []
    # The kernel spreads connections over all ingresses that listen there.
    shared = ["reuseport"] if is_shared(facts, listener) else []
    nobody = [
        line("listen", socket, "ssl", "default_server", *only, *shared),
        line("server_name", "_"),
        line("ssl_reject_handshake", "on"),
        log,
        *error_locations(),
        block("location", "/", of=[line("return", 404)]),
    ]
    ours = [
        line("listen", socket, "ssl"),
        line("server_name", *facts.infra_domains),
        log,
        call_log(listener),
        *error_locations(),
        block("location", "~", ROUTE, of=call(listener, layout, several=facts.replicas > 1)),
        block("location", "/", of=no_call()),
    ]
    return [block("server", of=nobody), block("server", of=ours)]


def no_call() -> list[Directive]:
    """What is in the location of all that is no call."""
    return [
        _refuse("$isthmus_line", "= malformed", 471),
        _refuse("$isthmus_host_agrees", "!= yes", 472),
        line("return", 404),
    ]


def _refuse(variable: str, test: str, status: int) -> Directive:
    return block("if", f"({variable}", *f"{test})".split(" "), of=[line("return", status)])


def is_shared(facts: IngressFacts, listener: Listener) -> bool:
    """Whether other ingresses listen at the same address."""
    return facts.replicas > 1 and listener.network == WAN


def call(
    listener: Listener, layout: Layout, upstream: str = "isthmus_federator", *, several: bool = False
) -> list[Directive]:
    """The location matches a decoded path; whether the line is a call was told by its raw bytes. Of `several`
    Federators the next one is asked where one does not listen: what was sent already is sent to no other."""
    # The last one has no gap: whatever is not known to be a call is none.
    refusals = {"= malformed": 471, "= method": 405, "= query": 470, "!= call": 404}
    return [
        _refuse("$isthmus_host_agrees", "!= yes", 472),
        *(_refuse("$isthmus_line", test, status) for test, status in refusals.items()),
        _refuse("$isthmus_override", "!= no", 405),
        line("proxy_pass", f"http://{upstream}"),
        line("proxy_http_version", "1.1"),
        line("proxy_pass_request_headers", "off"),
        *_headers(listener, layout),
        line("proxy_request_buffering", "on"),
        line("proxy_buffering", "on"),
        line("proxy_buffer_size", "16k"),
        line("proxy_buffers", 8, "16k"),
        line("proxy_max_temp_file_size", 0),
        line("proxy_next_upstream", "error" if several else "off"),
        line("proxy_redirect", "off"),
        # The Federator names the request itself, and no answer of it is for a cache.
        line("proxy_hide_header", "Cache-Control"),
        line("add_header", "Cache-Control", "no-store", "always"),
        line("proxy_connect_timeout", "2s"),
        line("proxy_send_timeout", f"{SLOW_SECONDS}s"),
        line("proxy_read_timeout", f"{ANSWER_SECONDS}s"),
        line(
            "proxy_ignore_headers",
            "X-Accel-Redirect", "X-Accel-Expires", "X-Accel-Limit-Rate", "X-Accel-Buffering", "X-Accel-Charset",
        ),
    ]  # fmt: skip


def _headers(listener: Listener, layout: Layout) -> Iterator[Directive]:
    """All headers that the Federator sees. One with an empty value is not sent."""
    ours = {
        "Host": "isthmus-federator",
        "Connection": "",
        LEAF: "$ssl_client_escaped_cert",
        LISTENER: listener.id,
        SECRET: layout.secret(listener.id),
        NETWORK: listener.network,
        SOURCE: "$remote_addr",
        INGRESS_REQUEST_ID: "$isthmus_request_id",
        CALLER_REQUEST_ID: "$isthmus_caller_request_id",
        PRESENTED: "$isthmus_presented",
    }
    for name, value in ours.items():
        yield line("proxy_set_header", name, value)
    for name in PASSED:
        yield line("proxy_set_header", name, f"$http_{name.lower().replace('-', '_')}")


def _status_server(layout: Layout) -> Directive:
    body = f'{{{BLANK_STAMP},"worker":$pid}}'
    return block(
        "server",
        of=[
            line("listen", f"unix:{layout.status}"),
            line("server_name", "isthmus-ingress-status"),
            block("location", "=", "/status", of=[line("default_type", "application/json"), line("return", 200, body)]),
            *error_locations(),
            block("location", "/", of=[line("return", 404)]),
        ],
    )
