"""Routing: to which path and shard a job goes. One function for first sends, scheduled sends and retries alike. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from scaisend_common.topology import Topology


@dataclass(frozen=True, slots=True)
class Egress:
    """From where this installation sends unless a job says otherwise, and how its paths are spread over shards."""

    group: str
    source: str
    topology: Topology


class Route(NamedTuple):
    """Where a job goes: egress group, source and site (its path), and the shard of that path."""

    group: str
    source: str
    site: str
    shard: int


@lru_cache(maxsize=100_000)
def route_of(site: str, egress: Egress, *, last_source: str = "") -> Route:
    """Return the route to a site. A job that was tried before keeps its source: greylisting remembers it (RFC 6647 2.1)."""
    source = last_source or egress.source
    return Route(egress.group, source, site, egress.topology.shard(source, site))
