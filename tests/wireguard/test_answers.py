"""Reading `wg show dump` and the userspace protocol: both tell the same state, without its secrets."""

import contextlib
import errno
import traceback
from ipaddress import ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from isthmus.domain.addresses import Endpoint
from isthmus.wireguard.dump import InvalidDump, parse_dump
from isthmus.wireguard.keys import PresharedKey, PrivateKey
from isthmus.wireguard.state import InterfaceState, PeerState
from isthmus.wireguard.uapi import InvalidAnswer, Reader, UapiError, check_set, parse_get

PRIVATE = PrivateKey(bytes(range(1, 33)))
PRESHARED = PresharedKey(bytes(range(2, 34)))
BUSY = PrivateKey(bytes(range(3, 35))).public()
QUIET = PrivateKey(bytes(range(4, 36))).public()

STATE = InterfaceState(
    public_key=PRIVATE.public(),
    listen_port=51820,
    fwmark=0x1F,
    peers={
        BUSY: PeerState(
            BUSY,
            endpoint=Endpoint("fe80::1%eth0", 51821),
            allowed_ips=frozenset({ip_network("10.0.0.1/32"), ip_network("fd00::/64")}),
            latest_handshake=1_700_000_000,
            rx=2**40,
            tx=92,
            keepalive=25,
            has_preshared_key=True,
        ),
        QUIET: PeerState(QUIET),
    },
)

DUMP = (
    f"{PRIVATE.reveal()}\t{PRIVATE.public()}\t51820\t0x1f\n"
    f"{BUSY}\t{PRESHARED.reveal()}\t[fe80::1%eth0]:51821\tfd00::/64,10.0.0.1/32\t1700000000\t{2**40}\t92\t25\n"
    f"{QUIET}\t(none)\t(none)\t(none)\t0\t0\t0\toff\n"
)

ANSWER = (
    f"private_key={PRIVATE.reveal_hex()}\nlisten_port=51820\nfwmark=31\n"
    f"public_key={QUIET.hex()}\npreshared_key={'0' * 64}\nprotocol_version=1\n"
    "last_handshake_time_sec=0\nlast_handshake_time_nsec=0\ntx_bytes=0\nrx_bytes=0\npersistent_keepalive_interval=0\n"
    f"public_key={BUSY.hex()}\npreshared_key={PRESHARED.reveal_hex()}\nprotocol_version=1\n"
    "endpoint=[fe80::1%eth0]:51821\nlast_handshake_time_sec=1700000000\nlast_handshake_time_nsec=5\n"
    f"tx_bytes=92\nrx_bytes={2**40}\npersistent_keepalive_interval=25\nsomething_of_tomorrow=1\n"
    "allowed_ip=10.0.0.1/32\nallowed_ip=fd00::/64\nerrno=0\n\n"
)


def test_the_dump_and_the_protocol_tell_the_same_state() -> None:
    assert parse_dump(DUMP) == STATE
    assert parse_get(ANSWER.encode()) == STATE


def test_a_fresh_interface_has_no_key_and_no_peers() -> None:
    fresh = InterfaceState(public_key=None, listen_port=0, fwmark=0, peers={})
    assert parse_dump("(none)\t(none)\t0\toff\n") == fresh
    assert parse_get(b"errno=0\n\n") == fresh


def test_a_reader_sees_every_change_and_keeps_the_peers_that_are_as_they_were() -> None:
    reader = Reader()
    first = reader.read(ANSWER.encode())

    changed = ANSWER.replace("rx_bytes=0", "rx_bytes=148").replace("listen_port=51820", "listen_port=51821")
    second = reader.read(changed.encode())
    assert second == parse_get(changed.encode())
    assert second.peers[BUSY] is first.peers[BUSY]
    assert (second.peers[QUIET].rx, second.listen_port) == (148, 51821)

    # Gone and back: what is remembered is the last answer, and no more.
    without = ANSWER[: ANSWER.index("public_key=" + BUSY.hex())] + "errno=0\n\n"
    assert set(reader.read(without.encode()).peers) == {QUIET}
    assert reader.read(ANSWER.encode()) == first


