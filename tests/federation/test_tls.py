"""Certificates and sessions between backends: which leaves count, and what a session must be like."""

import contextlib
import ssl
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography import x509

from isthmus.protocol.federation import ORIGIN
from lab.organisation import PORT
from lab.waiting import wait_until
from tests.federation import named
from tests.federation.checks import clean_request, refused, refusing, refusing_each
from tests.federation.federation import Federation
from tests.federation.openssl import client
from tests.federation.party import Party
from tests.federation.tapping import serving, tapped
from tests.federation.wire import Connection, Credential
from tests.x509.forge import SERVER, Forged, a_leaf, a_sha1_leaf, a_weak_key, an_authority

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
FOLLOW_SECONDS = 20.0
REJECTED = "client_certificate_rejected"
DENIED = "federation_denied"
UI = "ui.b.example"
PATH = "/federation/directory/get-user-by-handle"


@pytest.mark.case("TLS-001")
def test_a_foreign_authority_of_the_same_name_does_not_count(a: Party, b: Party) -> None:
    impostor = the_same_again(a.authority)
    assert impostor.certificate.subject == a.authority.certificate.subject
    alone = partial(a_leaf, None, names=(a.infra,), uris=(a.instance_uri(),), **named.lives(a))
    with refusing_each(b) as refuse:
        for leaf in (a.forged(impostor), alone(), alone(common_name=a.infra)):
            refuse(a.asks(b, credential=leaf), 403, REJECTED)
        refuse(a.asks(b, credential=chained(a.forged(impostor), impostor)), 403, REJECTED)
    assert a.asks(b, credential=a.forged()).status == 200


def the_same_again(authority: Forged) -> Forged:
    """A CA that says word for word what another says, key identifiers included, and has a key of its own."""
    key, of = an_authority().key, authority.certificate
    builder = (
        x509.CertificateBuilder()
        .subject_name(of.subject)
        .issuer_name(of.issuer)
        .public_key(key.public_key())
        .serial_number(of.serial_number)
        .not_valid_before(of.not_valid_before_utc)
        .not_valid_after(of.not_valid_after_utc)
    )
    for each in of.extensions:
        builder = builder.add_extension(each.value, each.critical)
    return Forged(builder.sign(key, of.signature_hash_algorithm), key)  # type: ignore[arg-type]


def chained(leaf: Forged, *above: Forged) -> Credential:
    return Credential(leaf.pem + b"".join(each.pem for each in above), leaf.key_pem)


@pytest.mark.case("TLS-002")
def test_validity_is_checked_to_the_second(a: Party, b: Party) -> None:
    with refusing_each(b) as refuse:
        refuse(a.asks(b, credential=a.forged(starts=now() - HOUR, ends=now() - SECOND)), 403, REJECTED)
        with before_it_begins(a, b) as early:
            refuse(early.ask(a.request(b)), 403, REJECTED)
    just_begun = a.forged(starts=now() - SECOND)
    assert a.asks(b, credential=just_begun).status == 200


