"""Who gets a session, and whose session carries a request."""

import contextlib
import socket
import ssl
import subprocess
import threading
import time
import warnings
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID as Usage

from tests.ingress.authority import Ca, Pair
from tests.ingress.client import INFRA, PATH, Client, context_of, read_answer, request
from tests.ingress.conftest import OTHER_INFRA, World

SECOND = timedelta(seconds=1)


def with_leaf(world: World, pair: Pair | None) -> Client:
    return Client(world.facts.listeners[0].port, pair)


def test_a_session_without_a_certificate_carries_no_request(world: World) -> None:
    row = world.refused(with_leaf(world, None).post(), "client_certificate_required", 401)
    assert row.verify == "NONE"
    world.admitted(world.wan.post())


def test_who_has_no_certificate_and_sends_too_much_is_refused_in_our_own_words(world: World) -> None:
    answer = with_leaf(world, None).post(body=b"x" * (world.facts.most_body + 1))
    world.refused(answer, "client_certificate_required", 401)


def test_a_foreign_ca_of_the_same_name_does_not_count(world: World, tmp_path: Path) -> None:
    pair = Ca(tmp_path, "a").leaf("infra.a.example")
    row = world.refused(with_leaf(world, pair).post(), "client_certificate_rejected", 403)
    assert row.verify.startswith("FAILED:")
    world.admitted(with_leaf(world, world.cas["a"].leaf("infra.a.example")).post())


def test_validity_counts_to_the_second(world: World) -> None:
    ca = world.cas["a"]
    expired = ca.leaf("infra.a.example", ends=-SECOND)
    early = ca.leaf("infra.a.example", starts=10 * SECOND)
    for pair in (expired, early):
        world.refused(with_leaf(world, pair).post(), "client_certificate_rejected", 403)
    world.admitted(with_leaf(world, ca.leaf("infra.a.example", starts=-SECOND)).post())


def test_a_leaf_for_servers_only_is_rejected(world: World) -> None:
    pair = world.cas["a"].leaf("infra.a.example", usages=(Usage.SERVER_AUTH,))
    world.refused(with_leaf(world, pair).post(), "client_certificate_rejected", 403)
    # One without any usage is the Federator's to refuse.
    world.admitted(with_leaf(world, world.cas["a"].leaf("infra.a.example", usages=None)).post())


def test_plain_http_on_the_tls_port_is_malformed(world: World) -> None:
    with socket.create_connection(("127.0.0.1", world.facts.listeners[0].port), timeout=10) as plain:
        plain.sendall(request())
        world.refused(read_answer(plain), "malformed_request", 400)
    world.admitted(world.wan.post())


@pytest.mark.parametrize("name", ["ui.b.example", "b.example", None, "infra.b.example.evil.example"])
def test_a_session_for_another_name_is_not_made(world: World, name: str | None) -> None:
    client = Client(world.facts.listeners[0].port, world.leaf, name)
    with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
        client.post()
    world.refusals.empty()
    assert world.upstream.seen == []


def test_each_infra_domain_is_served(world: World) -> None:
    client = Client(world.facts.listeners[0].port, world.leaf, OTHER_INFRA)
    world.admitted(client.send(request(host=OTHER_INFRA)))
    world.admitted(world.wan.send(request(host=INFRA.upper())))
    world.admitted(world.wan.send(request(host=f"{INFRA}:8443")))


def old_versions() -> list[ssl.TLSVersion]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2]


def openssl(world: World, typed: bytes, *options: str) -> str:
    """What `openssl s_client` says while `typed` is typed into it."""
    listener = world.facts.listeners[0]
    command = ["openssl", "s_client", "-connect", f"{listener.address}:{listener.port}", "-servername", INFRA]
    certificate = ["-cert", str(world.leaf.chain), "-key", str(world.leaf.key)]
    whole = [*command, *certificate, *options]
    done = subprocess.run(whole, input=typed, capture_output=True, timeout=60, check=False)
    return (done.stdout + done.stderr).decode(errors="replace")


