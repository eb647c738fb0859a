"""The middlebox on a lab host, and hosts that reach the server through it."""

import sys
from pathlib import Path

from lab import Host
from lab.backend import Backend
from tests.e2e import middlebox


class Box:
    """Answers in the server's place, with a certificate that its clients trust."""

    def __init__(self, backend: Backend, host: Host) -> None:
        self._backend = backend
        self._host = host
        self._folder = host.path("/etc/isthmus")
        certificate = backend.authority.issue(host.ipv4)
        (self._folder / "box.pem").write_text(certificate.certificate)
        (self._folder / "box.key").write_text(certificate.key)
        (self._folder / "ca.pem").write_text(backend.authority.certificate)
        script = str(Path(middlebox.__file__))
        box = host.start([sys.executable, script, "/etc/isthmus", str(backend.host.ipv4)], name="box")
        box.wait_for("middlebox is ready")

    @property
    def seen(self) -> bytes:
        """All that was said through it, in clear."""
        up = b"".join(unmasked(path.read_bytes()) for path in self._folder.glob("*-up"))
        return up + b"".join(path.read_bytes() for path in self._folder.glob("*-down"))

    def forbid_websockets(self) -> None:
        (self._folder / "no-websockets").touch()

    def enroll(self, guest: Host, network: str) -> str:
        """Make `guest` a peer that speaks with the server through the box; returns the token it used."""
        token = str(self._backend.create_peer(guest.name, network)["enrollment"]["token"])
        self._backend.trust(guest)
        command = ["isthmus", "agent", "enroll", "--server", f"https://{self._host.ipv4}", "--token-file", "-"]
        guest.run(command, input=token)
        return token


def unmasked(said: bytes) -> bytes:
    """What a client said; the frames of a WebSocket without the mask that clients put on them (RFC 6455, 5.2)."""
    head, _, frames = said.partition(b"\r\n\r\n")
    if b"upgrade: websocket" not in head.lower():
        return said
    found = [head]
    while len(frames) > 1:
        length, start = frames[1] & 0x7F, 2
        if length >= 126:
            start = 4 if length == 126 else 10
            length = int.from_bytes(frames[2:start])
        mask, payload = frames[start : start + 4], frames[start + 4 : start + 4 + length]
        found.append(bytes(byte ^ mask[position % 4] for position, byte in enumerate(payload)))
        frames = frames[start + 4 + length :]
    return b"\n".join(found)
