"""Fixtures of this room: the event loop that the deliverer runs on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop


@pytest.hookimpl
def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """uvloop, as in production: its transports differ from asyncio's own."""
    return {"uvloop": uvloop.new_event_loop}
