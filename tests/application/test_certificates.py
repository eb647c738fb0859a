"""The backend's own certificates through their life: made, renewed, revoked, rolled over, imported, and lost."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from isthmus.domain.errors import InvalidValue, NotFound, TransitionNotAllowed
from isthmus.domain.federation.bundle import Known
from isthmus.domain.federation.certificate import CLIENT_AUTH, check_profile, identity_of
from isthmus.domain.federation.names import InfraDomain
from isthmus.domain.federation.rollover import Schedule, Standing
from isthmus.protocol.bundle import open_next
from isthmus.server.application.certificates import Existing
from isthmus.server.certificate_ports import MaterialUnusable
from isthmus.server.certificate_records import Purpose
from isthmus.server.ports import Store
from isthmus.x509.authority import AUTHORITY_LIFE
from isthmus.x509.chain import check_chain
from isthmus.x509.leaf import read_leaf, read_one_pem
from tests.application.backend import ADA, BOTH_DATABASES, CountedIds, TurnedClock
from tests.application.own_certificates import DAY, DOMAIN, HOUR, INFRA, Own, first_of
from tests.x509.forge import Forged, a_leaf, an_authority


@pytest.fixture
def own(store: Store, tmp_path: Path) -> Own:
    return Own(store, tmp_path / "data")


@BOTH_DATABASES
async def test_all_material_is_made_at_once_and_remotes_take_it(own: Own) -> None:
    await own.begin()
    await own.check()
    assert own.federator.leaf.uris != own.ingress.leaf.uris
    assert identity_of(own.federator.leaf).domain == DOMAIN
    assert own.federator.leaf.usages == frozenset({CLIENT_AUTH})
    assert len(own.places.listener_key.read_bytes()) == 32
    keys = {own.places.context_key(name).read_bytes() for name in ("directory", "handshake", "heartbeat")}
    assert len(keys) == 3
    bundle = await own.bundle()
    assert (bundle.domain, bundle.infra_domains, len(bundle.authorities)) == (DOMAIN, INFRA, 1)
    trust = await own.service.trust()
    assert (trust.authorities, trust.bundle_sequence, trust.revoked) == (bundle.authorities, bundle.sequence, ())


async def test_nobody_else_may_look_into_the_folders(own: Own) -> None:
    await own.begin()
    for path in [own.places.federation, *own.places.federation.rglob("*")]:
        if not path.is_symlink():
            assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


async def test_nothing_changes_while_nothing_is_due(own: Own) -> None:
    await own.begin()
    before, serials = await own.service.state(), (own.federator.leaf.serial, own.ingress.leaf.serial)
    await own.service.prepare(DOMAIN, INFRA)
    await own.later(11 * HOUR)
    assert await own.service.state() == before
    assert (own.federator.leaf.serial, own.ingress.leaf.serial) == serials
    assert len(own.bundles) == 1


@BOTH_DATABASES
async def test_leaves_are_renewed_at_half_life_and_the_last_one_is_kept(own: Own) -> None:
    await own.begin()
    first, bundle = own.federator, await own.service.bundle()
    await own.later(12 * HOUR)
    second = own.federator
    assert second.leaf.serial != first.leaf.serial
    assert second.leaf.uris == first.leaf.uris
    await own.check()
    assert len(folders(own.places.federator_pair)) == 2
    await own.later(12 * HOUR)
    assert len(folders(own.places.federator_pair)) == 2
    # Remotes need not hear of it, and the Federator's decisions do not depend on it.
    assert await own.service.bundle() == bundle
    assert own.generations == [0]


def folders(link: Path) -> list[Path]:
    return [each for each in link.parent.iterdir() if not each.is_symlink()]


async def test_a_pair_that_is_lost_or_damaged_is_replaced(own: Own) -> None:
    await own.begin()
    spoil: list[Callable[[Path], Any]] = [
        lambda link: link.unlink(),
        lambda link: (link / "key.pem").write_bytes(b"rubbish"),
        lambda link: (link / "chain.pem").unlink(),
    ]
    for each in spoil:
        each(own.places.ingress_pair)
        await own.later(timedelta(seconds=10))
        await own.check()


async def test_new_names_get_new_leaves_and_a_new_bundle(own: Own) -> None:
    await own.begin()
    names = (*INFRA, InfraDomain("infra2.a.example"))
    before = await own.bundle()
    await own.service.prepare(DOMAIN, names)
    assert own.federator.leaf.dns_names == names
    bundle, is_news = open_next(await own.service.bundle(), before.known())
    assert is_news
    assert bundle.infra_domains == names


@BOTH_DATABASES
async def test_a_revoked_leaf_is_replaced_at_once_and_remotes_are_told(own: Own) -> None:
    await own.begin()
    before, first = await own.bundle(), own.federator.leaf
    revoked = await own.service.revoke(ADA, first.serial, "laptop lost")
    assert (revoked.serial, revoked.reason) == (first.serial, "laptop lost")
    assert own.federator.leaf.serial != first.serial
    assert own.federator.leaf.key != first.key
    bundle, is_news = open_next(own.bundles[-1], before.known())
    assert is_news
    assert bundle.revoked == (first.serial,)
    assert (await own.service.trust()).revoked == (first.fingerprint,)
    assert len(own.generations) == 2
    await own.check()
    with pytest.raises(TransitionNotAllowed, match="revoked before"):
        await own.service.revoke(ADA, first.serial, "again")
    with pytest.raises(NotFound):
        await own.service.revoke(ADA, 404, "unknown")
    async with own.store.reading() as tx:
        rows = [row.entry for row in await tx.journal.audit_page(100)]
    revocations = [row for row in rows if row.action == "certificate.revoke"]
    assert [(row.actor, row.facts["reason"]) for row in revocations] == [("user:ada", "laptop lost")]
    # Once it would have expired anyway, it need not be listed.
    await own.later(2 * DAY)
    assert (await own.bundle()).revoked == ()


async def test_a_renewal_that_is_asked_for_happens_at_once(own: Own) -> None:
    await own.begin()
    serials = {own.federator.leaf.serial, own.ingress.leaf.serial}
    for _ in range(10):
        own.clock.turn(timedelta(seconds=6))
        await own.service.renew(ADA)
        serials |= {own.federator.leaf.serial, own.ingress.leaf.serial}
        await own.check()
    assert len(serials) == 22


@BOTH_DATABASES
async def test_the_authority_rolls_over_and_every_remote_that_follows_can_verify(own: Own) -> None:
    await own.begin()
    known = await own.bundle()
    first_leaf = own.federator
    rolled = await own.service.roll_authority(ADA)
    assert rolled.standing is Standing.NEXT
    known, is_news = open_next(await own.service.bundle(), known.known())
    assert is_news
    assert len(known.authorities) == 2
    with pytest.raises(TransitionNotAllowed, match="already"):
        await own.service.roll_authority(ADA)
    await own.later(own.schedule.ahead - HOUR)
    await own.check()
    state = await own.service.state()
    assert state.issuing().fingerprint != rolled.fingerprint
    await own.later(HOUR)
    state = await own.service.state()
    assert state.issuing().fingerprint == rolled.fingerprint
    # The same bundle verifies the leaves of before and after.
    assert await own.bundle() == known
    check_chain(read_one_pem(first_of(own.federator)), known.authorities, own.clock.now())
    await own.check()
    assert first_leaf.leaf.serial != own.federator.leaf.serial
    await own.later(own.schedule.authority_overlap)
    last, _ = open_next(await own.service.bundle(), known.known())
    assert len(last.authorities) == 1
    await own.check()
    assert len(folders(own.places.authority / "current")) == 1


@BOTH_DATABASES
async def test_the_message_key_rolls_over_and_a_remote_that_was_away_can_follow(own: Own) -> None:
    await own.begin()
    first, key = await own.bundle(), own.message_key
    rolled = await own.service.roll_key(ADA)
    assert own.message_key.id == key.id
    with pytest.raises(TransitionNotAllowed, match="already"):
        await own.service.roll_key(ADA)
    await own.later(own.schedule.ahead)
    assert own.message_key.id == rolled.id
    await own.check()
    # Whoever knows the first bundle alone, and whoever knew each of them, both accept what comes during the overlap.
    await own.service.revoke(ADA, own.federator.leaf.serial, "for a new bundle")
    away, _ = open_next(await own.service.bundle(), first.known())
    assert away.message_keys.keys() == {key.id, rolled.id}
    await own.later(own.schedule.key_overlap)
    last, is_news = open_next(await own.service.bundle(), away.known())
    assert is_news
    assert last.message_keys.keys() == {rolled.id}
    assert not list(own.places.message_key.parent.glob(f"*{key.id}*"))


async def test_old_keys_and_authorities_roll_over_by_themselves(store: Store, tmp_path: Path) -> None:
    own = Own(store, tmp_path, Schedule(authority_lead=AUTHORITY_LIFE - 60 * DAY, key_life=60 * DAY))
    await own.begin()
    first = await own.bundle()
    # A remote that looks in every six days can follow all the time.
    known: Known = first.known()
    for _ in range(25):
        await own.later(6 * DAY)
        bundle, _ = open_next(await own.service.bundle(), known)
        known = bundle.known()
        await own.check()
    last = await own.bundle()
    assert not set(first.authorities) & set(last.authorities)
    assert not first.message_keys.keys() & last.message_keys.keys()


async def test_the_sequence_grows_even_where_the_database_was_restored(own: Own, store: Store) -> None:
    await own.begin()
    known = (await own.bundle()).known()
    authority, key = (await own.bundle()).authorities, own.message_key.id
    async with store.transaction() as tx:
        state = await own.service.state()
        await tx.own_trust.drop_authorities([each.fingerprint for each in state.authorities])
        await tx.own_trust.drop_keys([each.id for each in state.keys])
        await tx.own_trust.drop_leaves([each.serial for each in state.leaves])
        assert state.bundle is not None
        await tx.own_trust.put_bundle(type(state.bundle)(state.bundle.federator, state.bundle.ingress))
    own.again()
    await own.later(timedelta(minutes=1))
    bundle, is_news = open_next(await own.service.bundle(), Known(DOMAIN, known.sequence, known.message_keys))
    assert is_news
    assert (bundle.authorities, list(bundle.message_keys)) == (authority, [key])
    await own.check()


async def test_lost_files_are_told_and_nothing_else_happens(own: Own) -> None:
    await own.begin()
    folder = (own.places.authority / "current").resolve()
    folder.rename(folder.with_name("elsewhere"))
    before = await own.service.state()
    own.clock.turn(DAY)
    await own.service.work()
    assert "restore the folder" in str(own.service.problem)
    assert await own.service.state() == before
    with pytest.raises(MaterialUnusable):
        await own.service.renew(ADA)
    assert not own.lapsed()
    own.clock.turn(timedelta(seconds=1))
    await own.service.work()
    assert own.lapsed()
    folder.with_name("elsewhere").rename(folder)
    await own.later(HOUR)
    await own.check()
    assert not own.lapsed()


async def test_an_invitation_gets_a_leaf_of_its_own(own: Own) -> None:
    await own.begin()
    invitation = CountedIds().new()
    credential = await own.service.invitation_leaf(invitation, own.clock.now() + 25 * HOUR)
    leaf = read_leaf(read_one_pem(credential.chain))
    check_profile(leaf, now=own.clock.now())
    assert identity_of(leaf).invitation == invitation
    assert leaf.not_after == own.clock.now() + 25 * HOUR
    assert "PRIVATE KEY" in credential.key
    kept = (await own.service.state()).leaf(leaf.serial)
    assert kept is not None
    assert kept.purpose is Purpose.INVITATION


async def test_before_the_set_up_there_is_nothing(own: Own) -> None:
    await own.service.work()
    assert not own.places.federation.exists()
    assert (await own.service.trust()).authorities == ()
    calls: list[Awaitable[Any]] = [own.service.bundle(), own.service.renew(ADA), own.service.revoke(ADA, 1, "")]
    for call in calls:
        with pytest.raises(NotFound, match="federation init"):
            await call


def written(folder: Path, authority: Forged, *above: Forged) -> Existing:
    folder.mkdir(exist_ok=True)
    (folder / "ca.pem").write_bytes(b"".join(each.pem for each in (authority, *above)))
    (folder / "ca.key").write_bytes(authority.key_pem)
    return Existing(folder / "ca.pem", folder / "ca.key")


LONG: dict[str, Any] = {"ends": TurnedClock().now() + 400 * DAY}


async def test_a_backend_can_begin_with_a_ca_that_exists(own: Own, tmp_path: Path) -> None:
    root = an_authority("a root", **LONG)
    issuing = an_authority("an issuing CA", root, **LONG)
    existing = written(tmp_path / "given", issuing, root)
    await own.begin(existing)
    assert (await own.bundle()).authorities == (issuing.der, root.der)
    assert own.federator.chain.count(b"BEGIN CERTIFICATE") == 2
    await own.check()
    copied = own.places.authority / "ca.key"
    assert not copied.resolve().samefile(existing.key)


async def test_the_key_of_an_existing_ca_may_stay_where_it_is(own: Own, tmp_path: Path) -> None:
    existing = written(tmp_path / "given", an_authority("given", **LONG))
    await own.begin(Existing(existing.certificate, existing.key, key_stays=True))
    assert (own.places.authority / "ca.key").resolve().samefile(existing.key)
    await own.later(12 * HOUR)
    await own.check()
    existing.key.rename(tmp_path / "gone")
    # Told at once, although the next leaf is not due for hours.
    await own.service.work()
    assert "ca.key: there is no key file here" in str(own.service.problem)
    await own.check()


async def test_a_ca_that_is_imported_before_the_set_up_is_the_one_to_begin_with(own: Own, tmp_path: Path) -> None:
    given = an_authority("given", **LONG)
    existing = written(tmp_path / "given", given)
    imported = await own.service.import_authority(ADA, existing)
    assert (imported.standing, imported.is_imported) == (Standing.CURRENT, True)
    await own.begin()
    assert (await own.bundle()).authorities == (given.der,)
    assert (await own.service.state()).authorities == (imported,)
    await own.check()


async def test_a_ca_to_begin_with_that_may_not_issue_for_our_names_is_refused(own: Own, tmp_path: Path) -> None:
    elsewhere = (x509.NameConstraints([x509.DNSName("b.example")], None), True)
    existing = written(tmp_path / "given", an_authority("given", more=(elsewhere,), **LONG))
    await own.service.import_authority(ADA, existing)
    with pytest.raises(InvalidValue, match="remotes would refuse"):
        await own.begin()
    assert (await own.service.state()).leaves == ()
    given = an_authority("another", **LONG)
    await own.service.import_authority(ADA, written(tmp_path / "other", given))
    await own.begin()
    assert (await own.bundle()).authorities == (given.der,)
    await own.check()


async def test_an_imported_ca_comes_next_and_takes_over(own: Own, tmp_path: Path) -> None:
    await own.begin()
    given = an_authority("given", **LONG)
    imported = await own.service.import_authority(ADA, written(tmp_path / "given", given))
    assert (imported.standing, imported.is_imported) == (Standing.NEXT, True)
    await own.later(own.schedule.ahead)
    assert (await own.service.state()).issuing().certificates == (given.der,)
    await own.check()
    with pytest.raises(TransitionNotAllowed, match="known already"):
        await own.service.import_authority(ADA, written(tmp_path / "given", given))


ROOT = an_authority("a root", **LONG)
UNFIT: dict[str, tuple[Callable[[Path], Existing], str, str]] = {
    "no certificate": (lambda at: Existing(at / "none.pem", at / "none.key"), "/certificate_file", "there is no cert"),
    "no key": (
        lambda at: Existing(written(at / "x", ROOT).certificate, at / "none.key"),
        "/key_file",
        "there is no key file here",
    ),
    "a leaf": (lambda at: written(at / "x", a_leaf(ROOT, **LONG), ROOT), "/certificate_file", "is no CA"),
    "no root": (lambda at: written(at / "x", an_authority("below", ROOT, **LONG)), "/certificate_file", "self-signed"),
    "wrong order": (
        lambda at: written(at / "x", an_authority("below", ROOT, **LONG), an_authority("other", **LONG)),
        "/certificate_file",
        "in order",
    ),
    "ends soon": (
        lambda at: written(at / "x", an_authority(ends=TurnedClock().now() + 29 * DAY)),
        "/certificate_file",
        "in less than 30 days",
    ),
    "another key": (
        lambda at: Existing(written(at / "x", ROOT).certificate, written(at / "y", an_authority()).key),
        "/key_file",
        "of another certificate",
    ),
}


@pytest.mark.parametrize("fault", UNFIT)
async def test_a_ca_with_a_fault_is_refused_in_its_own_words(own: Own, tmp_path: Path, fault: str) -> None:
    await own.begin()
    made, name, words = UNFIT[fault]
    existing = made(tmp_path)
    with pytest.raises(InvalidValue, match=words) as refused:
        await own.service.import_authority(ADA, existing)
    assert refused.value.field == name
    assert str(tmp_path) in str(refused.value)
    assert len((await own.service.state()).authorities) == 1
