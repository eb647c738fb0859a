"""The DNS server of the tests has one port for UDP and TCP, or none."""

import socket

import pytest

from lab.names_server import NamesServer

HERE = "127.0.0.1"


async def test_a_port_that_another_has_for_datagrams_is_passed_over_and_left_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server that had one of both would keep its loop from closing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((HERE, 0))
        taken = other.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            async with NamesServer(port=taken):
                pass
        socket.create_server((HERE, taken)).close()

        real, offered = socket.create_server, [taken]

        def unlucky(address: tuple[str, int], *, family: int) -> socket.socket:
            return real((HERE, offered.pop() if offered else 0), family=family)

        monkeypatch.setattr(socket, "create_server", unlucky)
        async with NamesServer() as names:
            assert names.port != taken
            assert offered == []