def now() -> datetime:
    """X.509 knows whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)


@contextlib.contextmanager
def before_it_begins(a: Party, b: Party) -> Iterator[Connection]:
    """A session with a leaf that begins between one and two seconds after its making: on a machine that took longer
    for the handshake nothing would be shown, so there it is tried again."""
    for _ in range(10):
        leaf = a.forged(starts=now() + 2 * SECOND)
        with a.connect(b, leaf) as connection:
            if datetime.now(UTC) < leaf.certificate.not_valid_before_utc - SECOND / 4:
                yield connection
                return
    pytest.fail("no handshake was quicker than two seconds")


@pytest.mark.case("TLS-003")
def test_a_leaf_for_servers_is_the_ingresss_to_refuse_and_one_for_nothing_the_federators(a: Party, b: Party) -> None:
    with refusing(b, REJECTED, by_ingress=True):
        refused(a.asks(b, credential=a.forged(usages=(SERVER,))), 403, REJECTED)
    with refusing(b, "profile.eku") as watch:
        refused(a.asks(b, credential=a.forged(usages=None)), 403, DENIED)
    assert watch.federator == 1
    assert a.asks(b, credential=a.forged(usages=serving())).status == 200
    assert a.asks(b, credential=a.forged()).status == 200


@pytest.mark.case("TLS-004")
def test_common_names_and_wildcards_are_no_identity_of_a_caller(a: Party, b: Party) -> None:
    with refusing_each(b) as refuse:
        for leaf, reason in (
            (a.forged(names=None, common_name=a.infra), "profile.san_missing"),
            (a.forged(names=(f"*.{a.domain}",)), "profile.wildcard"),
            (a.forged(names=(f"*.{a.domain}", a.infra)), "profile.wildcard"),
        ):
            refuse(a.asks(b, credential=leaf), 403, DENIED, reason)
    assert a.asks(b, credential=a.forged(names=(a.infra,), common_name="anything")).status == 200


@pytest.mark.case("TLS-004")
def test_common_names_and_wildcards_are_no_identity_of_a_server(federation: Federation) -> None:
    a, b = federation.a, federation.b
    by_common_name = a.forged(names=None, common_name=a.infra, usages=serving())
    by_wildcard = a.forged(names=(f"*.{a.domain}",), usages=serving())
    with tapped(federation, b, a, leaf=by_common_name) as tap:
        for leaf, reason in ((by_common_name, "identity.san_missing"), (by_wildcard, "identity.wildcard")):
            tap.show(leaf)
            with refusing(b, reason):
                refused(b.calls(a.domain), 502, "remote_identity_mismatch")
        assert [session.sent for session in tap.sessions] == [b""] * len(tap.sessions)
        tap.show(a.forged(names=(a.infra,), usages=serving()))
        assert b.calls(a.domain).status == 200


@pytest.mark.case("TLS-005")
def test_a_leaf_names_exactly_one_instance(a: Party, b: Party) -> None:
    one, other = a.instance_uri(), a.instance_uri()
    with refusing_each(b) as refuse:
        for uris in ((one, other), (other, one), (one, one)):
            refuse(a.asks(b, credential=a.forged(uris=uris)), 403, DENIED, "profile.uri_count")
    assert a.asks(b, credential=a.forged(uris=(one,))).status == 200


@pytest.mark.case("TLS-006")
def test_trust_anchors_are_not_pooled(federation: Federation) -> None:
    named.anchors_are_not_pooled(federation)


@pytest.mark.case("TLS-007")
def test_a_chain_is_as_deep_as_the_anchors_say(federation: Federation) -> None:
    """A remote that is known by a root and an intermediate below it."""
    b, c = federation.b, federation.c
    domain, infra = "deep.example", "infra.deep.example"
    dates: dict[str, Any] = {"starts": now() - HOUR, "ends": now() + 24 * HOUR}
    root = an_authority("a root", **dates)
    trusted, foreign = (an_authority(name, root, **dates) for name in ("an anchor", "sent along"))
    below = an_authority("below the anchor", trusted, **dates)
    leaf_of = partial(c.forged, names=(infra,), uris=(f"spiffe://{domain}/instance/{uuid4()}",))
    request = c.request(b, changed={ORIGIN: domain})
    federation.names.publish(domain, infra, [c.site.host.ipv4], PORT)
    b.api.patch("/federation", json={"shared_roots": (root.pem + trusted.pem).decode()}).raise_for_status()
    b.api.post("/remotes", json={"domain": domain, "infra_domains": [infra]}).raise_for_status()
    try:
        good = [leaf_of(root), leaf_of(trusted)]
        for leaf in good:
            admitted = partial(is_admitted, c, b, request, leaf)
            wait_until(admitted, within=FOLLOW_SECONDS, what="the ingress and the Federator to follow")
        with refusing_each(b) as refuse:
            refuse(c.asks(b, request, chained(leaf_of(foreign), foreign)), 403, DENIED, "chain.issuer")
            refuse(c.asks(b, request, chained(leaf_of(below), below)), 403, DENIED, "chain.issuer")
            # Nobody can say who issued these.
            refuse(c.asks(b, request, leaf_of(foreign)), 403, REJECTED)
            refuse(c.asks(b, request, leaf_of(below)), 403, REJECTED)
        # What stands above an anchor may be sent along.
        for credential in (*good, chained(leaf_of(trusted), trusted, root)):
            assert c.asks(b, request, credential).status == 200
    finally:
        b.api.post(f"/remotes/{domain}/revoke").raise_for_status()
        b.api.patch("/federation", json={"shared_roots": ""}).raise_for_status()
    # A reload of the ingress ends open sessions: not those of another test.
    unknown = partial(is_unknown, c, b, request, good[0])
    wait_until(unknown, within=FOLLOW_SECONDS, what="the ingress to forget the roots")


def is_unknown(party: Party, other: Party, request: bytes, leaf: Forged) -> bool:
    answer = party.asks(other, request, leaf)
    return answer.status == 403 and answer.json["code"] == REJECTED


def is_admitted(party: Party, other: Party, request: bytes, leaf: Forged) -> bool:
    return party.asks(other, request, leaf).status == 200


@pytest.mark.case("TLS-008")
def test_a_revoked_leaf_counts_no_more_on_a_new_session_or_an_open_one(a: Party, b: Party) -> None:
    leaf, request = a.forged(), a.request(b)
    with a.connect(b, leaf) as open_one:
        assert open_one.ask(request).status == 200
        assert a.asks(b, credential=leaf).status == 200
        body = {"reason": "test", "fingerprint": sha256(leaf.der).hexdigest()}
        b.api.post(f"/remotes/{a.domain}/revocations", json=body).raise_for_status()
        # A second, where the machine has nothing else to do.
        wait_until(lambda: open_one.ask(request).status == 403, within=10.0, what="the open session to be refused")
        assert a.asks(b, credential=leaf).status == 403
        with refusing_each(b) as refuse:
            refuse(open_one.ask(request), 403, DENIED, "leaf_revoked")
            refuse(a.asks(b, credential=leaf), 403, DENIED, "leaf_revoked")
            refuse(open_one.ask(request), 403, DENIED, "leaf_revoked")
    assert a.asks(b, credential=a.forged()).status == 200
    clean_request(a, b)


@pytest.mark.case("TLS-009")
def test_sessions_are_not_resumed(federation: Federation) -> None:
    a, b = federation.a, federation.b
    named.sessions_are_not_resumed(a, b)
    asking = a.request(b, more=[("Connection", "close")])
    with listener_of_people(b) as port, client(a, b) as whole:
        saved = f"{whole.folder}/session"
        page = b"GET /api/v1/health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        assert whole.at(port).talk(page, "-sess_out", saved).answer.startswith("HTTP/1.1 200")
        assert whole.at(port).talk(page, "-sess_in", saved).is_resumed
        with refusing(b, "client_certificate_required", by_ingress=True):
            again = whole.without_certificate().talk(asking, "-sess_in", saved)
            assert not again.is_resumed
            assert again.answer.startswith("HTTP/1.1 401"), again
    clean_request(a, b)


@contextlib.contextmanager
def listener_of_people(party: Party) -> Iterator[int]:
    """A server's own TLS listener on the host of `party`, with the certificate of its ingress."""
    host, port = party.site.host, 9443
    pair = "/var/lib/isthmus/federation/ingress/current"
    config = host.path("/etc/isthmus/people.toml")
    config.write_text(
        f'data_dir = "/var/lib/people"\nlisten = "{host.ipv4}:{port}"\n'
        f'tls_certificate = "{pair}/chain.pem"\ntls_key = "{pair}/key.pem"\n'
    )
    process = host.start(["isthmus", "server", "--config", "/etc/isthmus/people.toml"], name="people")
    try:
        process.wait_for("Isthmus is running at", within=60)
        yield port
    finally:
        process.stop(within=30)
        config.unlink()


