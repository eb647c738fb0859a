"""Whether a leaf was issued by one of the certificates that a backend is known by.

`cryptography`'s verifier does it, with extension policies of our own: it checks signature, dates, critical extensions
and name constraints, which a bare `verify_directly_issued_by` would leave to us. It is given no intermediates: an
authority that is only sent along counts for nothing, one that belongs to the anchors is an anchor. So a chain is always
one step.
"""

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from isthmus.domain.federation.certificate import CLIENT_AUTH
from isthmus.x509.leaf import UNREADABLE, load

MOST_AUTHORITIES = 64


class ChainBroken(Exception):
    """`reason`: `no_authorities`, `unreadable`, `issuer` (none of that name) or `unverified` (signature, dates, …)."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


def check_chain(leaf: bytes, authorities: Sequence[bytes], now: datetime, usage: str = CLIENT_AUTH) -> None:
    """Check that one of `authorities` issued `leaf` (all DER) and may do so. Raises `ChainBroken`.

    Equal arguments have equal verdicts, but for the dates: whoever keeps a verdict asks `check_dates` again and keeps
    it no longer than `valid_until` of its authorities.
    """
    if not authorities:
        raise ChainBroken("no_authorities")
    try:
        certificate = load(leaf)
        # By name first: most that are tried belong to others, and a bundle may hold an authority that this verifier
        # does not take.
        known = [found for found in map(load, authorities[:MOST_AUTHORITIES]) if found.subject == certificate.issuer]
    except ValueError as error:
        raise ChainBroken("unreadable", str(error)) from None
    # The verifier takes a certificate that is an anchor as it is; here none may vouch for itself.
    issuers = [found for found in known if found != certificate]
    if not issuers:
        raise ChainBroken("issuer")
    builder = PolicyBuilder().store(Store(issuers)).time(now).max_chain_depth(0)
    verifier = builder.extension_policies(ca_policy=_authority_policy(usage), ee_policy=LEAF_POLICY)
    try:
        verifier.build_client_verifier().verify(certificate, [])
    except (VerificationError, *UNREADABLE) as error:
        raise ChainBroken("unverified", str(error)[:200]) from None


def valid_until(authorities: Sequence[bytes]) -> datetime | None:
    """When the first of these DER certificates ends. Raises `ValueError`."""
    return min((load(each).not_valid_after_utc for each in authorities), default=None)


def _may_sign(policy: Policy, authority: x509.Certificate, usage: x509.KeyUsage) -> None:
    if not usage.key_cert_sign:
        raise ValueError("the issuer may not sign certificates")


def _authority_policy(usage: str) -> ExtensionPolicy:
    def serves(policy: Policy, authority: x509.Certificate, usages: x509.ExtendedKeyUsage | None) -> None:
        if usages is not None and usage not in {each.dotted_string for each in usages}:
            raise ValueError("the issuer may not issue for this usage")

    return (
        ExtensionPolicy.permit_all()
        # That it says CA is asked by the verifier itself, once it is there.
        .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
        .require_present(x509.KeyUsage, Criticality.AGNOSTIC, _may_sign)
        .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, serves)
    )


# The leaf's own profile is `domain.federation.certificate`'s, which tells which rule was broken.
LEAF_POLICY = ExtensionPolicy.permit_all()
