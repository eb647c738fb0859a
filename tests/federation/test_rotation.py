"""Certificates and authorities follow each other while calls go on."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta

import pytest
from cryptography import x509

from lab.waiting import wait_until
from tests.federation.checks import clean_request
from tests.federation.federation import Federation
from tests.federation.party import Party

WITHIN = 60.0
# Ten a minute are one each six seconds; here they are quicker.
ROTATIONS, PAUSE = 5, 1.5
CALLERS, A_SECOND = 4, 50.0
EIGHT_DAYS = int(timedelta(days=8).total_seconds() * 1_000_000)


@contextmanager
def called_all_the_time(party: Party, other: Party) -> Iterator[list[str]]:
    """While the block runs `party` calls `other` fifty times a second; the list has what came beside 200."""
    wrong: list[str] = []
    counts = [0] * CALLERS
    over = threading.Event()

    def call(number: int) -> None:
        while not over.wait(CALLERS / A_SECOND):
            try:
                answer = party.calls(other.domain)
            except Exception as error:  # noqa: BLE001  # whatever it is, it is no answer
                wrong.append(repr(error))
                return
            counts[number] += 1
            if answer.status != 200:
                wrong.append(str(answer))

    threads = [threading.Thread(target=call, args=(number,)) for number in range(CALLERS)]
    for thread in threads:
        thread.start()
    try:
        yield wrong
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert min(counts) > 10


def authorities_of(party: Party) -> list[str]:
    with closing(sqlite3.connect(f"file:{party.site.database}?mode=ro", uri=True, timeout=10)) as database:
        return [standing for (standing,) in database.execute("SELECT standing FROM own_authorities")]


def let_a_week_pass(party: Party) -> None:
    """For the authority that comes next: it was published long enough ago to be used."""
    with closing(sqlite3.connect(party.site.database, timeout=30)) as database, database:
        earlier = "published_at = published_at - ?, changed_at = changed_at - ?"
        change = f"UPDATE own_authorities SET {earlier} WHERE standing = 'next'"  # noqa: S608  # a fixed text
        database.execute(change, (EIGHT_DAYS, EIGHT_DAYS))


def told(party: Party, other: Party) -> bool:
    return not party.api.get(f"/remotes/{other.domain}").raise_for_status().json()["waiting"]


@pytest.mark.case("FAULT-008")
def test_leaves_and_the_authority_change_under_load_and_no_call_fails(federation: Federation) -> None:
    b, c = federation.b, federation.c
    with called_all_the_time(c, b) as wrong:
        for _ in range(ROTATIONS):
            for party in (c, b):
                before = party.leaf
                party.api.post("/certificates/renew").raise_for_status()
                assert party.leaf != before
            time.sleep(PAUSE)
        before, anchors = c.leaf, b.site.places.ingress_config / "current" / "anchors.pem"
        known = anchors.read_text().count("BEGIN")
        c.api.post("/certificates/roll", json={"what": "authority"}).raise_for_status()
        wait_until(lambda: anchors.read_text().count("BEGIN") > known, within=WITHIN, what="the new authority at B")
        wait_until(lambda: told(c, b) and told(c, federation.a), within=WITHIN, what="the bundle to be told")
        let_a_week_pass(c)
        wait_until(lambda: "past" in authorities_of(c), within=WITHIN, what="the overlap")
        wait_until(lambda: _issuer(c.leaf) != _issuer(before), within=WITHIN, what="a leaf of the new authority")
        time.sleep(PAUSE)
    assert wrong == []
    clean_request(c, b)
    clean_request(b, c)


def _issuer(leaf: x509.Certificate) -> bytes | None:
    return leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