@pytest.mark.case("TLS-010")
def test_the_name_of_the_session_and_that_of_the_request_agree(a: Party, b: Party) -> None:
    plain, misdirected = a.request(b), "misdirected_request"
    for_people = a.request(b, changed={"Host": f"{UI}:{PORT}"})
    with refusing_each(b) as refuse:
        for sni in (UI, None, b.domain):
            for credential in (a.credential, None):
                with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
                    a.asks(b, plain, credential, sni=sni)
        refuse(a.asks(b, for_people), 421, misdirected)
        # Another of its own names is another name, too.
        refuse(a.asks(b, a.request(b, changed={"Host": f"infra2.{b.domain}"})), 421, misdirected)
        refuse(a.asks(b, for_people, None), 421, misdirected)
    assert refuse.passed_on == 0
    clean_request(a, b)


@pytest.mark.case("TLS-011")
def test_only_tls_1_3_without_early_data_reaches_the_federator(a: Party, b: Party) -> None:
    request = a.request(b, more=[("Connection", "close")])
    with client(a, b) as openssl:
        saved, early = openssl.folder / "session", openssl.folder / "early"
        early.write_bytes(request)
        assert openssl.talk(request, "-sess_out", str(saved)).answer.startswith("HTTP/1.1 200")
        with b.inward.watching() as passed:
            for version in old_versions():
                with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
                    a.asks(b, tune=partial(speak_only, version=version))
            # Typed at its prompt this asks for a renegotiation, which TLS 1.3 does not have.
            assert "wrong ssl version" in openssl.talk(b"R\n", "-no_ign_eof").report
            talk = openssl.talk(b"", "-sess_in", str(saved), "-early_data", str(early), "-no_ign_eof")
            assert talk.early_data in ("not sent", "rejected")
            assert not talk.is_resumed
    assert [each for each in passed if each.path == PATH] == []
    with b.inward.watching() as passed:
        clean_request(a, b)
    assert PATH in [each.path for each in passed]


def old_versions() -> list[ssl.TLSVersion]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2]


def speak_only(context: ssl.SSLContext, version: ssl.TLSVersion) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version


@pytest.mark.case("TLS-013")
def test_a_leaf_that_may_sign_is_weak_or_lives_too_long_is_refused(a: Party, b: Party, tmp_path: Path) -> None:
    long_lived = a.forged(starts=now() - HOUR, ends=now() + timedelta(days=400) - HOUR)
    with refusing_each(b) as refuse:
        for leaf, reason in (
            (a.forged(ca=True), "profile.ca"),
            (a.forged(ca=True, key_cert_sign=True), "profile.ca"),
            (a.forged(key_cert_sign=True), "profile.ca"),
            (long_lived, "profile.lifetime"),
        ):
            refuse(a.asks(b, credential=leaf), 403, DENIED, reason)
        for weak in (a.forged(key=a_weak_key()), a_sha1_leaf(a.authority, tmp_path, a.instance_uri())):
            refuse(a.asks(b, credential=weak), 403, REJECTED)
    assert a.asks(b, credential=a.forged(ends=now() + HOUR)).status == 200
