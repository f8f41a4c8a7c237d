import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.exceptions import RedisError, ResponseError

from scaisend_common.plumbing.redis import RedisAway, connect


@asynccontextmanager
async def silent_server() -> AsyncIterator[str]:
    """A server that reads and says nothing."""

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(swallow, "127.0.0.1", 0) as server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"


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
    async with silent_server() as url, connect(url, answer_seconds=0.2) as redis:
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


async def test_calls_share_a_connection_and_get_their_own_answers(redis_url) -> None:
    async with connect(redis_url, name="those-that-share") as redis:
        answers = await asyncio.gather(*(redis.call("ECHO", f"{number}" * 1000) for number in range(300)))
        assert answers == [b"%d" % number * 1000 for number in range(300)]
        assert bytes(await redis.call("CLIENT", "LIST")).count(b" name=those-that-share ") == 1


async def test_an_error_goes_to_its_own_call_only(redis_url) -> None:
    async with connect(redis_url) as redis:
        answers = await asyncio.gather(
            redis.call("ECHO", "before"),
            redis.call("EVAL", "return redis.error_reply('WRONGTYPE no')", 0),
            redis.call("EVAL", "return redis.error_reply('READONLY a replica')", 0),
            redis.call("ECHO", "after"),
            return_exceptions=True,
        )
    assert answers[0] == b"before"
    assert isinstance(answers[1], ResponseError)
    assert isinstance(answers[2], RedisAway)
    assert answers[3] == b"after"


async def test_calls_of_a_lost_connection_are_away_and_the_next_one_opens_another(redis_url) -> None:
    async with connect(redis_url) as redis:
        name = await redis.call("CLIENT", "ID")
        waiting = asyncio.create_task(redis.call("BLPOP", "nothing-comes-here", 0))
        await asyncio.sleep(0.05)
        assert await redis.client_kill_filter(_id=str(name)) == 1
        with pytest.raises(RedisAway):
            await waiting
        assert redis._multiplexed is not None
        assert redis._multiplexed._answers is not None
        with pytest.raises(RedisError):  # and waits for no answer that cannot come
            redis._multiplexed._answers.to(b"PING")
        assert await redis.call("CLIENT", "ID") != name


async def test_a_call_that_is_not_answered_is_away_and_its_connection_given_up(redis_url) -> None:
    async with connect(redis_url, answer_seconds=0.2) as redis:
        name = await redis.call("CLIENT", "ID")
        calls = redis.call("BLPOP", "nothing-comes-here", 0), redis.call("ECHO", "behind it")
        assert all(isinstance(answer, RedisAway) for answer in await asyncio.gather(*calls, return_exceptions=True))
        assert await redis.call("CLIENT", "ID") != name


async def test_a_call_that_was_cancelled_takes_no_other_ones_answer(redis_url) -> None:
    async with connect(redis_url) as redis:
        await redis.call("PING")
        cancelled = asyncio.create_task(redis.call("ECHO", "cancelled"))
        await asyncio.sleep(0)
        cancelled.cancel()
        assert await redis.call("ECHO", "mine") == b"mine"


async def test_calls_at_a_server_that_is_not_there_are_away(free_port) -> None:
    async with connect(f"redis://127.0.0.1:{free_port()}") as redis:
        for _ in range(2):
            with pytest.raises(RedisAway):
                await redis.call("PING")


async def test_a_command_that_cannot_be_written_takes_no_other_ones_answer(redis_url) -> None:
    async with connect(redis_url) as redis:
        calls = (redis.call("ECHO", word) for word in ("one", "half a pair: \ud800", "two"))
        one, unwritable, two = await asyncio.gather(*calls, return_exceptions=True)
    assert (one, two) == (b"one", b"two")
    assert isinstance(unwritable, UnicodeEncodeError)


async def test_false_is_an_answer(redis_url) -> None:
    async with connect(redis_url) as redis:
        answers = await asyncio.gather(redis.call("EVAL", "redis.setresp(3); return false", 0), redis.call("ECHO", "two"))
    assert not answers[0]
    assert answers[1] == b"two"


async def test_a_client_that_was_closed_opens_nothing_any_more(redis_url) -> None:
    async with connect(redis_url) as redis:
        opening = asyncio.create_task(redis.call("PING"))
        await asyncio.sleep(0)
    with pytest.raises(RedisAway):
        await opening
    with pytest.raises(RedisAway):
        await redis.call("PING")


async def test_all_who_call_a_server_that_is_silent_fail_together() -> None:
    async with silent_server() as url, connect(url, answer_seconds=0.4) as redis:
        began = asyncio.get_running_loop().time()
        answers = await asyncio.gather(*(redis.call("PING") for _ in range(6)), return_exceptions=True)
        assert all(isinstance(answer, RedisAway) for answer in answers)
        assert asyncio.get_running_loop().time() - began < 2.0  # one after the other they would take 2.4 s
