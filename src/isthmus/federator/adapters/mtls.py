"""TLS to a remote: our leaf shown, theirs checked in every respect before one byte of a request leaves."""

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv6Address

from isthmus.domain.federation.certificate import (
    SERVER_AUTH,
    LeafFacts,
    check_profile,
    check_trust_domain,
    identity_of,
)
from isthmus.domain.federation.denial import Denied
from isthmus.federator.adapters.wire import Wire
from isthmus.federator.calling import CallFailed, Identity, Way
from isthmus.federator.dane import vouches
from isthmus.federator.doctor import Shown
from isthmus.x509.chain import ChainBroken, check_chain
from isthmus.x509.leaf import read_leaf

SHUTDOWN_SECONDS = 1.0
# A number that no deadline of ours reaches: the caller's ends the handshake.
HANDSHAKE_SECONDS = 60.0

# Rules about whom a leaf names, rather than about what it is.
OF_NAMES = frozenset({"san_missing", "wildcard", "dns_name", "trust_domain"})

Now = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Secured:
    """An open connection whose other end has proven itself."""

    wire: Wire
    leaf: LeafFacts


def context_of(identity: Identity) -> ssl.SSLContext:
    """TLS 1.3 with the remote's own authorities as the only anchors. Raises `CallFailed` for certificates of ours or
    of theirs that cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # Names are compared by `check_server`: exactly, never by wildcard or common name, with an error of their own.
    context.check_hostname = False
    context.hostname_checks_common_name = False
    context.verify_mode = ssl.CERT_REQUIRED
    # A pinned authority is an anchor even where it is no root.
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    context.options |= ssl.OP_NO_TICKET
    try:
        if identity.authorities:
            context.load_verify_locations(cadata=b"".join(identity.authorities))
        _load_pair(context, identity.chain, identity.key)
    except (ssl.SSLError, ValueError) as error:
        raise CallFailed("remote_tls_failed", "tls.material", f"certificates cannot be used: {error}") from None
    return context


def _load_pair(context: ssl.SSLContext, chain: bytes, key: bytes) -> None:
    # The module takes file names alone; this file is memory, so that the key touches no disk.
    descriptor = os.memfd_create("pair", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(chain + b"\n" + key)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


async def connect(identity: Identity, way: Way, context: ssl.SSLContext, now: Now = utc_now) -> Secured:
    """Dial the address of `way`, and nothing else, and make sure of who answers. Raises `CallFailed`."""
    wire = await _handshake(await _dialled(way), way, context)
    try:
        leaf = check_server(identity, way, wire.certificate, now())
    except BaseException:
        wire.abort()
        raise
    return Secured(wire, leaf)


async def _dialled(way: Way) -> socket.socket:
    family = socket.AF_INET6 if isinstance(way.address, IPv6Address) else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if way.source is not None:
            sock.bind((str(way.source), 0))
        await asyncio.get_running_loop().sock_connect(sock, (str(way.address), way.target.port))
    except TimeoutError:
        sock.close()
        raise CallFailed("remote_timeout", "connect.timeout", f"{way.address} does not answer") from None
    except OSError as error:
        sock.close()
        text = error.strerror or str(error)
        raise CallFailed("remote_refused", "connect.refused", f"{way.target} at {way.address}: {text}") from None
    except BaseException:
        sock.close()
        raise
    return sock


async def _handshake(sock: socket.socket, way: Way, context: ssl.SSLContext) -> Wire:
    try:
        _, wire = await asyncio.get_running_loop().create_connection(
            Wire,
            sock=sock,
            ssl=context,
            server_hostname=way.target.host,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
            ssl_shutdown_timeout=SHUTDOWN_SECONDS,
        )
    except ssl.SSLCertVerificationError as error:
        raise _tls_failed(way, "certificate", error.verify_message) from None
    except ssl.SSLError as error:
        raise _tls_failed(way, "handshake", error.reason or str(error)) from None
    except (OSError, EOFError) as error:
        raise _tls_failed(way, "cut", str(error) or type(error).__name__) from None
    return wire


def check_server(identity: Identity, way: Way, certificate: bytes, now: datetime) -> LeafFacts:
    """Check that `certificate` (DER) is a server's leaf of this very remote and for this very name, that it is not
    revoked, and that DNS vouches for it where that is asked for. Raises `CallFailed`."""
    try:
        leaf = read_leaf(certificate)
        check_chain(certificate, identity.authorities, now, SERVER_AUTH)
    except ChainBroken as broken:
        raise _tls_failed(way, f"chain.{broken.reason}", "its certificate is none of this remote's") from None
    except ValueError as error:
        raise _tls_failed(way, "unreadable", str(error)) from None
    _check_profile(identity, way, leaf, now)
    revoked = identity.revoked
    if leaf.fingerprint in revoked.leaves or leaf.serial in revoked.serials or leaf.key in revoked.keys:
        raise _tls_failed(way, "revoked", "its certificate is revoked")
    if way.target.host not in leaf.dns_names:
        named = ", ".join(leaf.dns_names[:4]) or "no host"
        detail = f"the server at {way.address} is to be {way.target.host} and proves {named}"
        raise CallFailed("remote_identity_mismatch", "identity.name", detail)
    if way.associations is not None and not vouches(way.associations, certificate, identity.authorities, now):
        detail = f"no TLSA record of {way.target.host} matches the server's certificate"
        raise CallFailed("remote_identity_mismatch", "identity.tlsa", detail)
    return leaf


def _check_profile(identity: Identity, way: Way, leaf: LeafFacts, now: datetime) -> None:
    """A server's leaf is what a caller's leaf must be, for the other usage. Raises `CallFailed`."""
    try:
        check_profile(leaf, now=now, usage=SERVER_AUTH)
        check_trust_domain(identity_of(leaf), identity.domain)
    except Denied as denied:
        rule = denied.reason.removeprefix("profile.")
        if rule in OF_NAMES:
            detail = f"the server at {way.address} is to be {way.target.host} and proves no name that counts ({rule})"
            raise CallFailed("remote_identity_mismatch", f"identity.{rule}", detail) from None
        text = f"its certificate breaks the rule {rule!r} of server certificates"
        raise _tls_failed(way, f"profile.{rule}", text) from None


def _tls_failed(way: Way, why: str, text: str) -> CallFailed:
    return CallFailed("remote_tls_failed", f"tls.{why}", f"no TLS with {way.target} at {way.address}: {text}"[:300])


class PassiveLooker:
    """`isthmus.federator.doctor.Looker`. It verifies nothing, shows nothing of ours and sends no request."""

    async def look(self, way: Way) -> Shown:
        try:
            sock = await _dialled(way)
        except CallFailed as failed:
            return Shown(reached=False, fault=failed.detail)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        try:
            wire = await _handshake(sock, way, context)
        except CallFailed as failed:
            return Shown(reached=True, fault=failed.detail)
        certificate = wire.certificate
        wire.abort()
        return Shown(reached=True, certificate=certificate)