def test_a_reader_that_met_a_broken_answer_reads_the_next_one() -> None:
    reader = Reader()
    with pytest.raises(InvalidAnswer):
        reader.read(ANSWER.replace("10.0.0.1/32", "10.0.0.1/33").encode())
    assert reader.read(ANSWER.encode()) == STATE


def test_the_state_holds_no_secret() -> None:
    for state in (parse_dump(DUMP), parse_get(ANSWER.encode())):
        shown = repr(state)
        for secret in (PRIVATE, PRESHARED):
            assert secret.reveal() not in shown
            assert secret.reveal_hex() not in shown


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (1, ""),
        (1, "wg0\t" + DUMP),
        (1, DUMP.replace("51820\t", "99999\t")),
        (1, DUMP.replace(f"\t{PRIVATE.public()}\t", "\tkey\t")),
        (2, DUMP.replace("\t25\n", "\n")),
        (2, DUMP.replace("10.0.0.1/32", "10.0.0.1/33")),
        (2, DUMP.replace("10.0.0.1/32", PRESHARED.reveal())),
        (2, DUMP.replace("[fe80::1%eth0]", "[fe80::1%eth0\x85]")),
        (3, DUMP.replace(str(QUIET), PRIVATE.reveal() + "=")),
        (3, DUMP.replace("\toff", "\t-1")),
        (4, DUMP + "\n\n" + DUMP),
    ],
)
def test_a_broken_dump_is_refused_with_its_line_but_without_its_content(line: int, text: str) -> None:
    with pytest.raises(InvalidDump, match=f"^line {line}: ") as refused:
        parse_dump(text)
    shown = "".join(traceback.format_exception(refused.value))
    assert PRIVATE.reveal() not in shown
    assert PRESHARED.reveal() not in shown


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "errno=0\n",
        "\n\n",
        ANSWER.removesuffix("errno=0\n\n") + "\n\n",
        ANSWER[: len(ANSWER) // 2],
        ANSWER.replace("listen_port=51820", "listen_port"),
        ANSWER.replace("protocol_version=1", "protocol_version", 1),
        ANSWER.replace("listen_port=51820", "listen_port=-1"),
        ANSWER.replace("fwmark=31", "fwmark=3é"),
        ANSWER.replace("10.0.0.1/32", "10.0.0.1/33"),
        ANSWER.replace("10.0.0.1/32", PRIVATE.reveal_hex()),
        ANSWER.replace(BUSY.hex(), "00" * 32),
        ANSWER.replace(PRIVATE.reveal_hex(), PRIVATE.reveal_hex()[1:]),
        ANSWER.replace("errno=0", "errno="),
        ANSWER.replace("errno=0", "errno=none"),
    ],
)
def test_a_broken_answer_is_refused_without_its_content(answer: str) -> None:
    with pytest.raises(InvalidAnswer) as refused:
        parse_get(answer.encode())
    assert PRIVATE.reveal_hex()[1:] not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize("text", ["errno=98\n\n", "errno=-98\n\n", "listen_port=1\nerrno=98\n\n"])
def test_an_errno_of_either_sign_is_an_error_of_the_operating_system(text: str) -> None:
    with pytest.raises(UapiError, match="in use") as refused:
        parse_get(text.encode())
    assert refused.value.errno == errno.EADDRINUSE
    with pytest.raises(OSError, match="in use"):
        check_set(text.encode())


def test_a_set_request_is_answered_by_errno_alone() -> None:
    check_set(b"errno=0\n\n")
    with pytest.raises(InvalidAnswer):
        check_set(ANSWER.encode())


@given(st.text(st.characters(), max_size=200))
@example("(none)\t(none)\t0\toff\n" + "\t" * 7)
def test_no_text_makes_the_readers_fail_in_another_way(text: str) -> None:
    with contextlib.suppress(InvalidDump):
        parse_dump(text)
    with contextlib.suppress(InvalidAnswer):
        parse_get(text.encode("utf-8", "replace") + b"\nerrno=0\n\n")
