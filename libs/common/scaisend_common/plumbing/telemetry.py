"""Logs as JSON lines on stdout, and the metrics that every process has.

A line has `time` (UTC, ISO 8601), `level`, `event`, `service` and the keys of its unit of work. API keys, passwords in URLs and, above
DEBUG, the local parts of addresses are blotted out before it is written. Lines of libraries (stdlib logging) come out in the same form.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec
import structlog
from prometheus_client import Gauge, Histogram

from scaisend_common import __version__

# They run over the finished line of JSON, so they take no quote and no backslash.
_SECRETS = re.compile(r"(SG\.[A-Za-z0-9_-]{4})[A-Za-z0-9_-]{18}\.[A-Za-z0-9_-]{43}|(://[^/@\s:\"\\]{0,256}:)[^/@\s\"\\]{0,256}@")
_LOCAL_PART = re.compile(r"[^\s@<>\",;:()\[\]/\\]*")
_DOMAIN = re.compile(r"[\w-]+\.[\w.-]+")
_ESCAPE = re.compile(r"u[0-9a-fA-F]{4}|.")
_LOCAL_PART_MOST = 320  # characters looked at before an @

BUILD = Gauge("scaisend_build_info", "1, labelled with what runs", ["service", "version"])
LOOP_LAG = Histogram(
    "scaisend_loop_lag_seconds", "How late the event loop woke a sleeper", buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
)


def configure(service: str, level: str = "INFO") -> None:
    """Set up logging and the build metric of this process."""
    threshold = getattr(logging, level)
    render = _renderer(without_addresses if threshold > logging.DEBUG else without_secrets)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _named(service),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    logging.root.handlers = [handler]
    logging.root.setLevel(max(threshold, logging.WARNING))
    logging.captureWarnings(capture=True)
    BUILD.labels(service, __version__).set(1)


def without_secrets(line: str) -> str:
    """Return a JSON line without API keys and passwords in URLs."""
    if "SG." not in line and "://" not in line:
        return line
    return _SECRETS.sub(lambda found: f"{found[1]}…" if found[1] else f"{found[2]}***@", line)


def without_addresses(line: str) -> str:
    """Return a JSON line without secrets and without the local parts of addresses, but for their first two characters."""
    line = without_secrets(line)
    shown: list[str] = []
    begin = 0
    while (at := line.find("@", begin)) >= 0:
        start = _local_part_start(line, begin, at)
        if start < at and line[start:at] != "***" and _DOMAIN.match(line, at + 1):
            shown.append(line[begin : min(start + 2, at)] + "***")
        else:
            shown.append(line[begin:at])
        shown.append("@")
        begin = at + 1
    return "".join((*shown, line[begin:]))


async def watch_loop(every: float = 2.0, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
    """Measure how late the loop is, until cancelled."""
    time = asyncio.get_running_loop().time
    while True:
        due = time() + every
        await sleep(every)
        LOOP_LAG.observe(max(0.0, time() - due))


def _local_part_start(line: str, begin: int, at: int) -> int:
    """Return where the local part before `at` begins; what JSON escaped before it is none of it."""
    backwards = line[max(begin, at - _LOCAL_PART_MOST) : at][::-1]
    local_part = _LOCAL_PART.match(backwards)
    start = at - (local_part.end() if local_part else 0)
    if line[start - 1 : start] == "\\" and (escape := _ESCAPE.match(line, start, at)):
        return escape.end()
    return start


def _named(service: str) -> structlog.typing.Processor:
    def add(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        line["service"] = service
        return line

    return add


def _renderer(blot: Callable[[str], str]) -> structlog.typing.Processor:
    encode = msgspec.json.Encoder(enc_hook=str).encode

    def render(_logger: object, _method: str, line: MutableMapping[str, Any]) -> str:
        first = {key: line.pop(key) for key in ("time", "level", "service", "event") if key in line}
        whole = first | dict(line)
        try:
            text = encode(whole).decode()
        except (
            UnicodeEncodeError,
            OverflowError,
            TypeError,
        ):  # lone surrogates, huge integers, odd keys: a log line never fails its caller
            text = json.dumps(whole, default=str, skipkeys=True)
        return blot(text)

    return render
