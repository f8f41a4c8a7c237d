"""A small DNS server whose answers are a table."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import cast

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

Zone = dict[tuple[str, str], list[str]]  # (name, type) to records; `SERVFAIL`, `SILENCE` and `TRUNCATED` as records mean just that


class Server(asyncio.DatagramProtocol):
    """Authoritative for everything. A CNAME is answered alone: following it is left to who asked."""

    def __init__(self, zone: Zone, ttl: int = 300) -> None:
        self.zone = zone
        self.ttl = ttl
        self.asked: Counter[tuple[str, str]] = Counter()
        self.address = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, wire: bytes, sender: tuple[str, int]) -> None:
        if (answer := self.answer(wire, over_tcp=False)) is not None:
            self._transport.sendto(answer, sender)

    async def serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
        if (answer := self.answer(wire, over_tcp=True)) is not None:
            writer.write(len(answer).to_bytes(2) + answer)
        writer.close()
        await writer.wait_closed()

    def answer(self, wire: bytes, *, over_tcp: bool) -> bytes | None:
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name, kind = question.name.to_text().lower(), question.rdtype.name
        self.asked[name, kind] += 1
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.AA
        records = self.zone.get((name, kind), [])
        if records == ["SILENCE"]:
            return None
        if records == ["SERVFAIL"]:
            reply.set_rcode(dns.rcode.SERVFAIL)
        elif records[:1] == ["TRUNCATED"] and not over_tcp:
            reply.flags |= dns.flags.TC
        elif records:
            reply.answer.append(
                dns.rrset.from_text(question.name, self.ttl, "IN", kind, *(each for each in records if each != "TRUNCATED"))
            )
        elif alias := self.zone.get((name, "CNAME")):
            reply.answer.append(dns.rrset.from_text(question.name, self.ttl, "IN", "CNAME", *alias))
        elif not any(known == name for known, _ in self.zone):
            reply.set_rcode(dns.rcode.NXDOMAIN)
        return reply.to_wire(max_size=65535)


@pytest.fixture
async def name_server() -> AsyncIterator[Server]:
    server = Server({})
    tcp = await asyncio.start_server(server.serve_tcp, "127.0.0.1", 0)
    port = tcp.sockets[0].getsockname()[1]
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: server, local_addr=("127.0.0.1", port))
    server.address = f"127.0.0.1:{port}"
    yield server
    transport.close()
    tcp.close()
    await tcp.wait_closed()
