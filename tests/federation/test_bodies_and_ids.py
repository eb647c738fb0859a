"""Through the real ingress: which bodies are taken, and whose request ids count."""

import contextlib
from collections.abc import Iterator

import pytest

from isthmus.protocol.federation import REQUEST_ID
from lab.waiting import wait_until
from tests.federation.checks import clean_request, no_state_change, one_audit_row, refused, refusing
from tests.federation.party import Party

ALICE = '{"handle":"alice"}'
PACKED = b"\x1f\x8b\x08\x00" + bytes(64)


@pytest.mark.case("PATH-006")
def test_only_plain_json_is_taken(a: Party, b: Party) -> None:
    for coding in ("gzip", "deflate", "br"):
        data = a.request(b, body=PACKED, more=[("Content-Encoding", coding)])
        with refusing(b, "content_encoding_not_allowed"):
            refused(a.asks(b, data), 415, "content_encoding_not_allowed")
    for kind in ("multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "text/plain"):
        with refusing(b, "unsupported_media_type"):
            refused(a.asks(b, a.request(b, changed={"Content-Type": kind})), 415, "unsupported_media_type")
    # The component says this one: the Federator looks into no body.
    with no_state_change(b), one_audit_row(b, "json_invalid"):
        refused(a.asks(b, a.request(b, body=ALICE.encode("utf-16"))), 400, "json_invalid")
    clean_request(a, b)


@pytest.mark.case("HDR-012")
def test_request_ids_are_ours(a: Party, b: Party) -> None:
    # Admitted, and then denied by the component: what changes nothing and is granted has no row.
    ends, middle = a.request(b, body=b'{"handle":"hidden"}').split(b"\r\n", 1)
    long, folded = b"x" * 4096, b"first\r\n second"
    given = {"long": long, "newline": folded, "equal": b"the-same", "equal again": b"the-same"}
    before, ids = b.last_row(), []
    with b.inward.watching() as passed:
        for value in given.values():
            with logged(b) as lines:
                answer = a.asks(b, ends + b"\r\nX-Request-Id: " + value + b"\r\n" + middle)
                assert answer.status in (404, 400), answer
                ours = answer.header(REQUEST_ID)
                assert ours is not None
                assert ours.encode() != value
                ids.append(ours)
            assert all(value.decode() not in line for line in lines if len(value) > 300)
    assert len(set(ids)) == len(ids)
    clean_request(a, b)
    # Rows of the ingress may take five seconds.
    wait_until(lambda: {row["request_id"] for row in b.audit(before)} >= set(ids), within=10.0, what="all rows")
    rows = {row["request_id"]: row for row in b.audit(before)}
    for ours, value in zip(ids, given.values(), strict=True):
        assert ours in rows, f"no row of {ours}"
        shown = rows[ours]["facts"].get("caller_request_id", "")
        assert len(shown) <= 200
        assert shown == "" or value.decode().startswith(shown)
        assert "\n" not in shown
        assert ours in b.site.log
    assert rows[ids[2]]["facts"]["caller_request_id"] == "the-same"
    assert rows[ids[3]]["facts"]["caller_request_id"] == "the-same"
    assert rows[ids[0]]["facts"]["caller_request_id"]
    assert len(passed) >= 3


@contextlib.contextmanager
def logged(party: Party) -> Iterator[list[str]]:
    """What the processes of a backend log meanwhile."""
    before, lines = len(party.site.log), list[str]()
    yield lines
    lines += party.site.log[before:].splitlines()
