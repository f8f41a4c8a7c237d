"""A service of two loops, started by test_service.py; its argument says how it misbehaves."""

import asyncio
import sys
from datetime import timedelta

import structlog

from scaisend_common.plumbing.crypto import KeyRing
from scaisend_common.plumbing.postgres import open_pool
from scaisend_common.plumbing.service import Loop, Readiness, main, run
from scaisend_common.plumbing.settings import CommonSettings, load
from scaisend_common.schema.migrate import wait_for_schema

log = structlog.get_logger()
HOW = sys.argv[1]


class SmallSettings(CommonSettings):
    token_secret: KeyRing


class Idle:
    """Runs until stopped, or as `HOW` says."""

    def __init__(self, name: str, how: str) -> None:
        self.name = name
        self.how = how
        self.stopped = asyncio.Event()

    async def run(self) -> None:
        if self.how in ("dies", "ends"):
            await asyncio.sleep(0.2)
        if self.how == "dies":
            _ = 1 // 0
        if self.how != "ends":
            await self.stopped.wait()
        log.info("loop_ended", loop=self.name)

    async def stop(self) -> None:
        if self.how == "unstoppable":
            raise RuntimeError("no")
        if self.how != "stubborn":
            self.stopped.set()


async def serve(settings: SmallSettings) -> None:
    if HOW == "broken":
        _ = 1 // 0
    first, second = Idle("first", HOW if HOW == "unstoppable" else ""), Idle("second", HOW if HOW in ("dies", "ends", "stubborn") else "")
    async with open_pool(settings.postgres_dsn, name="small") as pool:
        await run(
            "small",
            [Loop("first", first.run, first.stop), Loop("second", second.run, second.stop)],
            health_host=settings.health_host,
            health_port=settings.health_port,
            checks={"postgres": lambda: Readiness.READY if pool.is_ready else Readiness.DEGRADED},
            grace=timedelta(seconds=settings.grace_seconds),
            first=[lambda: wait_for_schema(pool)] if HOW == "waits" else [],
        )


if __name__ == "__main__":
    main("small", load(SmallSettings), serve)
