import asyncio

import pytest

from scaisend_common.plumbing.redis import RedisAway, connect


async def test_commands_and_pipelines_answer(redis_url) -> None:
    async with connect(redis_url) as redis:
        assert await redis.set("key", "value", nx=True, ex=60)
        assert await redis.set("key", "other", nx=True) is None
        async with redis.pipeline(transaction=False) as pipeline:
            pipeline.get("key")
            pipeline.mget("key", "none")
            pipeline.delete("key")
            assert await pipeline.execute() == [b"value", [b"value", None], 1]


async def test_more_callers_than_connections_wait_their_turn(redis_url) -> None:
    async with connect(redis_url, connections=2) as redis:
        assert await asyncio.gather(*(redis.incr("counter") for _ in range(100))) is not None
        assert int(await redis.getdel("counter")) == 100


async def test_a_server_that_is_not_there_is_away_at_once(free_port) -> None:
    async with connect(f"redis://127.0.0.1:{free_port()}") as redis:
        with pytest.raises(RedisAway):
            await redis.get("key")
        async with redis.pipeline() as pipeline:
            pipeline.get("key")
            with pytest.raises(RedisAway):
                await pipeline.execute()


async def test_a_server_that_does_not_answer_is_away_within_its_time() -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, connect(f"redis://127.0.0.1:{port}", answer_seconds=0.2) as redis:
        began = asyncio.get_running_loop().time()
        with pytest.raises(RedisAway):
            await redis.get("key")
        assert asyncio.get_running_loop().time() - began < 2


async def test_a_wrong_command_is_no_outage(redis_url) -> None:
    async with connect(redis_url) as redis:
        await redis.set("text", "x")
        with pytest.raises(Exception, match="WRONGTYPE"):
            await redis.lpush("text", "y")
        await redis.delete("text")
