"""WireGuard keys: public ones that travel freely, secret ones that print as `***`."""

import binascii
import hmac
import secrets
from dataclasses import dataclass
from typing import NoReturn, Self

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

KEY_BYTES = 32
TEXT_LENGTH = 44
_TOP_BIT_CLEARED = (1 << 255) - 1
_FIELD_PRIME = 2**255 - 19

# Every point of small order (RFC 7748, 7; D. J. Bernstein, "A state-of-the-art Diffie-Hellman function"), with the
# encodings that are not reduced. A handshake with one of them yields an all-zero secret and never completes.
_LOW_ORDER_POINTS = frozenset(
    {
        0,
        1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
        _FIELD_PRIME - 1,
        _FIELD_PRIME,
        _FIELD_PRIME + 1,
    }
)


class InvalidKey(ValueError):
    """Text or bytes that are no WireGuard key. The message never repeats them: they may be a secret."""


def _decode(text: str) -> bytes:
    """The 32 bytes of a key in base64, which has to be the one spelling that WireGuard itself writes."""
    if len(text) != TEXT_LENGTH or not text.isascii():
        raise InvalidKey(f"a WireGuard key has {TEXT_LENGTH} characters of base64")
    try:
        raw = binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        raise InvalidKey("a WireGuard key is written in base64") from None
    if len(raw) != KEY_BYTES or _encode(raw) != text:
        raise InvalidKey("a WireGuard key is 32 bytes in canonical base64")
    return raw


def _encode(raw: bytes) -> str:
    return binascii.b2a_base64(raw, newline=False).decode("ascii")


def _decode_hex(text: str) -> bytes:
    if len(text) != 2 * KEY_BYTES:
        raise InvalidKey(f"a WireGuard key has {2 * KEY_BYTES} hexadecimal digits")
    try:
        return binascii.unhexlify(text)
    except ValueError:
        raise InvalidKey("a WireGuard key has hexadecimal digits only") from None


@dataclass(frozen=True, slots=True, order=True, repr=False)
class PublicKey:
    """A point of Curve25519, 32 bytes. `str()` is its base64; points of small order are refused with `InvalidKey`."""

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != KEY_BYTES:
            raise InvalidKey(f"a WireGuard key has {KEY_BYTES} bytes")
        if int.from_bytes(self.raw, "little") & _TOP_BIT_CLEARED in _LOW_ORDER_POINTS:
            raise InvalidKey("this public key is a point of small order, with which no handshake completes")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read 44 characters of canonical base64; anything else raises `InvalidKey`."""
        return cls(_decode(text))

    @classmethod
    def from_hex(cls, text: str) -> Self:
        """Read 64 hexadecimal digits, as the userspace protocol writes keys."""
        return cls(_decode_hex(text))

    def hex(self) -> str:
        return self.raw.hex()

    def __str__(self) -> str:
        return _encode(self.raw)

    def __repr__(self) -> str:
        return f"PublicKey({self})"


class _SecretKey:
    """32 bytes that no log line, error or serialiser meets by accident: they leave only through `reveal`."""

    __slots__ = ("_raw",)

    def __init__(self, raw: bytes) -> None:
        if len(raw) != KEY_BYTES:
            raise InvalidKey(f"a WireGuard key has {KEY_BYTES} bytes")
        if not any(raw):
            raise InvalidKey("a key of zeros is WireGuard's word for no key")
        self._raw = raw

    @classmethod
    def generate(cls) -> Self:
        """A fresh key from the operating system's randomness."""
        return cls(secrets.token_bytes(KEY_BYTES))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read 44 characters of canonical base64; anything else raises `InvalidKey`."""
        return cls(_decode(text))

    @classmethod
    def from_hex(cls, text: str) -> Self:
        """Read 64 hexadecimal digits, as the userspace protocol writes keys."""
        return cls(_decode_hex(text))

    def reveal(self) -> str:
        """The key itself in base64. Hand it to WireGuard or to the key's owner, to nobody else."""
        return _encode(self._raw)

    def reveal_hex(self) -> str:
        """The key itself in hexadecimal digits, for the userspace protocol."""
        return self._raw.hex()

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and hmac.compare_digest(self._raw, other._raw)

    # A hash, which is derived from the secret, would be kept by every set and mapping.
    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return format("***", spec)

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} is not serialised; call reveal() where it has to leave")


class PrivateKey(_SecretKey):
    """An X25519 scalar, kept clamped as WireGuard keeps it, so that a key read back from an interface is equal."""

    __slots__ = ()

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw)
        self._raw = bytes([raw[0] & 248]) + raw[1:31] + bytes([raw[31] & 127 | 64])

    def public(self) -> PublicKey:
        """The half that others may know."""
        return PublicKey(X25519PrivateKey.from_private_bytes(self._raw).public_key().public_bytes_raw())


class PresharedKey(_SecretKey):
    """A symmetric key that two peers mix into their handshakes."""

    __slots__ = ()
