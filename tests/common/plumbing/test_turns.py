import asyncio
from itertools import pairwise

from scaisend_common.plumbing.turns import Turns


async def test_others_have_the_loop_between_two_turns() -> None:
    turns, steps = Turns(), []

    async def heavy(number: int) -> None:
        await turns.turn()
        steps.append(number)

    async def others() -> None:
        while len([step for step in steps if step is not None]) < 5:
            steps.append(None)
            await asyncio.sleep(0)

    await asyncio.gather(*(heavy(number) for number in range(5)), others())

    assert [step for step in steps if step is not None] == [0, 1, 2, 3, 4]
    assert all(None in (before, after) for before, after in pairwise(steps))


async def test_who_leaves_while_it_waits_holds_up_nobody() -> None:
    turns, done = Turns(), []

    async def heavy(number: int) -> None:
        await turns.turn()
        done.append(number)

    tasks = [asyncio.create_task(heavy(number)) for number in range(3)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    tasks[1].cancel()
    await asyncio.wait(tasks)

    assert done == [2]
