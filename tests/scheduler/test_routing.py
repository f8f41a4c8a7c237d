from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scaisend_common.topology import Topology
from scaisend_scheduler.routing import Egress, route_of

EGRESS = Egress("default", "default", Topology(shards=8))


@given(st.text(min_size=1), st.sampled_from(["", "second"]))
def test_a_route_depends_on_path_alone_and_lies_within_the_shards(site: str, last_source: str) -> None:
    route = route_of(site, EGRESS, last_source=last_source)
    assert route == route_of(site, EGRESS, last_source=last_source)
    assert 0 <= route.shard < 8
    assert route.source == (last_source or "default")
    assert route.site == site
