"""Logs as JSON lines on stdout, and the metrics that every process has.

A line has `time` (UTC, ISO 8601), `level`, `event`, `service` and the keys of its unit of work. API keys, passwords in URLs and, above
DEBUG, the local parts of addresses are blotted out before it is written. Lines of libraries (stdlib logging) come out in the same form.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec
import structlog
from prometheus_client import Gauge, Histogram

from scaisend_common import __version__

_SECRETS = re.compile(r"(SG\.[A-Za-z0-9_-]{4})[A-Za-z0-9_-]{18}\.[A-Za-z0-9_-]{43}|(://[^/@\s:]*:)[^/@\s]*@")
_ADDRESS = re.compile(r"(?<![\w.+/:*-])([^\s@<>\",;:()\[\]/]{1,2})[^\s@<>\",;:()\[\]/]*@(?=[\w-]+\.[\w.-]+)")

BUILD = Gauge("scaisend_build_info", "1, labelled with what runs", ["service", "version"])
LOOP_LAG = Histogram(
    "scaisend_loop_lag_seconds", "How late the event loop woke a sleeper", buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
)


def configure(service: str, level: str = "INFO") -> None:
    """Set up logging and the build metric of this process."""
    threshold = getattr(logging, level)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _named(service),
        structlog.processors.format_exc_info,
        redact if threshold > logging.DEBUG else redact_secrets,
    ]
    structlog.configure(
        processors=[*shared, _render],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _render],
        )
    )
    logging.root.handlers = [handler]
    logging.root.setLevel(max(threshold, logging.WARNING))
    logging.captureWarnings(capture=True)
    BUILD.labels(service, __version__).set(1)


def redact(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Blot out secrets and the local parts of addresses."""
    return {key: _blotted(value, _without_addresses) for key, value in line.items()}


def redact_secrets(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Blot out secrets only."""
    return {key: _blotted(value, without_secrets) for key, value in line.items()}


def without_secrets(text: str) -> str:
    """Return the text without API keys and passwords in URLs."""
    if "SG." not in text and "://" not in text:
        return text
    return _SECRETS.sub(lambda found: f"{found[1]}…" if found[1] else f"{found[2]}***@", text)


async def watch_loop(every: float = 0.5, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
    """Measure how late the loop is, until cancelled."""
    time = asyncio.get_running_loop().time
    while True:
        due = time() + every
        await sleep(every)
        LOOP_LAG.observe(max(0.0, time() - due))


def _without_addresses(text: str) -> str:
    text = without_secrets(text)
    return _ADDRESS.sub(r"\1***@", text) if "@" in text else text


def _blotted(value: Any, blot: Callable[[str], str]) -> Any:
    match value:
        case str():
            return blot(value)
        case list() | tuple() | set() | frozenset():
            return [_blotted(each, blot) for each in value]
        case dict():
            return {key: _blotted(each, blot) for key, each in value.items()}
        case bool() | int() | float() | None:
            return value
        case _:
            return blot(str(value))


def _named(service: str) -> structlog.typing.Processor:
    def add(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        line["service"] = service
        return line

    return add


def _render(_logger: object, _method: str, line: MutableMapping[str, Any]) -> str:
    first = {key: line.pop(key) for key in ("time", "level", "service", "event") if key in line}
    return msgspec.json.encode(first | dict(line), enc_hook=str).decode()
