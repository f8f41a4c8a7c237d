"""`scaisend parked`: what could not be handled, and sending it on its way again. Parked mail counts as live until somebody looks."""

from __future__ import annotations

from typing import Annotated

import typer

from scaisend_common.cli.output import Refused, finish, out
from scaisend_common.cli.repeats import as_repeat
from scaisend_common.cli.settings import BrokerSettings
from scaisend_common.messages import NewerVersion
from scaisend_common.plumbing import amqp
from scaisend_common.plumbing.settings import load
from scaisend_common.topology import parked_queue

app = typer.Typer(help="What could not be handled.", no_args_is_help=True)

AnyQueue = Annotated[
    str, typer.Argument(metavar="[QUEUE]", help="Show the messages parked from this queue; without it, how many from each.")
]
Queue = Annotated[str, typer.Argument(metavar="QUEUE", help="The queue that they were parked from.")]
Most = Annotated[int, typer.Option("--most", min=1, help="How many messages at most.")]


@app.command("list")
def list_(queue: AnyQueue = "", most: Most = 20) -> None:
    """Count what is parked, or show why the messages of one queue are."""
    finish(_look(load(BrokerSettings), queue, most) if queue else _count(load(BrokerSettings)))


@app.command()
def replay(queue: Queue, most: Most = 1_000_000) -> None:
    """Send messages to the queue that they were parked from, marked as repeats."""
    finish(_replay(load(BrokerSettings), queue, most))


async def _count(settings: BrokerSettings) -> None:
    from scaisend_common.plumbing.amqp import parked  # loads aio-pika, as the two below

    working = [queue.name for queue in settings.topology().queues() if not queue.parking]
    try:
        counts = await parked.count_parked(settings.amqp_url, [parked_queue(name) for name in working])
    except amqp.Unavailable as error:
        raise Refused(str(error)) from None
    out.rows(
        [{"queue": name, "parked": counts.get(parked_queue(name), 0)} for name in working if counts.get(parked_queue(name))],
        ["queue", "parked"],
    )


async def _look(settings: BrokerSettings, queue: str, most: int) -> None:
    from scaisend_common.plumbing.amqp import parked

    try:
        found = await parked.look(settings.amqp_url, parked_queue(queue), most)
    except (amqp.Unavailable, amqp.Unroutable) as error:
        raise Refused(str(error)) from None
    out.rows([{"bytes": len(each.body), "why": each.why} for each in found], ["bytes", "why"])


async def _replay(settings: BrokerSettings, queue: str, most: int) -> None:
    from scaisend_common.plumbing.amqp import parked

    try:
        moved = await parked.replay(settings.amqp_url, parked_queue(queue), queue, most, lambda body: as_repeat(queue, body))
    except (amqp.Unavailable, amqp.Refused, amqp.Unroutable, NewerVersion) as error:
        raise Refused(str(error)) from None
    out.value({"queue": queue, "replayed": moved})
