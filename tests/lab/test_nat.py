"""NAT routers of each kind: under which port a host is seen, and who may send to it there."""

import sys
from dataclasses import dataclass
from itertools import count

import pytest

from lab import Host, Lab, NatKind, Process, wait_until

PORT = 4000
numbers = count(1)

# Sends "hi" to each endpoint given, from one port, and prints who sends what back.
INSIDE = f"""
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
sock = socket.socket(family, socket.SOCK_DGRAM)
sock.bind(("", {PORT}))
for host, port in zip(sys.argv[1::2], sys.argv[2::2]):
    sock.sendto(b"hi", (host, int(port)))
print("sent", flush=True)
while True:
    word, sender = sock.recvfrom(99)
    print("heard", word.decode(), "from", *sender[:2], flush=True)
"""

# Prints the endpoint that "hi" came from; then sends from there, or from its next port, what it is told to.
OUTSIDE = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
socks = [socket.socket(family, socket.SOCK_DGRAM) for _ in range(2)]
for number, sock in enumerate(socks):
    sock.bind((sys.argv[1], int(sys.argv[2]) + number))
"""
HEAR = OUTSIDE + 'print("seen", *socks[0].recvfrom(99)[1][:2], flush=True)\nsocks[0].recvfrom(99)\n'
SEND = OUTSIDE + "socks[int(sys.argv[3])].sendto(sys.argv[4].encode(), (sys.argv[5], int(sys.argv[6])))\n"


# Whether it has one outside port for all; who gets in there: another port of one that was sent to, anybody.
TREATS = {
    NatKind.FULL_CONE: (True, True, True),
    NatKind.RESTRICTED: (True, True, False),
    NatKind.PORT_RESTRICTED: (True, False, False),
    NatKind.SYMMETRIC: (False, False, False),
}


@dataclass
class Seen:
    inside: Process
    endpoints: list[tuple[str, str]]
    servers: list[tuple[Host, str]]

    def lets_in(self, server: int, offset: int, word: str) -> bool:
        """Whether a datagram of a server arrives; `offset` 0 is the port that the host has sent to."""
        host, address = self.servers[server]
        target = self.endpoints[min(server, 1)]
        host.run([sys.executable, "-c", SEND, address, "5000", str(offset), word, *target])
        try:
            wait_until(lambda: f"heard {word}" in self.inside.output, within=0.4, what=word)
        except TimeoutError:
            return False
        return True


def look(lab: Lab, kind: NatKind, family: str) -> Seen:
    number = next(numbers)
    host = lab.host(f"inside-{number}", behind=lab.nat(f"nat-{number}", kind=kind))
    servers = [lab.host(f"server-{number}-{index}") for index in range(3)]
    addresses = [str(getattr(server, family)) for server in servers]
    hearing = [
        server.start([sys.executable, "-c", HEAR, address, "5000"], name="hear")
        for server, address in zip(servers[:2], addresses[:2], strict=True)
    ]
    wait_until(
        lambda: all("5000" in server.run(["ss", "-Hlun"]).stdout for server in servers[:2]), within=5, what="both"
    )
    command = [sys.executable, "-c", INSIDE, addresses[0], "5000", addresses[1], "5000"]
    inside = host.start(command, name="inside")
    inside.wait_for("sent")
    endpoints = [(line[1], line[2]) for line in (each.wait_for("seen").split() for each in hearing)]
    for each in hearing:
        each.stop()
    return Seen(inside, endpoints, list(zip(servers, addresses, strict=True)))


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
@pytest.mark.parametrize("kind", NatKind)
def test_a_nat_of_each_kind_shows_and_admits_what_its_kind_says(lab: Lab, kind: NatKind, family: str) -> None:
    is_cone, same_address, anybody = TREATS[kind]
    seen = look(lab, kind, family)
    assert (seen.endpoints[0] == seen.endpoints[1]) is is_cone
    # The third server was never sent to; it tries the outside port that the second one saw.
    assert seen.lets_in(2, 0, "from-a-stranger") is anybody
    assert seen.lets_in(0, 1, "from-another-port") is same_address
    assert seen.lets_in(0, 0, "from-the-asked")


def test_a_stranger_who_was_first_takes_no_port_from_the_host_behind(lab: Lab) -> None:
    nat = lab.nat("nat-first")
    host, server = lab.host("inside-first", behind=nat), lab.host("server-first")
    address = str(server.ipv4)
    server.run([sys.executable, "-c", SEND, address, "5000", "0", "early", str(nat.ipv4), str(PORT)])
    hearing = server.start([sys.executable, "-c", HEAR, address, "5000"], name="hear")
    wait_until(lambda: "5000" in server.run(["ss", "-Hlun"]).stdout, within=5, what="the server to listen")
    host.start([sys.executable, "-c", INSIDE, address, "5000"], name="inside")
    assert hearing.wait_for("seen").split()[2] == str(PORT)
