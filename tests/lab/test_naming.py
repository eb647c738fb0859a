"""The two kinds of DNS of a lab, asked from another of its hosts."""

import socket
from collections.abc import Iterator

import dns.message
import dns.rcode
import pytest

from lab import Host, Lab
from lab.names_server import Reply
from lab.scripted_names import ScriptedNames
from lab.zone import NsdHost

SRV = "_isthmus-federator._tcp.b.example SRV"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


@pytest.fixture(scope="module")
def asker(lab: Lab) -> Host:
    return lab.host("asker")


def ask(asker: Host, address: str, question: str) -> dns.message.Message:
    name, kind = question.split()
    with asker.open_socket(kind=socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.connect((address, 53))
        sock.send(dns.message.make_query(name, kind).to_wire())
        return dns.message.from_wire(sock.recv(4096))


def records(answer: dns.message.Message) -> list[str]:
    return [str(record) for rrset in answer.answer for record in rrset]


def test_nsd_serves_what_an_organisation_publishes(lab: Lab, asker: Host) -> None:
    names = NsdHost(lab, address="198.51.100.61", name="nsd")
    assert ask(asker, names.address, SRV).rcode() == dns.rcode.REFUSED
    names.publish("b.example", "infra.b.example", [asker.ipv4, asker.ipv6], 8443)
    assert records(ask(asker, names.address, SRV)) == ["0 0 8443 infra.b.example."]
    assert records(ask(asker, names.address, "infra.b.example A")) == [str(asker.ipv4)]
    assert records(ask(asker, names.address, "infra.b.example AAAA")) == [str(asker.ipv6)]
    assert ask(asker, names.address, "b.example A").answer == []
    assert ask(asker, names.address, "x.b.example A").rcode() == dns.rcode.NXDOMAIN
    names.put("b.example", [])
    assert ask(asker, names.address, SRV).rcode() == dns.rcode.REFUSED


def test_the_scripted_server_says_what_it_is_told_and_remembers_every_question(lab: Lab, asker: Host) -> None:
    names = ScriptedNames(lab, address="198.51.100.62", name="scripted")
    names.publish("b.example", "infra.b.example", [asker.ipv4], 8443)
    with names.watching() as questions:
        assert records(ask(asker, names.address, SRV)) == ["0 0 8443 infra.b.example."]
        with names.saying(SRV, Reply(["5 SRV 0 0 1 evil.example."])):
            assert records(ask(asker, names.address, SRV)) == ["0 0 1 evil.example."]
        with names.saying(SRV):
            assert ask(asker, names.address, SRV).answer == []
        assert records(ask(asker, names.address, "infra.b.example A")) == [str(asker.ipv4)]
    assert [f"{each.name} {each.kind}" for each in questions] == [SRV, SRV, SRV, "infra.b.example A"]
    with names.silent(), pytest.raises(TimeoutError):
        ask(asker, names.address, SRV)


def test_a_socket_of_a_host_sends_from_there(lab: Lab, asker: Host) -> None:
    other = lab.host("other")
    with asker.open_socket() as listener:
        listener.bind((str(asker.ipv4), 4711))
        listener.listen()
        with other.connect(asker.ipv4, 4711) as near:
            far, source = listener.accept()
            with far:
                assert source[0] == str(other.ipv4)
                near.sendall(b"x")
                assert far.recv(1) == b"x"
