"""A DNS server for all names of the world: `python -m tests.e2e.outside ADDRESS` on a lab host."""

import asyncio
import sys

import dns.message
import dns.rcode
import dns.rrset

from tests.adapters.agent.asking import Upstream

WORLD = {"www.example.com.": ["198.51.100.80"], "many.example.com.": [f"192.0.2.{n}" for n in range(1, 120)]}


def script(query: dns.message.Message, by_tcp: bool) -> dns.message.Message | bytes:
    response = dns.message.make_response(query, recursion_available=True)
    question = query.question[0]
    if str(question.name) not in WORLD:
        response.set_rcode(dns.rcode.NXDOMAIN)
    elif question.rdtype == dns.rdatatype.A:
        response.answer.append(dns.rrset.from_text(question.name, 60, "IN", "A", *WORLD[str(question.name)]))
    return response if by_tcp else response.to_wire(max_size=query.payload or 512, prefer_truncation=True)


async def main(address: str) -> None:
    async with Upstream(script).at(address):
        sys.stdout.write("answering\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
