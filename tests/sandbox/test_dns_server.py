import asyncio

import dns.asyncquery
import dns.asyncresolver
import dns.flags
import dns.message
import dns.nameserver
import dns.rcode
import dns.resolver
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox import Record, Sandbox
from sandbox.dns_server import respond
from sandbox.names import Names


@pytest.fixture
def resolver(internet: Sandbox) -> dns.asyncresolver.Resolver:
    host, _, port = internet.places.dns.rpartition(":")
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers = [dns.nameserver.Do53Nameserver(host, int(port))]
    resolver.timeout = resolver.lifetime = 0.5
    return resolver


async def test_a_resolver_finds_hosts_and_hears_that_others_are_not(resolver: dns.asyncresolver.Resolver) -> None:
    assert [str(record) for record in await resolver.resolve("d1.s1.sites.test", "MX")] == ["10 mx.s1.sites.test."]
    with pytest.raises(dns.resolver.NXDOMAIN):
        await resolver.resolve("nxdomain.test", "MX")
    with pytest.raises(dns.resolver.NXDOMAIN):
        await resolver.resolve("nobody.example", "MX")
    with pytest.raises(dns.resolver.NoAnswer):
        await resolver.resolve("implicit.test", "MX")
    assert str((await resolver.resolve("cname.test", "MX")).canonical_name) == "plain.test."


async def test_servfail_and_timeout_are_no_answers(resolver: dns.asyncresolver.Resolver) -> None:
    with pytest.raises(dns.resolver.NoNameservers):
        await resolver.resolve("servfail.test", "MX")
    with pytest.raises(dns.resolver.LifetimeTimeout):
        await resolver.resolve("timeout.test", "MX")


async def test_a_truncated_answer_is_whole_over_tcp(internet: Sandbox, resolver: dns.asyncresolver.Resolver) -> None:
    host, _, port = internet.places.dns.rpartition(":")
    question = dns.message.make_query("truncated.test", "MX")
    short = await dns.asyncquery.udp(question, host, 1, int(port))
    assert short.flags & dns.flags.TC
    assert not short.answer
    assert [str(record) for record in await resolver.resolve("truncated.test", "MX")] == ["10 mx.truncated.test."]


async def test_what_does_not_fit_is_truncated_by_itself(internet: Sandbox, resolver: dns.asyncresolver.Resolver) -> None:
    internet.names.publish([Record("big.test", "TXT", "x" * 3000)])
    host, _, port = internet.places.dns.rpartition(":")
    assert (await dns.asyncquery.udp(dns.message.make_query("big.test", "TXT"), host, 1, int(port))).flags & dns.flags.TC
    (answer,) = await resolver.resolve("big.test", "TXT")
    assert sum(map(len, answer.strings)) == 3000


async def test_two_questions_may_follow_on_one_tcp_connection(internet: Sandbox) -> None:
    host, _, port = internet.places.dns.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for name in ("tls.test", "plain.test"):
        wire = dns.message.make_query(name, "MX").to_wire()
        writer.write(len(wire).to_bytes(2) + wire)
        answer = dns.message.from_wire(await reader.readexactly(int.from_bytes(await reader.readexactly(2))))
        assert answer.rcode() == dns.rcode.NOERROR
        assert name in answer.answer[0].to_text()
    writer.close()
    await writer.wait_closed()


@given(st.binary(max_size=200))
def test_noise_is_answered_with_silence_or_a_message(noise: bytes) -> None:
    answer = respond(noise, Names(), over_tcp=False)
    if answer is not None:
        dns.message.from_wire(answer)
