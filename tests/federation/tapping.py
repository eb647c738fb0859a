"""A man in the middle who is trusted: he holds the key of one side's ingress and, to pass things on, that of the other.

DNS is told that the infra domain of a backend is at the tap's address. The Federator that calls finds a leaf
there that it trusts, and everything that it says can be read: how the session was opened, and every byte inside it.
"""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509

from lab.host import Host
from lab.names_server import Reply
from lab.organisation import PORT
from lab.recording import Parser, Seen
from tests.federation.federation import Federation
from tests.federation.party import Party
from tests.federation.planting import restart_federator
from tests.federation.wire import ANSWER_SECONDS, PIECE, Credential, client_context, in_memory
from tests.x509.forge import SERVER, Forged

# With a time limit Python waits outside of OpenSSL, so that one thread may read while another writes.
IDLE_SECONDS = 600.0
DER = 2  # what OpenSSL's bindings call it


@dataclass
class Session:
    """One TCP connection to the tap. `error` is why no TLS session came of it; `chain` what the client presented."""

    number: int
    sni: str | None = None
    version: str | None = None
    alpn: str | None = None
    reused: bool = False
    chain: list[x509.Certificate] = field(default_factory=list)
    error: str = ""
    sent: bytes = b""
    answered: bytes = b""
    requests: list[Seen] = field(default_factory=list)


class Tap:
    """Stands for the ingress of `other` on a host of its own and passes everything on to it in the name of `caller`.

    `leaf` is what it shows to the caller, by default one as the ingress of `other` has. Where `passes_on` is off, the
    connection ends after the first bytes of a request have been read.
    """

    def __init__(
        self, host: Host, caller: Party, other: Party, *, leaf: Forged | None = None, passes_on: bool = True
    ) -> None:
        self.host = host
        self.sessions: list[Session] = []
        self._caller, self._other, self._passes_on = caller, other, passes_on
        shown = leaf or other.forged(usages=(*serving(),))
        self.show(shown)
        self._upstream = client_context(caller.credential)
        self._lock = threading.Lock()

    def show(self, leaf: Forged) -> None:
        """From the next connection on another leaf."""
        self._context = self._server_context(Credential(leaf.pem, leaf.key_pem))

    def __enter__(self) -> "Tap":
        self._listener = self.host.open_socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((str(self.host.ipv4), PORT))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *ignored: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    @property
    def requests(self) -> list[Seen]:
        """Of all sessions."""
        with self._lock:
            return [seen for session in self.sessions for seen in session.requests]

    def _server_context(self, shown: Credential) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with in_memory(shown.chain) as chain, in_memory(shown.key) as key:
            context.load_cert_chain(chain, key)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=self._caller.authority.pem.decode())
        context.num_tickets = 0
        context.sni_callback = self._note_name
        return context

    def _note_name(self, sock: ssl.SSLSocket | ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        sock.tapped_name = name  # type: ignore[union-attr]  # the one place where the name is told

    def _accept(self) -> None:
        while True:
            try:
                raw, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                session = Session(len(self.sessions) + 1)
                self.sessions.append(session)
            threading.Thread(target=self._serve, args=(session, raw), daemon=True).start()

    def _serve(self, session: Session, raw: socket.socket) -> None:
        raw.settimeout(ANSWER_SECONDS)
        try:
            near = self._context.wrap_socket(raw, server_side=True)
        except OSError as error:
            session.error = str(error)
            raw.close()
            return
        with near:
            session.sni = getattr(near, "tapped_name", None)
            session.version, session.alpn = near.version(), near.selected_alpn_protocol()
            session.reused = bool(near.session_reused)
            session.chain = presented(near)
            if self._passes_on:
                with contextlib.suppress(OSError), self._connect() as far:
                    self._pass_on(session, near, far)
            else:
                with contextlib.suppress(OSError):
                    session.sent = near.recv(PIECE)

    def _connect(self) -> ssl.SSLSocket:
        raw = self.host.connect(self._other.site.host.ipv4, PORT)
        raw.settimeout(ANSWER_SECONDS)
        return self._upstream.wrap_socket(raw, server_hostname=self._other.infra)

    def _pass_on(self, session: Session, near: ssl.SSLSocket, far: ssl.SSLSocket) -> None:
        parser = Parser(session.number)
        down = threading.Thread(target=self._answers, args=(session, near, far), daemon=True)
        down.start()
        near.settimeout(IDLE_SECONDS)
        for piece in pieces(near):
            with self._lock:
                session.sent += piece
                session.requests += parser.feed(piece)
            far.sendall(piece)
        with contextlib.suppress(OSError):
            far.shutdown(socket.SHUT_RDWR)
        down.join(ANSWER_SECONDS)

    def _answers(self, session: Session, near: ssl.SSLSocket, far: ssl.SSLSocket) -> None:
        far.settimeout(IDLE_SECONDS)
        with contextlib.suppress(OSError):
            for piece in pieces(far):
                session.answered += piece
                near.sendall(piece)
            near.shutdown(socket.SHUT_RDWR)


def pieces(source: ssl.SSLSocket) -> Iterator[bytes]:
    while True:
        try:
            piece = source.recv(PIECE)
        except OSError:
            return
        if not piece:
            return
        yield piece


def presented(near: ssl.SSLSocket) -> list[x509.Certificate]:
    """The certificates that the client sent, its leaf first."""
    # Public since Python 3.13.
    chain = near._sslobj.get_unverified_chain()  # type: ignore[attr-defined]
    return [x509.load_der_x509_certificate(each.public_bytes(DER)) for each in chain or []]


def serving() -> tuple[x509.ObjectIdentifier, x509.ObjectIdentifier]:
    """The usages of the leaf of an ingress."""
    return x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH, SERVER


@contextlib.contextmanager
def tapped(federation: Federation, caller: Party, other: Party, **how: Any) -> Iterator[Tap]:
    """DNS leads the Federator of `caller` to a tap, its cache empty and no connection open; and back again."""
    host = federation.lab.hosts.get("tap") or federation.lab.host("tap")
    lie = Reply([f"{federation.names.ttl} A {host.ipv4}"])
    with federation.names.saying(f"{other.infra} A", lie), Tap(host, caller, other, **how) as tap:
        restart_federator(caller)
        yield tap
    restart_federator(caller)


def dns_names(certificate: x509.Certificate) -> list[str]:
    """The DNS names of its SAN."""
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.DNSName)
