"""What comes back: bounces, complaints, and what a suppression then stops."""

from __future__ import annotations

from uuid import uuid4

import pytest
from tests.e2e.conftest import Town
from tests.e2e.fleet import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("here")]


def address(local: str) -> str:
    return f"{local}+{uuid4().hex[:10]}@plain.test"


async def test_a_hard_bounce_drops_the_next_mail_to_that_address(here: Town) -> None:
    to = address("bounce")
    await here.settled(here.send(to), "bounced")
    delivery = await here.settled(here.send(to), "dropped")
    assert "Bounced Address" in str(delivery["events"])
    assert not delivery["attempts"]


@pytest.mark.parametrize("script", ["full", "block"])
async def test_a_refusal_that_is_not_about_the_address_does_not_suppress_it(here: Town, script: str) -> None:
    to = address(script)
    await here.settled(here.send(to), "bounced")
    delivery = await here.settled(here.send(to), "bounced")
    assert delivery["attempts"]


async def test_a_report_that_comes_back_later_becomes_a_bounce_and_a_suppression(here: Town) -> None:
    to = address("asyncbounce")
    first = here.send(to)
    await eventually(lambda: "5.1.1" in str(here.timeline(first)), within=30, why="the bounce is on the timeline")
    await here.settled(here.send(to), "dropped")


async def test_a_complaint_becomes_a_spam_report_and_a_suppression(here: Town) -> None:
    to = address("complain")
    first = here.send(to)
    await eventually(lambda: "spam" in str(here.timeline(first)).lower(), within=30, why="the complaint is on the timeline")
    delivery = await here.settled(here.send(to), "dropped")
    assert "Spam Reporting Address" in str(delivery["events"])


async def test_a_mail_that_names_an_unknown_template_is_accepted_and_then_dropped(here: Town) -> None:
    delivery = await here.settled(here.send(address("ok"), template_id="d-" + "0" * 32), "dropped")
    assert "Invalid SMTPAPI header" in str(delivery["events"])
