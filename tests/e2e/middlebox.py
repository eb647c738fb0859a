"""A box on the way that ends TLS, as some companies have: it writes down what it reads, and can forbid WebSockets.

Run on a lab host: `python middlebox.py FOLDER SERVER`. FOLDER holds box.pem and box.key, with which it answers, and
ca.pem, by which it knows the server at the address SERVER; it gets `N-up` and `N-down`, what was said in clear over
the Nth connection. While there is a file `no-websockets` in it, upgrades are refused, and streams are cut.
"""

import asyncio
import ssl
import sys
from pathlib import Path

PORT = 443
PIECE = 65_536
LOOK_SECONDS = 0.05
CALL_SECONDS = 10.0
REFUSAL = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Middlebox:
    """Passes connections on to the server."""

    def __init__(self, folder: Path, server: str) -> None:
        self._folder = folder
        self._server = server
        self._connections = 0

    def forbids(self) -> bool:
        return (self._folder / "no-websockets").exists()

    async def run(self) -> None:
        inside = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        inside.load_cert_chain(self._folder / "box.pem", self._folder / "box.key")
        listener = await asyncio.start_server(self._accept, port=PORT, ssl=inside)
        print("middlebox is ready", flush=True)  # noqa: T201 - a program of its own, whose log is awaited
        async with listener:
            await listener.serve_forever()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), CALL_SECONDS)
            is_stream = b"upgrade: websocket" in head.lower()
            if is_stream and self.forbids():
                writer.write(REFUSAL)
                await writer.drain()
                return
            await self._relay(head, reader, writer, is_stream=is_stream)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            pass
        finally:
            writer.close()

    async def _relay(
        self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_stream: bool
    ) -> None:
        outside = ssl.create_default_context(cafile=self._folder / "ca.pem")
        connecting = asyncio.open_connection(self._server, PORT, ssl=outside)
        far_reader, far_writer = await asyncio.wait_for(connecting, CALL_SECONDS)
        self._connections += 1
        up, down = (self._folder / f"{self._connections}-{way}" for way in ("up", "down"))
        up.write_bytes(head)
        far_writer.write(head)
        works = [copy(reader, far_writer, up), copy(far_reader, writer, down)]
        if is_stream:
            works.append(self._until_forbidden())
        tasks = [asyncio.create_task(work) for work in works]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        far_writer.close()

    async def _until_forbidden(self) -> None:
        # The one who forbids is another process, which can only leave a file: there is nothing to wait on.
        while not self.forbids():  # noqa: ASYNC110
            await asyncio.sleep(LOOK_SECONDS)


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, record: Path) -> None:
    with record.open("ab", buffering=0) as seen:
        while piece := await reader.read(PIECE):
            seen.write(piece)
            writer.write(piece)
            await writer.drain()


if __name__ == "__main__":
    asyncio.run(Middlebox(Path(sys.argv[1]), sys.argv[2]).run())
