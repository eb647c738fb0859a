"""One federated call, arrow by arrow of the flow between Federators: each is told as it was seen on its way."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from urllib.parse import unquote

from cryptography import x509

from isthmus.protocol import ingress
from isthmus.protocol.federation import ORIGIN
from lab.capture import Capture
from lab.organisation import PORT, Organisation
from lab.recording import Recorder, Seen

DNS = "udp port 53"
TLS = f"tcp port {PORT} and tcp[tcpflags] & tcp-syn != 0"


@dataclass
class Witnesses:
    """Whoever sees the call pass: boxes on the unix sockets of both sides, and captures of both cables."""

    outward: Recorder
    inward: Recorder
    component: Recorder

    @classmethod
    def of(cls, calling: Organisation, called: Organisation) -> "Witnesses":
        component = called.places.component("directory")
        boxes = [
            Recorder("outward", calling.places.outward),
            Recorder("inward", called.places.inward),
            Recorder("directory", component),
        ]
        for box in boxes:
            box.place()
        return cls(*boxes)

    def remove(self) -> None:
        for box in (self.outward, self.inward, self.component):
            box.remove()


def arrows(calling: Organisation, called: Organisation, handle: str) -> Iterator[str]:
    """Let a user of `calling` ask for `handle` of `called`; yields a line for each of the fourteen arrows.

    Nobody may have called before: what DNS said is remembered, and connections are kept.
    """
    witnesses = Witnesses.of(calling, called)
    try:
        with ExitStack() as stack:
            asking = stack.enter_context(Capture(calling.host, DNS))
            checking = stack.enter_context(Capture(called.host, DNS))
            dialling = stack.enter_context(Capture(calling.host, TLS))
            profile = calling.asked("user", "lookup", f"{handle}@{called.domain}")
            yield from told(witnesses, calling, called, (asking, checking, dialling), profile)
    finally:
        witnesses.remove()


def told(
    witnesses: Witnesses,
    calling: Organisation,
    called: Organisation,
    captures: tuple[Capture, Capture, Capture],
    profile: dict[str, str],
) -> Iterator[str]:
    asking, checking, dialling = captures
    call, arrived, handed = map(asked, (witnesses.outward, witnesses.inward, witnesses.component))
    here, there = calling.infra, called.infra
    yield f" 1  directory @{here} → Federator @{here}: {call.method} {call.path} {call.body.decode()}"
    yield f" 2  Federator @{here} → DNS: {question(asking.wait_for('SRV?', called.domain))}"
    yield f" 3  DNS → Federator @{here}: {answer(asking.wait_for('SRV ', there))}"
    dialling.wait_for("Flags [S]", f".{PORT}:")
    yield f" 4  Federator @{here} → ingress @{there}: TLS to {called.host.ipv4}:{PORT}, with our client certificate"
    dialling.wait_for("Flags [S.]", f".{PORT} >")
    names = ", ".join(proven(arrived))
    yield f" 5  ingress @{there} → Federator @{here}: accepted; the certificate proves {names}"
    origin = f"{ORIGIN}: {arrived.header(ORIGIN)}"
    yield f" 6  Federator @{here} → ingress @{there}: {arrived.method} {arrived.path}, {origin}"
    yield f" 7  ingress @{there} → Federator @{there}: the same and the leaf, from {arrived.header(ingress.NETWORK)}"
    yield f" 8  Federator @{there} → DNS: {question(checking.wait_for('SRV?', calling.domain))}"
    yield f" 9  DNS → Federator @{there}: {answer(checking.wait_for('SRV ', here))}"
    yield f"10  Federator @{there} → directory @{there}: {handed.method} {handed.path} {handed.body.decode()}"
    status = witnesses.component.answers[handed.connection].partition(b"\r\n")[0].decode()
    yield f"11  directory @{there} → Federator @{there}: {status}"
    status = witnesses.inward.answers[arrived.connection].partition(b"\r\n")[0].decode()
    yield f"12  Federator @{there} → ingress @{there}: {status}"
    yield f"13  ingress @{there} → Federator @{here}: the answer, on the same session"
    shown = f"{profile['handle']}@{profile['domain']}, {profile['display_name']}"
    yield f"14  Federator @{here} → directory @{here}: {shown}"


def asked(box: Recorder) -> Seen:
    """The one call for a profile; backends say other things to each other by themselves."""
    (found,) = [seen for seen in box.since(0) if seen.path.endswith("/get-user-by-handle")]
    return found


def proven(arrived: Seen) -> list[str]:
    """The DNS names of the leaf that the ingress passed on."""
    leaf = x509.load_pem_x509_certificate(unquote(arrived.header(ingress.LEAF) or "").encode())
    return leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)


def question(line: str) -> str:
    """`SRV? _isthmus-federator._tcp.b.example.` out of a packet's line."""
    return line[line.index("SRV?") :].partition(" (")[0].strip()


def answer(line: str) -> str:
    return line[line.index("SRV ") :].partition(",")[0].partition(" (")[0].strip()
