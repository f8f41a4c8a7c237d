"""Run the loops of a service until SIGTERM; serve /health, /ready and /metrics beside them."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import structlog
import uvloop

from scaisend_common.plumbing import failpoints, telemetry
from scaisend_common.plumbing.health import Readiness, open_health_server
from scaisend_common.plumbing.settings import CommonSettings, describe

__all__ = ["Loop", "LoopFailed", "Readiness", "main", "run"]

log = structlog.get_logger()
# What the imports made is never looked at again, and a collection is due every 50,000 containers instead of 700: messages in flight are
# many and have no cycles, so collections found next to nothing and cost up to a tenth of a busy process.
GC_THRESHOLDS = (50_000, 20, 20)
S = TypeVar("S", bound=CommonSettings)


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop of a service: `run` until `stop` is called; a loop that ends or raises before that ends the process with status 1."""

    name: str
    run: Callable[[], Awaitable[None]]
    stop: Callable[[], Awaitable[None]]


class LoopFailed(Exception):
    """A loop ended before it was told to, or could not be stopped within the grace period. The cause, if any, is chained."""


def main(service: str, settings: S, serve: Callable[[S], Coroutine[None, None, None]]) -> None:
    """Run `serve(settings)` on uvloop with logging and failpoints set up; exit with 1 when it raises."""
    telemetry.configure(service, settings.log_level)
    failpoints.enable(settings.failpoints)
    log.info("settings", **describe(settings))
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        uvloop.run(serve(settings))
    except LoopFailed as failure:
        log.error("service_failed", why=str(failure), exc_info=failure.__cause__)
        sys.exit(1)
    except Exception:
        log.exception("service_failed")
        sys.exit(1)


async def run(
    service: str,
    loops: Sequence[Loop],
    *,
    health_host: str,
    health_port: int,
    checks: Mapping[str, Callable[[], Readiness]],
    grace: timedelta,
    first: Sequence[Callable[[], Awaitable[None]]] = (),
) -> None:
    """Run until SIGTERM or SIGINT, then stop the loops in their order, within `grace`. Logs `service_started`, `service_stopped`.

    `first` is awaited before the loops start, with the health server up and /ready at 503: waiting for the schema belongs there.
    Raises LoopFailed.
    """
    told_to_stop = asyncio.Event()
    phase = Readiness.NOT_READY
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, told_to_stop.set)
    server = await open_health_server(health_host, health_port, {"service": lambda: phase, **checks})
    lag = asyncio.create_task(telemetry.watch_loop())
    signalled = asyncio.create_task(told_to_stop.wait())
    try:
        for step in first:
            if not await _before_signal(step, signalled):
                return
        tasks = {loop.name: asyncio.ensure_future(loop.run()) for loop in loops}
        phase = Readiness.READY
        log.info("service_started", service=service, loops=list(tasks), health_port=server.sockets[0].getsockname()[1])
        await asyncio.wait({signalled, *tasks.values()}, return_when=asyncio.FIRST_COMPLETED)
        phase = Readiness.NOT_READY
        early = [name for name, task in tasks.items() if task.done()]
        await _stop_all(loops, tasks, grace)
        _raise_for(early, tasks)
        log.info("service_stopped")
    finally:
        for task in (lag, signalled):
            task.cancel()
        server.close()


async def _before_signal(step: Callable[[], Awaitable[None]], signalled: asyncio.Task[bool]) -> bool:
    """Await a step; return False where the signal to stop came before its end."""
    task = asyncio.ensure_future(step())
    await asyncio.wait({task, signalled}, return_when=asyncio.FIRST_COMPLETED)
    if not task.done():
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        return False
    await task
    return not signalled.done()


async def _stop_all(loops: Sequence[Loop], tasks: Mapping[str, asyncio.Future[None]], grace: timedelta) -> None:
    """Stop in order; one that cannot be stopped is cancelled, and does not keep the others from stopping."""
    unstoppable: dict[str, BaseException] = {}
    try:
        async with asyncio.timeout(grace.total_seconds()):
            for loop in loops:
                if (task := tasks[loop.name]).done():
                    continue
                log.info("loop_stopping", loop=loop.name)
                (error,) = await asyncio.gather(loop.stop(), return_exceptions=True)
                if error is not None:
                    unstoppable[loop.name] = error
                    task.cancel()
                await asyncio.wait({task})
    except TimeoutError:
        running = [name for name, task in tasks.items() if not task.done()]
        for task in tasks.values():
            task.cancel()
        await asyncio.wait(tasks.values(), timeout=1)
        raise LoopFailed(f"not stopped within {grace.total_seconds():g} s: {', '.join(running)}") from None
    for name, error in unstoppable.items():
        raise LoopFailed(f"loop {name} could not be stopped") from error


def _raise_for(early: Sequence[str], tasks: Mapping[str, asyncio.Future[None]]) -> None:
    for name, task in tasks.items():
        if task.cancelled():
            raise LoopFailed(f"loop {name} was cancelled")
        if error := task.exception():
            raise LoopFailed(f"loop {name} died") from error
    if early:
        raise LoopFailed(f"loop {early[0]} ended by itself")
