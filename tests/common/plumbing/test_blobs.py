import asyncio
from datetime import date
from uuid import uuid4

import pytest

from scaisend_common.plumbing.blobs import BlobMissing, BlobName, BlobStore
from scaisend_common.plumbing.postgres import administration, open_pool

DAY = date(2026, 11, 23)


def blob(n: int = 0, tenant: str | None = None) -> BlobName:
    return BlobName(tenant or str(uuid4()), "A" * 22, n, DAY)


@pytest.fixture
async def writer(service_dsn):
    async with open_pool(service_dsn("api"), name="test") as pool:
        yield BlobStore(pool, cache_bytes=0)


@pytest.fixture
async def reader_pool(service_dsn):
    async with open_pool(service_dsn("deliverer"), name="test") as pool:
        yield pool


async def test_a_blob_reads_back_bit_for_bit_and_is_written_once(writer, reader_pool) -> None:
    name = blob()
    content = bytes(range(256)) * 10_000
    await writer.put(name, content)
    await writer.put(name, b"never another content")
    assert await BlobStore(reader_pool).get(name) == content


async def test_a_blob_that_is_not_there_is_missing_and_so_is_that_of_another_tenant(writer, reader_pool) -> None:
    name = blob()
    await writer.put(name, b"x")
    reader = BlobStore(reader_pool)
    for other in (name._replace(n=1), name._replace(tenant_id=str(uuid4())), name._replace(day=date(2026, 11, 24))):
        with pytest.raises(BlobMissing):
            await reader.get(other)


async def test_a_missing_blob_is_looked_for_again(writer, reader_pool) -> None:
    name, reader = blob(), BlobStore(reader_pool)
    with pytest.raises(BlobMissing):
        await reader.get(name)
    await writer.put(name, b"now")
    assert await reader.get(name) == b"now"


async def test_readers_at_the_same_time_share_one_fetch_and_later_ones_need_none(writer, reader_pool, postgres_dsn) -> None:
    name, reader = blob(), BlobStore(reader_pool)
    await writer.put(name, b"shared")
    found = await asyncio.gather(*(reader.get(name) for _ in range(50)))
    assert all(each is found[0] for each in found)
    async with administration(postgres_dsn) as admin:
        await admin.execute("DELETE FROM blobs")
    assert await reader.get(name) is found[0]


async def test_the_cache_holds_no_more_bytes_than_it_may_and_lets_the_least_used_go(writer, reader_pool, postgres_dsn) -> None:
    tenant = str(uuid4())
    names = [blob(n, tenant) for n in range(4)]
    for name in names:
        await writer.put(name, bytes(40))
    await writer.put(blob(9, tenant), bytes(101))
    reader = BlobStore(reader_pool, cache_bytes=100)
    await reader.get(names[0])
    await reader.get(names[1])
    await reader.get(names[0])
    await reader.get(names[2])  # names[1] goes
    await reader.get(blob(9, tenant))  # larger than the cache: not kept
    assert "2 kept, 80 bytes" in repr(reader)
    async with administration(postgres_dsn) as admin:
        await admin.execute("DELETE FROM blobs")
    assert await reader.get(names[0]) == await reader.get(names[2]) == bytes(40)
    for gone in (names[1], blob(9, tenant)):
        with pytest.raises(BlobMissing):
            await reader.get(gone)
