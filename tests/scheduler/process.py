"""The scheduler as its own process, with failpoints."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import urllib.request
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.error import HTTPError, URLError


@asynccontextmanager
async def scheduler(settings: Mapping[str, str]) -> AsyncIterator[Process]:
    """Run one until the block ends; what still runs then is told to stop and must do so cleanly."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SCAISEND_")}
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "scaisend_scheduler", env={**environment, **settings})
    try:
        await _ready(process, f"http://127.0.0.1:{settings['SCAISEND_HEALTH_PORT']}/ready")
        yield process
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 20) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _ready(process: Process, url: str) -> None:
    """Wait until it is ready, or has died at a failpoint already."""
    for _ in range(300):
        if process.returncode is not None or await asyncio.to_thread(_is_ready, url):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{url} never became ready")


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except HTTPError as error:
        error.close()
        return False
    except (URLError, OSError):
        return False
