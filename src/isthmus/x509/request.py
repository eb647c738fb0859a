"""Certificate requests (PKCS #10): their public key is all that counts, for whoever issues decides the names."""

import binascii
import re

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from isthmus.domain.errors import CsrInvalid
from isthmus.domain.federation.certificate import STRONG_HASHES, is_strong_key
from isthmus.x509.authority import LeafKey, private_pem
from isthmus.x509.leaf import UNREADABLE, kind_of

LONGEST = 16 * 1024
LABEL = "-----{} (?:NEW )?CERTIFICATE REQUEST-----"
ONE_PEM = re.compile(rf"\s*{LABEL.format('BEGIN')}\r?\n([A-Za-z0-9+/=\s]+){LABEL.format('END')}\s*", re.ASCII)


def make_request() -> tuple[bytes, str]:
    """A new P-256 key (PEM, PKCS #8) and a request for it, which names nobody (PEM)."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, SHA256())
    return private_pem(key), request.public_bytes(Encoding.PEM).decode()


def read_request(text: str) -> LeafKey:
    """The public key of the one request in `text` (PEM, ≤ 16 KiB), whose holder has signed it. Raises `CsrInvalid`."""
    if len(text) > LONGEST:
        raise CsrInvalid(f"is larger than {LONGEST} bytes")
    found = ONE_PEM.fullmatch(text)
    if found is None:
        raise CsrInvalid("is not exactly one in PEM")
    try:
        request = x509.load_der_x509_csr(binascii.a2b_base64("".join(found[1].split()), strict_mode=True))
        key = request.public_key()
        hash_name = "" if request.signature_hash_algorithm is None else request.signature_hash_algorithm.name
    except (*UNREADABLE, UnsupportedAlgorithm):
        raise CsrInvalid("cannot be read, or has a key of a kind that no remote takes") from None
    usable = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey
    if not isinstance(key, usable) or not is_strong_key(kind_of(key)):
        taken = "P-256, P-384, P-521, Ed25519 and RSA from 2048 to 8192 bits are taken"
        raise CsrInvalid(f"has a key that no remote takes ({kind_of(key)}): {taken}")
    if hash_name not in STRONG_HASHES:
        raise CsrInvalid(f"is signed with a hash that is too weak ({hash_name})")
    if not request.is_signature_valid:
        raise CsrInvalid("is not signed with the key that it holds")
    return key
