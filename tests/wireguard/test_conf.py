"""Rendering and reading wg-quick files: nothing lost, and nothing more said than the model says."""

import dataclasses
import ipaddress
import traceback
from collections.abc import Callable
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from isthmus.domain.addresses import Endpoint
from isthmus.wireguard.conf import (
    Conf,
    InterfaceSection,
    PeerSection,
    escape,
    render,
    render_syncconf,
    unescape,
)
from isthmus.wireguard.conf_reader import InvalidConf, parse
from isthmus.wireguard.keys import PresharedKey, PrivateKey
from tests.wireguard.strategies import confs

PRIVATE = PrivateKey(bytes(range(1, 33)))
PRESHARED = PresharedKey(bytes(range(2, 34)))
PEER = PrivateKey(bytes(range(3, 35))).public()

FULL = Conf(
    InterfaceSection(
        private_key=PRIVATE,
        addresses=(ip_interface("10.20.0.5/24"), ip_interface("fd12:3456:789a:1::5/64")),
        listen_port=51820,
        mtu=1420,
        dns=(ip_address("10.20.0.1"),),
        search_domains=("office.internal",),
        table="off",
        fwmark=51820,
    ),
    (
        PeerSection(
            PEER,
            name="gw",
            preshared_key=PRESHARED,
            endpoint=Endpoint("2001:db8::7", 51820),
            allowed_ips=(ip_network("10.20.0.0/24"), ip_network("fd12:3456:789a:1::/64")),
            keepalive=25,
        ),
    ),
)

FULL_TEXT = f"""\
[Interface]
PrivateKey = {PRIVATE.reveal()}
Address = 10.20.0.5/24, fd12:3456:789a:1::5/64
ListenPort = 51820
MTU = 1420
DNS = 10.20.0.1, office.internal
Table = off
FwMark = 0xca6c

[Peer]
# Name = gw
PublicKey = {PEER}
PresharedKey = {PRESHARED.reveal()}
Endpoint = [2001:db8::7]:51820
AllowedIPs = 10.20.0.0/24, fd12:3456:789a:1::/64
PersistentKeepalive = 25
"""


def settings(text: str) -> list[str]:
    """Sections and keys, taken from every line that any program could see in `text`."""
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    return [line.partition("=")[0].strip() for line in lines if line]


def test_a_full_configuration_reads_as_documented() -> None:
    assert render(FULL) == FULL_TEXT


@pytest.mark.case("PATH-009")
@given(confs)
def test_a_configuration_survives_its_text(conf: Conf) -> None:
    assert parse(render(conf)) == conf


@given(confs)
def test_equal_models_give_equal_bytes(conf: Conf) -> None:
    twin = Conf(dataclasses.replace(conf.interface), tuple(dataclasses.replace(peer) for peer in conf.peers))
    assert twin == conf
    assert render(twin).encode() == render(conf).encode()
    assert render_syncconf(twin) == render_syncconf(conf)


@given(confs)
def test_what_syncconf_reads_is_the_same_without_names_addresses_and_the_rest_of_wg_quick(conf: Conf) -> None:
    interface = conf.interface
    assert parse(render_syncconf(conf)) == Conf(
        InterfaceSection(interface.private_key, listen_port=interface.listen_port, fwmark=interface.fwmark),
        tuple(dataclasses.replace(peer, name=None, keepalive=peer.keepalive or 0) for peer in conf.peers),
    )


@given(st.text(st.characters()))
@example("\\u000a\\\\")
@example(" \\ ")
@example("\\U00110000")
def test_an_escaped_name_comes_back_whole(text: str) -> None:
    assert unescape(escape(text)) == text


@pytest.mark.parametrize("name", ["", " ", "  gw ", "= gw", "# Name = gw", "\\u0020", "\ud800", "Büro №1 🖨"])
def test_a_name_survives_in_its_comment(name: str) -> None:
    peers = (dataclasses.replace(FULL.peers[0], name=name),)
    assert parse(render(Conf(FULL.interface, peers))).peers == peers


