from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.scheduler.making import TENANT, a_submission

from scaisend_common.mail.suppression import SUSPENDED, SuppressionKind, bypassed, drop_reason, reason_of, stop_holds
from scaisend_common.messages import Personalizations, Submission
from scaisend_scheduler.barred import Barred
from scaisend_scheduler.route.expand import Delivery, expand
from scaisend_scheduler.route.screen import reason_to_drop

NOBODY = Barred(frozenset(), {})
BYPASSES = ["bypass_list_management", "bypass_bounce_management", "bypass_spam_management", "bypass_unsubscribe_management"]
kinds = st.frozensets(st.sampled_from(list(SuppressionKind)))


def only_delivery(submission: Submission) -> Delivery:
    assert isinstance(submission.personalizations, Personalizations)
    [delivery] = expand(submission, submission.personalizations, repeat=False)
    return delivery


def barring(*found: SuppressionKind, tenant_id: str = TENANT, address: str = "ann@plain.test") -> Barred:
    return Barred(frozenset(), {(tenant_id, address): frozenset(found)})


def asking(*names: str) -> bytes:
    return json.dumps({"mail_settings": {name: {"enable": True} for name in names}, "tracking_settings": {}}).encode()


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (SuppressionKind.BOUNCE, "Bounced Address"),
        (SuppressionKind.INVALID, "Invalid"),
        (SuppressionKind.SPAMREPORT, "Spam Reporting Address"),
        (SuppressionKind.UNSUBSCRIBE, "Unsubscribed Address"),
    ],
)
def test_a_suppressed_recipient_is_dropped_with_the_reason_that_users_know(kind: SuppressionKind, reason: str) -> None:
    assert reason_to_drop(only_delivery(a_submission("Ann@plain.test")), barring(kind)) == reason


def test_another_tenants_suppression_drops_nothing() -> None:
    barred = barring(SuppressionKind.BOUNCE, tenant_id="00000000-0000-4000-8000-000000000009")
    assert reason_to_drop(only_delivery(a_submission("ann@plain.test")), barred) is None


@pytest.mark.parametrize(
    ("switch", "passed"),
    [
        ("bypass_list_management", set(SuppressionKind)),
        ("bypass_bounce_management", {SuppressionKind.BOUNCE}),
        ("bypass_spam_management", {SuppressionKind.SPAMREPORT}),
        ("bypass_unsubscribe_management", {SuppressionKind.UNSUBSCRIBE}),
    ],
)
def test_a_bypass_passes_by_its_own_list_and_no_other(switch: str, passed: set[SuppressionKind]) -> None:
    delivery = only_delivery(a_submission("ann@plain.test", settings=asking(switch)))
    for kind in SuppressionKind:
        assert (reason_to_drop(delivery, barring(kind)) is None) == (kind in passed)


@pytest.mark.parametrize(
    "settings", [b"", b"{}", b'{"mail_settings":null}', b'{"mail_settings":{"bypass_list_management":{"enable":false}}}']
)
def test_nothing_is_passed_by_unasked(settings: bytes) -> None:
    assert bypassed(settings) == frozenset()


def test_a_suspended_tenant_sends_nothing_even_past_every_list() -> None:
    delivery = only_delivery(a_submission("ann@plain.test", settings=asking("bypass_list_management")))
    assert reason_to_drop(delivery, Barred(frozenset({TENANT}), {})) == SUSPENDED


def test_an_unknown_template_is_dropped_as_sendgrid_drops_it() -> None:
    delivery = only_delivery(a_submission("ann@plain.test", template_id="d-" + "0" * 32))
    assert reason_to_drop(delivery, NOBODY) == "Invalid SMTPAPI header"


def test_a_delivery_against_which_nothing_stands_goes_on() -> None:
    assert reason_to_drop(only_delivery(a_submission("ann@plain.test")), NOBODY) is None


@given(kinds, st.lists(st.sampled_from(BYPASSES), unique=True))
def test_a_recipient_is_written_to_only_if_every_kind_is_passed_by(found: frozenset[SuppressionKind], asked: list[str]) -> None:
    settings = asking(*asked)
    reason = reason_of(found, settings)
    assert (reason is None) == (found <= bypassed(settings))
    assert reason is None or reason in {drop_reason(kind) for kind in found}


@given(st.sampled_from(list(SuppressionKind)), st.lists(st.sampled_from(BYPASSES), unique=True))
def test_the_stop_of_an_address_holds_exactly_where_the_list_does(kind: SuppressionKind, asked: list[str]) -> None:
    settings = asking(*asked)
    assert stop_holds(drop_reason(kind), settings) == (reason_of([kind], settings) is not None)


def test_a_stop_of_any_other_reason_always_holds() -> None:
    assert stop_holds(SUSPENDED, asking("bypass_list_management"))
