"""What each connection to a remote rests on, and when that is another thing than it was."""

from hashlib import sha256

from isthmus.domain.federation.denial import Denied
from isthmus.domain.federation.names import BackendDomain
from isthmus.domain.federation.remote import State
from isthmus.domain.federation.view import Known, View
from isthmus.federator.calling import Carrier, Identity
from isthmus.federator.ports import Clock, Pair, Pairs, Snapshots


class Identities:
    """Made anew for a remote whenever its entry or our certificate changes."""

    def __init__(self, pairs: Pairs, clock: Clock) -> None:
        self._pairs, self._clock = pairs, clock
        self._known: dict[BackendDomain, tuple[Known, Pair, Identity]] = {}

    def of(self, view: View, known: Known) -> Identity:
        """Raises `Denied` with `own_certificate_expired` when there is nothing that we could show."""
        pair = self._pairs.current
        if known.credential is None:
            self._check(pair, view)
        former = self._known.get(known.domain)
        if former is not None and former[0] == known and former[1] is pair:
            return former[2]
        if len(self._known) > len(view.remotes) + 1024:
            self._known.clear()
        identity = identity_of(known, pair)
        self._known[known.domain] = (known, pair, identity)
        return identity

    def _check(self, pair: Pair, view: View) -> None:
        if self._clock.now() > pair.leaf.not_after.timestamp():
            detail = f"our certificate expired at {pair.leaf.not_after:%Y-%m-%d %H:%M:%S} UTC"
            raise Denied("own_certificate_expired", "own.expired", detail)
        if pair.fingerprint in view.own_revoked:
            raise Denied("own_certificate_expired", "own.revoked", "our certificate is revoked")


def identity_of(known: Known, pair: Pair) -> Identity:
    chain, key = pair.chain, pair.key
    if known.credential is not None:
        chain, key = known.credential.chain.encode(), known.credential.key.encode()
    revoked = known.revoked
    parts = (
        str((known.domain, known.generation, known.state, known.trust, known.needs_tlsa)).encode(),
        *sorted(name.encode() for name in known.infra_domains),
        *sorted(sha256(authority).digest() for authority in known.authorities),
        *sorted(revoked.leaves),
        *sorted(str(serial).encode() for serial in revoked.serials),
        *sorted(revoked.keys),
        sha256(chain).digest(),
    )
    # Each with its length, so that no two lists of parts look alike.
    digest = sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest()
    return Identity(known.domain, digest, known.authorities, revoked, chain, key)


def follow(carrier: Carrier, snapshots: Snapshots, pairs: Pairs) -> None:
    """From now on `carrier` hears at once of everything that its connections rest on."""

    def of_view(view: View) -> None:
        for domain in carrier.domains:
            known = view.find(domain)
            open_still = known is not None and known.state in (State.ACTIVE, State.PENDING)
            digest = identity_of(known, pairs.current).digest if known is not None else None
            carrier.renew(domain, digest, cut=not open_still)
            carrier.keep(domain, known.bridges if known is not None else ())

    def of_pair(pair: Pair) -> None:
        view = snapshots.current
        for domain in carrier.domains if view is not None else ():
            known = view.find(domain) if view is not None else None
            if known is not None:
                carrier.renew(domain, identity_of(known, pair).digest, cut=False)

    snapshots.subscribe(of_view)
    pairs.subscribe(of_pair)
