"""Certificate requests: one that holds a strong key and is signed with it gives that key, everything else a reason."""

from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from isthmus.domain.errors import CsrInvalid
from isthmus.x509.request import LONGEST, make_request, read_request
from tests.x509.forge import a_p256_key, a_weak_key


def a_request(key: Any, name: str = "") -> str:
    names = [x509.NameAttribute(x509.NameOID.COMMON_NAME, name)] if name else []
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else SHA256()
    made = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names)).sign(key, algorithm)
    return made.public_bytes(Encoding.PEM).decode()


STRONG: dict[str, Callable[[], Any]] = {
    "P-256": a_p256_key,
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
}
WEAK: dict[str, Callable[[], Any]] = {
    "RSA of 1024 bits": a_weak_key,
    "another curve": lambda: ec.generate_private_key(ec.SECP256K1()),
    "DSA": lambda: dsa.generate_private_key(2048),
}


@pytest.mark.parametrize("kind", STRONG)
def test_the_key_of_a_request_is_read_and_nothing_else(kind: str) -> None:
    key = STRONG[kind]()
    assert read_request(a_request(key, "somebody.else.example")) == key.public_key()


@pytest.mark.parametrize("kind", WEAK)
def test_a_key_that_no_remote_takes_is_refused(kind: str) -> None:
    with pytest.raises(CsrInvalid, match="key"):
        read_request(a_request(WEAK[kind]()))


def test_the_request_that_is_made_here_is_one_for_its_key() -> None:
    key, request = make_request()
    loaded: Any = load_pem_private_key(key, None)
    assert read_request(request) == loaded.public_key()


def test_whoever_does_not_hold_the_key_gets_no_leaf_for_it() -> None:
    der = bytearray(x509.load_pem_x509_csr(a_request(a_p256_key()).encode()).public_bytes(Encoding.DER))
    # The point of the key stands in the middle, and any bit of the signature is near the end.
    der[-3] ^= 1
    forged = x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM).decode()
    with pytest.raises(CsrInvalid, match="not signed"):
        read_request(forged)


GOOD = a_request(a_p256_key())
UNREADABLE = {
    "nothing": "",
    "a word": "please",
    "two of them": GOOD + GOOD,
    "something before it": "x" + GOOD,
    "a certificate's label": GOOD.replace("CERTIFICATE REQUEST", "CERTIFICATE"),
    "no base64": GOOD.replace("A", "="),
    "half of it": GOOD[:60] + "\n-----END CERTIFICATE REQUEST-----\n",
    "too much": GOOD + "\n" * LONGEST,
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_what_is_not_one_request_is_refused_with_a_reason(what: str) -> None:
    with pytest.raises(CsrInvalid, match="the certificate request "):
        read_request(UNREADABLE[what])
