from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaisend_common.cli.names import EVERYTHING, domain_of, email_of, scopes_of, selector_of, slug_of
from scaisend_common.cli.output import Refused


@pytest.mark.parametrize("text", ["a", "acme", "acme-2", "0", "a" * 63])
def test_a_slug_is_itself(text: str) -> None:
    assert slug_of(text) == text


@given(st.text(max_size=70))
def test_a_slug_holds_lower_case_letters_digits_and_dashes_or_is_refused(text: str) -> None:
    with suppress(Refused):
        assert set(slug_of(text)) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


@pytest.mark.parametrize(
    ("text", "domain"), [("Example.COM", "example.com"), ("example.com.", "example.com"), ("müller.example", "xn--mller-kva.example")]
)
def test_a_domain_is_kept_as_a_labels_in_lower_case(text: str, domain: str) -> None:
    assert domain_of(text) == domain


@pytest.mark.parametrize("text", ["", ".", "a b.test", "-a.test", "x" * 64 + ".test", "a..test", "exa_mple.com\n"])
def test_what_is_no_domain_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        domain_of(text)


@pytest.mark.parametrize("text", ["", "a.b", "S1", "-x", "s1\n"])
def test_what_is_no_selector_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        selector_of(text)


def test_no_scope_means_full_access() -> None:
    assert scopes_of("") == [EVERYTHING]
    assert scopes_of(" stats.read, mail.send ,mail.send") == ["mail.send", "stats.read"]


@pytest.mark.parametrize("text", ["mail", "mail.send;stats.read", "Mail.Send", "mail..send"])
def test_what_is_no_scope_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        scopes_of(text)


def test_a_users_address_has_one_form() -> None:
    assert email_of("A.User@Example.com") == "a.user@example.com"
    with pytest.raises(Refused):
        email_of("a user@example.com")
