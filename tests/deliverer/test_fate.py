"""What is known of a job that somebody may have had."""

from __future__ import annotations

from tests.deliverer.making import NOW, a_job

from scaisend_common.mail.events import Hop
from scaisend_common.mail.reply import Reply
from scaisend_common.mail.verdict import Delivered
from scaisend_common.messages import WhyLater
from scaisend_common.topology import Topology
from scaisend_deliverer.earlier import Held, InDoubt, Untried
from scaisend_deliverer.fate import attempted, known, parked, rerouted
from scaisend_deliverer.outcome import Outcome

OUTCOME = Outcome(Delivered(Reply(250, "", "OK")), NOW, Hop())


def test_a_known_outcome_is_published_again_and_not_recorded() -> None:
    job = a_job(now=NOW)
    fate = known(job, OUTCOME, NOW)
    assert fate is not None
    assert not isinstance(fate, InDoubt)
    assert fate.outcome is None
    assert fate.letter == attempted(job, OUTCOME).letter


def test_what_somebody_living_holds_comes_back_as_a_repeat() -> None:
    fate = known(a_job(now=NOW), Held("other"), NOW)
    assert fate is not None
    assert not isinstance(fate, InDoubt)
    assert fate.letter.later is not None
    assert fate.letter.later.why is WhyLater.CLAIMED
    assert fate.letter.later.job.repeat


def test_what_nobody_had_is_tried_and_what_is_in_doubt_is_said_so() -> None:
    assert known(a_job(now=NOW), Untried(), NOW) is None
    assert known(a_job(now=NOW), InDoubt("gone"), NOW) == InDoubt("gone")


def test_a_job_without_route_goes_to_its_shard() -> None:
    topology = Topology()
    job = rerouted(a_job(now=NOW, to="a@x.test"), "google", topology).letter.elsewhere
    assert job is not None
    assert (job.site, job.shard) == ("google", topology.shard("default", "google"))


def test_a_parked_job_names_its_queue_and_reason() -> None:
    job = a_job(now=NOW)
    assert parked(job, "deliver.default.0.bulk", "no blob").letter.parked == (job, "deliver.default.0.bulk", "no blob")