@pytest.mark.case("TLS-011")
def test_only_tls_1_3_without_early_data_is_spoken(world: World, tmp_path: Path) -> None:
    for version in old_versions():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            client = Client(world.facts.listeners[0].port, world.leaf, versions=(version, version))
            with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
                client.post()
    assert "wrong ssl version" in openssl(world, b"R\n", "-tls1_3")
    assert world.upstream.seen == []
    session, early = tmp_path / "session", tmp_path / "early"
    early.write_bytes(request())
    said = openssl(world, request(PATH, ("Connection", "close")), "-sess_out", str(session), "-ign_eof")
    assert '"well":true' in said
    world.forget()
    said = openssl(world, b"", "-sess_in", str(session), "-early_data", str(early))
    assert "Early data was not sent" in said or "Early data was rejected" in said
    assert "Reused, TLS" not in said
    assert world.upstream.seen == []
    world.refusals.empty()
    world.admitted(world.wan.post())


def test_a_session_is_never_resumed(world: World) -> None:
    """A ticket of a session with a certificate does not stand in for a certificate."""
    port = world.facts.listeners[0].port
    context = context_of(None)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        with_certificate = context_of(world.leaf)
        with with_certificate.wrap_socket(plain, server_hostname=INFRA) as connection:
            connection.sendall(request())
            assert read_answer(connection).status == 200
            saved = connection.session
    world.forget()
    for made, resumed in ((with_certificate, saved), (context, None)):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
            if made is with_certificate:
                # What is left of the saved session must do without the certificate.
                with made.wrap_socket(plain, server_hostname=INFRA, session=resumed) as connection:
                    connection.sendall(request())
                    assert not connection.session_reused
                    world.admitted(read_answer(connection))
            else:
                with made.wrap_socket(plain, server_hostname=INFRA) as connection:
                    connection.sendall(request())
                    world.refused(read_answer(connection), "client_certificate_required", 401)


def test_slow_clients_are_cut_off(world: World) -> None:
    """A handshake that does not begin, headers that do not end, a body that does not come."""
    port = world.facts.listeners[0].port
    took: dict[str, float] = {}

    def closed(name: str, connection: socket.socket, begun: float) -> None:
        connection.settimeout(30)
        with contextlib.suppress(OSError):
            while connection.recv(4096):
                pass
        took[name] = time.monotonic() - begun

    with contextlib.ExitStack() as stack:
        silent = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        headers = stack.enter_context(world.wan.connected())
        headers.sendall(request()[:40])
        body = stack.enter_context(world.wan.connected())
        body.sendall(request(body=b"x" * 100)[:-50])
        now = time.monotonic()
        connections = {"silent": silent, "headers": headers, "body": body}
        threads = [threading.Thread(target=closed, args=(name, each, now)) for name, each in connections.items()]
        for thread in threads:
            thread.start()
        # Others do not notice.
        world.admitted(world.wan.post())
        for thread in threads:
            thread.join()
    assert max(took.values()) < 15, took
    assert world.upstream.seen == []


def test_one_source_has_so_many_requests_at_a_time(world: World) -> None:
    gate = threading.Event()
    world.upstream.before = lambda: gate.wait(20)
    try:
        with contextlib.ExitStack() as stack:
            held = [stack.enter_context(world.wan.connected()) for _ in range(64)]
            for connection in held:
                connection.sendall(request())
            until = time.monotonic() + 15
            while len(world.upstream.seen) < 64 and time.monotonic() < until:
                time.sleep(0.02)
            world.upstream.seen.clear()
            answer = world.wan.post()
            assert answer.all("Retry-After") == [str(answer.json["retry_after"])]
            world.refused(answer, "connection_limit", 429)
            # Another source has its own share.
            gate.set()
            assert [read_answer(each).status for each in held] == [200] * 64
    finally:
        gate.set()
        world.upstream.before = lambda: None
    assert world.wan.post().status == 200
