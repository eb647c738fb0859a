"""Facts come by a long poll on the server's control socket; without the server the ingress goes on as it is."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from isthmus.ingress import control
from isthmus.ingress.refused import FactsUnavailable
from isthmus.ingress.runner import Runner
from isthmus.protocol.ingress import IngressFacts
from tests.ingress.client import Client
from tests.ingress.recorder import document_of
from tests.ingress.running import Ingress, an_ingress


class Server:
    """Answers `GET /ingress` as the server does."""

    def __init__(self, path: Path, facts: IngressFacts) -> None:
        path.unlink(missing_ok=True)
        self.facts = facts
        self.changed = threading.Condition()
        self.asked = 0
        self._listener = ThreadingUnixStreamServer(str(path), handler_of(self))
        self._listener.daemon_threads = True
        threading.Thread(target=self._listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def tell(self, facts: IngressFacts) -> None:
        with self.changed:
            self.facts = facts
            self.changed.notify_all()

    def close(self) -> None:
        self.tell(self.facts)
        self._listener.shutdown()
        self._listener.server_close()


def handler_of(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            query = parse_qs(asked.query)
            after, wait = int(query["after"][0]), float(query["wait"][0])
            with server.changed:
                server.asked += 1
                server.changed.wait_for(lambda: server.facts.generation > after, wait)
                facts = server.facts
            raw = msgspec.json.encode(facts) if facts.generation > after and asked.path == "/ingress" else b""
            # Whoever asked may be gone by now.
            with contextlib.suppress(BrokenPipeError):
                self.send_response(200 if raw else 204)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

        def address_string(self) -> str:
            return "a unix socket"

        def log_message(self, format: str, *args: object) -> None:
            """Stay quiet."""

    return Handler


@pytest.fixture
def ingress(tmp_path: Path) -> Iterator[Ingress]:
    with an_ingress(tmp_path / "data", with_file=False) as found:
        yield found


def test_it_waits_for_the_server_follows_it_and_does_without_it(ingress: Ingress) -> None:
    control_socket, facts = ingress.world.places.control, ingress.world.facts
    ingress.start()
    ingress.wait(lambda: "waiting for the facts" in ingress.said, "a word on what it waits for")
    assert "start the server" in ingress.said
    assert ingress.running is None

    server = Server(control_socket, facts)
    before = ingress.wait_applied()
    assert ingress.world.wan.post().status == 200
    # What does not concern the ingress reloads nothing.
    server.tell(msgspec.structs.replace(facts, generation=2))
    server.tell(msgspec.structs.replace(facts, generation=3, anchors=facts.anchors[1:]))
    ingress.wait_other(before)
    assert ingress.world.wan.post().code == "client_certificate_rejected"
    ingress.wait(lambda: ingress.said.count("ingress applied") == 2, "a word on what was applied")
    server.close()

    assert ingress.world.wan.post().code == "client_certificate_rejected"
    assert ingress.stop() == 0
    ingress.start()
    ingress.wait_applied()
    assert "starting with the last good configuration" in ingress.said
    assert ingress.world.wan.post().code == "client_certificate_rejected"

    # A server over another database counts from the beginning.
    anew = Server(control_socket, facts)
    ingress.wait(lambda: ingress.world.wan.post().status == 200, "the facts of the new server")
    anew.close()


def test_a_server_that_knows_nothing_is_told_apart_from_one_that_is_not_there(ingress: Ingress) -> None:
    path = ingress.world.places.control
    with pytest.raises(FactsUnavailable, match="does not answer"):
        control.fetch(path, -1, 0)
    server = Server(path, msgspec.structs.replace(ingress.world.facts, generation=5))
    assert control.fetch(path, 5, 0.1) is None
    found = control.fetch(path, 4, 0.1)
    assert found is not None
    assert found.generation == 5
    server.close()


async def test_what_was_changed_by_hand_is_noticed_told_and_rendered_again(ingress: Ingress) -> None:
    server = Server(ingress.world.places.control, ingress.world.facts)
    runner = Runner(ingress.world.places, drift_seconds=0.3)
    running = asyncio.create_task(runner.run())
    try:
        before = await asyncio.to_thread(ingress.wait_applied)
        current = ingress.applier.versions.current()
        assert current is not None
        config = current / "nginx.conf"
        config.write_text(config.read_text().replace("ssl_verify_client on", "ssl_verify_client optional"))
        await asyncio.to_thread(ingress.wait_other, before)
        state = ingress.applier.state()
        assert any("ssl_verify_client is optional, not on" in each for each in state.drift)
        assert any("changed by hand" in each for each in state.drift)
        after = await asyncio.to_thread(ingress.wait_applied)
        assert after.digest == before.digest
        assert await asyncio.to_thread(ingress.applier.drift) == []
        answer = await asyncio.to_thread(Client(ingress.world.facts.listeners[0].port, None).post)
        assert answer.code == "client_certificate_required"
    finally:
        runner.stop()
        await running
        server.close()


def test_no_refusal_is_lost_after_the_federator_listens_anew(ingress: Ingress) -> None:
    server, refusals = Server(ingress.world.places.control, ingress.world.facts), ingress.world.refusals
    ingress.start()
    ingress.wait_applied()
    for _ in range(8):
        ingress.world.wan.post("/before")
        refusals.next()
    before = ingress.wait_applied()
    refusals.close()
    refusals.open()
    ingress.wait_other(before)
    for number in range(8):
        ingress.world.wan.post(f"/after/{number}")
        assert document_of(refusals.next())["path"] == f"/after/{number}"
    server.close()


def test_an_address_that_another_program_has_is_told_and_the_old_one_stays(ingress: Ingress) -> None:
    facts = ingress.world.facts
    server = Server(ingress.world.places.control, facts)
    ingress.start()
    before = ingress.wait_applied()
    with socket.create_server(("127.0.0.3", 0)) as other:
        taken = msgspec.structs.replace(facts.listeners[0], address="127.0.0.3", port=other.getsockname()[1])
        server.tell(msgspec.structs.replace(facts, generation=2, listeners=[taken]))
        ingress.wait(lambda: "did not take the new configuration" in ingress.said, "a word on the address", 60)
        running = ingress.running
        assert running is not None
        assert running.version == before.version
        assert ingress.world.wan.post().status == 200
        assert "did not take" in ingress.status()["problem"]
    # Once the address is free it is taken, though nothing has changed here.
    ingress.wait_other(before)
    ingress.wait(lambda: not ingress.status()["problem"], "the end of the problem")
    server.close()
