"""An authoritative DNS server over UDP and TCP, for every name there is: what `Names` does not know does not exist.

STANDARDS: RFC 1035, RFC 7766 (TCP), RFC 6891 (EDNS size), RFC 2308 (SOA with a negative answer).
"""

from __future__ import annotations

import asyncio
import struct
from typing import assert_never, cast

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from sandbox.names import Answer, Names, Verb

_PLAIN_UDP = 512  # RFC 1035 4.2.1: octets when the question says nothing of its size
_MOST_UDP = 1232  # what resolvers agreed on in 2020: fits every link
_NEGATIVE_TTL = 1
_SOA = f"ns.test. hostmaster.test. 1 3600 600 86400 {_NEGATIVE_TTL}"


def respond(wire: bytes, names: Names, *, over_tcp: bool) -> bytes | None:
    """Return the answer to one question, or None where none is to be given."""
    try:
        query = dns.message.from_wire(wire)
    except dns.exception.DNSException:
        return None
    if not query.question or query.flags & dns.flags.QR:
        return None
    asked = query.question[0]
    found = names.find(asked.name.to_text(), dns.rdatatype.to_text(asked.rdtype))
    response = dns.message.make_response(query)
    response.flags |= dns.flags.AA
    match found.verb:
        case Verb.TIMEOUT:
            return None
        case Verb.SERVFAIL:
            response.set_rcode(dns.rcode.SERVFAIL)
        case Verb.NXDOMAIN:
            _fill(response, Answer((), exists=False))
        case Verb.TRUNCATED if not over_tcp:
            response.flags |= dns.flags.TC
        case Verb.TRUNCATED | None:
            _fill(response, found)
        case _:
            assert_never(found.verb)
    return response.to_wire(max_size=65535) if over_tcp else _fit(response, min(query.payload or _PLAIN_UDP, _MOST_UDP))


def _fill(response: dns.message.Message, found: Answer) -> None:
    response.answer.extend(found.rrsets)
    asked = response.question[0].rdtype
    if not any(rrset.rdtype == asked for rrset in found.rrsets):
        response.authority.append(dns.rrset.from_text("test.", _NEGATIVE_TTL, "IN", "SOA", _SOA))
    if not found.exists:
        response.set_rcode(dns.rcode.NXDOMAIN)


def _fit(response: dns.message.Message, most: int) -> bytes:
    wire = response.to_wire(max_size=65535)
    if len(wire) <= most:
        return wire
    response.answer.clear()
    response.authority.clear()
    response.flags |= dns.flags.TC
    return response.to_wire(max_size=65535)


class DnsServer:
    """Both listeners, on one port."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self._conversations: set[asyncio.Task[None]] = set()
        self.port = 0

    async def listen(self, host: str, port: int, *, tries: int = 20) -> None:
        """Listen; port 0 takes one that is free for both protocols. Raises OSError."""
        loop = asyncio.get_running_loop()
        for attempt in range(1, tries + 1):
            udp, _ = await loop.create_datagram_endpoint(lambda: _Udp(self._names), local_addr=(host, port))
            try:
                free = udp.get_extra_info("sockname")[1]
                self._tcp = await asyncio.start_server(self._converse, host, free)
            except OSError:
                udp.close()
                if port or attempt == tries:
                    raise
            else:
                self._udp, self.port = udp, free
                return

    async def close(self) -> None:
        """Stop listening and hang up."""
        if self._udp:
            self._udp.close()
        if self._tcp:
            self._tcp.close()
        for task in tuple(self._conversations):
            task.cancel()
        await asyncio.gather(*self._conversations, return_exceptions=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._conversations.add(task)
        try:
            while True:
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                response = respond(await reader.readexactly(length), self._names, over_tcp=True)
                if response:
                    writer.write(struct.pack("!H", len(response)) + response)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the resolver hung up, or we stop
        finally:
            writer.close()
            self._conversations.discard(task)


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, names: Names) -> None:
        self._names = names

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)  # asyncio's own is none by its class

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if response := respond(data, self._names, over_tcp=False):
            self._transport.sendto(response, addr)
