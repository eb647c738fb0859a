"""A DNS client for lab hosts: `python -m tests.e2e.lookup SERVER NAME KIND udp|tcp` prints code and values."""

import asyncio
import sys

import dns.rcode

from tests.adapters.agent.asking import ask


async def main(server: str, name: str, kind: str, way: str) -> None:
    found = await ask(server, name, kind, tcp=way == "tcp")
    values = [str(item) for rrset in found.answer for item in rrset]
    sys.stdout.write(" ".join([dns.rcode.to_text(found.rcode()), *values]))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
