"""The ready queue: bounded, fair, and nothing is lost."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from scaisend_common.messages import Stream
from scaisend_deliverer.ready import SHARE, ReadyQueue, TenantTurns

Item = tuple[Stream, str, int]
streams = st.sampled_from(list(Stream))
tenants = st.sampled_from(["a", "b", "c"])
steps = st.lists(st.tuples(streams, tenants) | st.none(), max_size=200)  # put, or pop


@given(steps, st.integers(1, 20))
def test_what_goes_in_comes_out_once_or_is_sent_elsewhere(todo: list[tuple[Stream, str] | None], most: int) -> None:
    queue: ReadyQueue[Item] = ReadyQueue(most)
    put, out = [], []
    for number, step in enumerate(todo):
        if step is None:
            item = queue.pop()
            out += [item] if item is not None else []
        else:
            put.append((*step, number))
            displaced = queue.put(*step, put[-1])
            out += [displaced] if displaced is not None else []
        assert len(queue) <= 2 * most
        assert len(queue) == len(put) - len(out)
    while (item := queue.pop()) is not None:
        out.append(item)
    assert sorted(out) == sorted(put)


@given(st.lists(tenants, min_size=1, max_size=100))
def test_tenants_take_turns(putters: list[str]) -> None:
    """While a tenant waits, no other is served twice."""
    queue: TenantTurns[tuple[str, int]] = TenantTurns(1000)
    for number, tenant in enumerate(putters):
        queue.put(tenant, (tenant, number))
    left = Counter(putters)
    served: list[str] = []
    while (item := queue.pop()) is not None:
        served.append(item[0])
        left[item[0]] -= 1
        for waiting in (tenant for tenant in left if left[tenant] > 0):
            since = served[::-1].index(waiting) if waiting in served else len(served)
            assert max(Counter(served[len(served) - since :]).values(), default=0) <= 1


@given(st.lists(tenants, max_size=60))
def test_a_tenants_own_order_stays(putters: list[str]) -> None:
    queue: TenantTurns[tuple[str, int]] = TenantTurns(1000)
    for number, tenant in enumerate(putters):
        queue.put(tenant, (tenant, number))
    out: list[tuple[str, int]] = []
    while (item := queue.pop()) is not None:
        out.append(item)
    for tenant in set(putters):
        own = [number for each, number in out if each == tenant]
        assert own == sorted(own)


@given(st.integers(1, 100), st.integers(1, 100))
def test_neither_stream_starves(transactional: int, bulk: int) -> None:
    queue: ReadyQueue[Stream] = ReadyQueue(1000)
    for stream, count in ((Stream.TRANSACTIONAL, transactional), (Stream.BULK, bulk)):
        for _ in range(count):
            queue.put(stream, "a", stream)
    both = min(transactional // SHARE, bulk) * (SHARE + 1)
    first = [queue.pop() for _ in range(both)]
    assert first.count(Stream.BULK) in range(len(first) // (SHARE + 1), len(first) // (SHARE + 1) + 2)


def test_who_floods_a_full_queue_displaces_its_own() -> None:
    queue: ReadyQueue[str] = ReadyQueue(10)
    assert not any(queue.put(Stream.BULK, "flood", f"flood{n}") for n in range(10))
    assert queue.put(Stream.BULK, "quiet", "quiet0") == "flood9"
    assert queue.put(Stream.BULK, "flood", "flood10") == "flood10"
    assert queue.pop() == "flood0"
    assert queue.pop() == "quiet0"


@given(st.lists(st.tuples(streams, tenants), max_size=60), st.integers(0, 30))
def test_trimming_takes_the_newest_and_leaves_so_many(items: list[tuple[Stream, str]], keep: int) -> None:
    queue: ReadyQueue[Item] = ReadyQueue(1000)
    for number, item in enumerate(items):
        queue.put(*item, (*item, number))
    taken = queue.trim(keep)
    assert len(queue) == min(keep, len(items))
    assert len(taken) == len(items) - len(queue)


@given(streams, st.integers(2, 50))
def test_trimming_leaves_somebodys_only_job_where_another_has_several(stream: Stream, many: int) -> None:
    queue: ReadyQueue[Item] = ReadyQueue(1000)
    for number in range(many):
        queue.put(Stream.TRANSACTIONAL, "heavy", (Stream.TRANSACTIONAL, "heavy", number))
    queue.put(stream, "light", (stream, "light", 0))
    assert {tenant for _, tenant, _ in queue.trim(2)} <= {"heavy"}


@given(st.lists(st.tuples(streams, tenants), max_size=60))
def test_what_is_taken_out_is_gone_and_the_rest_is_not(items: list[tuple[Stream, str]]) -> None:
    queue: ReadyQueue[Item] = ReadyQueue(1000)
    for number, each in enumerate(items):
        queue.put(*each, (*each, number))
    odd = queue.take_where(lambda item: item[2] % 2 == 1)
    assert sorted(item[2] for item in odd) == list(range(1, len(items), 2))
    rest = [item[2] for _ in range(len(queue)) if (item := queue.pop()) is not None]
    assert sorted(rest) == list(range(0, len(items), 2))
    assert queue.pop() is None


@given(st.lists(st.tuples(streams, tenants), max_size=10))
def test_only_what_no_other_transactional_mail_waits_beside_is_urgent(putters: list[tuple[Stream, str]]) -> None:
    queue: ReadyQueue[Item] = ReadyQueue(1000)
    for number, (stream, tenant) in enumerate(putters):
        queue.put(stream, tenant, (stream, tenant, number))
    hurried = [(stream, tenant, number) for number, (stream, tenant) in enumerate(putters) if stream is Stream.TRANSACTIONAL]
    assert queue.pop_urgent() == (hurried[0] if len(hurried) == 1 else None)
    assert len(queue) == len(putters) - (len(hurried) == 1)