@pytest.mark.case("PATH-009")
@given(st.text(st.characters()))
@example("gw\nPostUp = touch /tmp/owned")
@example("gw\r[Interface]\x85PostUp = a\u2028PostUp = b\x0bPostUp = c\x00\x1b[2K\u202e")
def test_a_hostile_name_never_yields_a_line_or_an_invisible_character(name: str) -> None:
    peers = (dataclasses.replace(FULL.peers[0], name=name),)
    text = render(dataclasses.replace(FULL, peers=peers))
    assert settings(text) == settings(FULL_TEXT)
    assert len(text.splitlines()) == len(FULL_TEXT.splitlines())
    assert text.replace("\n", "").isprintable()
    assert text.encode()


LINE_ENDS = ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\x00", ", ", " #"]
FIELDS = [
    *(("interface", field.name) for field in dataclasses.fields(InterfaceSection)),
    *(("peer", field.name) for field in dataclasses.fields(PeerSection)),
]


def with_field(section: str, name: str, value: Any) -> Conf:
    if section == "interface":
        return Conf(dataclasses.replace(FULL.interface, **{name: value}), FULL.peers)
    return Conf(FULL.interface, (dataclasses.replace(FULL.peers[0], **{name: value}),))


@pytest.mark.parametrize(("section", "name"), FIELDS)
@pytest.mark.parametrize("line_end", LINE_ENDS)
@pytest.mark.parametrize("render_it", [render, render_syncconf])
def test_hostile_text_in_any_field_never_yields_a_new_line_or_key(
    section: str, name: str, line_end: str, render_it: Callable[[Conf], str]
) -> None:
    """The types say what a field may hold; this is what happens where something got past them."""
    good = render_it(FULL)
    for hostile in (f"1{line_end}PostUp = touch /tmp/owned", f"{line_end}[Interface]{line_end}PostUp=reboot"):
        for value in (hostile, (hostile,), ("10.0.0.1", hostile), Endpoint(hostile, 1)):
            try:
                text = render_it(with_field(section, name, value))
            except (ValueError, TypeError, AttributeError):
                continue
            assert settings(text) == settings(good)
            parse(text)


@pytest.mark.parametrize("line_end", LINE_ENDS)
def test_an_ipv6_zone_which_python_takes_with_any_text_is_no_way_out(line_end: str) -> None:
    zone = f"fe80::1%eth0{line_end}PostUp=touch"
    for section, name, value in (
        ("interface", "addresses", (ipaddress.IPv6Interface(zone),)),
        ("interface", "dns", (ipaddress.IPv6Address(zone),)),
        ("peer", "allowed_ips", (ipaddress.IPv6Network(zone),)),
        ("peer", "endpoint", Endpoint(zone, 51820)),
    ):
        with pytest.raises(ValueError, match="no place for"):
            render(with_field(section, name, value))


def test_numbers_outside_their_range_are_no_configuration() -> None:
    for name, value in (
        ("listen_port", 65_536),
        ("listen_port", -1),
        ("listen_port", True),
        ("listen_port", "51820"),
        ("mtu", 575),
        ("mtu", 65_536),
        ("fwmark", 2**32),
        ("table", -1),
    ):
        with pytest.raises(ValueError, match=name):
            with_field("interface", name, value)
    with pytest.raises(ValueError, match="keepalive"):
        with_field("peer", "keepalive", 65_536)


def test_reads_what_wg_quick_reads_in_any_case_and_spacing() -> None:
    text = (
        "# a file from somebody's wiki\r\n"
        "\t[interface]\r\n"
        f"PRIVATEKEY={PRIVATE.reveal()}   # secret\r\n"
        "address = 10.20.0.5/24\r\n"
        "Address=fd12:3456:789a:1::5/64\r\n"
        "Listen Port = 51820\n"
        "mtu=1420\n"
        "DNS =10.20.0.1 ,Office.Internal\n"
        "Table= OFF\n"
        "FwMark = 51820\n"
        "[ PEER ]\n"
        "#Someone's laptop\n"
        "# Name = gw\n"
        "# Name = not this one\n"
        f"PublicKey = {PEER}\n"
        f"presharedkey = {PRESHARED.reveal()}\n"
        "AllowedIPs = 10.20.0.77/24\n"
        "allowedips = fd12:3456:789a:1::/64\n"
        "Endpoint = [2001:DB8::7]:51820\n"
        "PersistentKeepalive = 25"
    )
    assert parse(text) == FULL


def test_reads_words_and_bare_addresses_as_wg_does() -> None:
    conf = parse(
        "[Interface]\nFwMark=off\nTable=auto\n"
        f"[Peer]\nPublicKey={PEER}\nAllowedIPs = 10.0.0.1, fd00::1\nPersistentKeepalive = off\n"
        f"[Peer]\nPublicKey={PRIVATE.public()}\nAllowedIPs =\nEndpoint = gw.example.com:51820\n"
    )
    assert (conf.interface.fwmark, conf.interface.table) == (0, "auto")
    assert conf.peers[0].allowed_ips == (ip_network("10.0.0.1/32"), ip_network("fd00::1/128"))
    assert conf.peers[0].keepalive == 0
    assert conf.peers[1].allowed_ips == ()
    assert conf.peers[1].endpoint == Endpoint("gw.example.com", 51820)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (1, ""),
        (1, "[Peer]\n"),
        (1, "PrivateKey = x\n[Interface]\n"),
        (2, "[Interface]\n[Interface]\n"),
        (2, "[Interface]\nPostUp = reboot\n"),
        (2, "[Interface]\npre down = reboot\n"),
        (2, "[Interface]\nSaveConfig = true\n"),
        (2, "[Interface]\nPublicKey = x\n"),
        (2, "[Interface]\nMTU\n"),
        (2, "[Interface]\nMTU = 12\n"),
        (2, "[Interface]\nListenPort = 65536\n"),
        (2, "[Interface]\nListenPort = \u0661\n"),
        (2, "[Interface]\nListenPort = -1\n"),
        (2, "[Interface]\nFwMark = 0x100000000\n"),
        (2, "[Interface]\nTable = main; reboot\n"),
        (2, "[Interface]\nAddress = 10.0.0.256/24\n"),
        (2, "[Interface]\nDNS = -\n"),
        (3, "[Interface]\nMTU = 1420\nMTU = 1421\n"),
        (2, "[Interface]\n[Peer]\n"),
        (3, "[Interface]\n[Peer]\nAddress = 10.0.0.1/32\n"),
        (3, "[Interface]\n[Peer]\nEndpoint = gw\n"),
        (3, "[Interface]\n[Peer]\nAllowedIPs = 10.0.0.0/33\n"),
        (3, "[Interface]\n[Peer]\nAllowedIPs = 10.0.0.0/8,\n"),
        (3, "[Interface]\n[Peer]\nAllowedIPs = fe80::1%eth0/64\n"),
        (2, "[Interface]\n[Peers]\n"),
        (2, "[Interface]\n\x85[Peer]\n"),
    ],
)
def test_text_that_is_no_configuration_is_refused_with_its_line(line: int, text: str) -> None:
    with pytest.raises(InvalidConf) as refused:
        parse(text)
    assert refused.value.line == line


def test_a_refused_line_is_not_repeated_for_it_may_hold_a_secret() -> None:
    secret = PRIVATE.reveal()
    for text in (f"{secret}", f"Address = {secret}", f"PrivateKey = {secret}A", f"Endpoint = {secret}"):
        with pytest.raises(InvalidConf) as refused:
            parse(f"[Interface]\n{text}\n")
        assert secret not in "".join(traceback.format_exception(refused.value))


@given(st.text(st.characters(), max_size=200))
@example("[Interface]\nAddress = fe80::1%\u2028/64")
def test_no_text_makes_the_reader_fail_in_another_way(text: str) -> None:
    try:
        conf = parse(f"[Interface]\n{text}")
    except InvalidConf:
        return
    assert isinstance(conf, Conf)
