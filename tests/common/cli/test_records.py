import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaisend_common.cli.records import (
    DkimKey,
    Record,
    SenderDomain,
    challenge_record,
    dkim_record,
    has_challenge,
    has_dkim_key,
    records_of,
)

KEY = DkimKey("s1", "MIIB" + "A" * 388)
DOMAIN = SenderDomain("example.com", "challenge", "bounces.example.com", (KEY,), is_verified=False)
base64_text = st.text(alphabet="ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", min_size=1, max_size=400)


def test_a_domain_publishes_challenge_dkim_return_path_spf_and_dmarc() -> None:
    records = {(record.kind, record.name): record.value for record in records_of(DOMAIN, inbound_name="in.esp.test", spf="ip4:192.0.2.7")}
    assert records == {
        ("TXT", "_scaisend.example.com"): "scaisend-verification=challenge",
        ("TXT", "s1._domainkey.example.com"): f"v=DKIM1; k=rsa; p={KEY.public_key}",
        ("MX", "bounces.example.com"): "10 in.esp.test.",
        ("TXT", "bounces.example.com"): "v=spf1 ip4:192.0.2.7 -all",
        ("TXT", "_dmarc.example.com"): "v=DMARC1; p=none",
    }


def test_what_is_not_known_is_left_to_be_filled_in() -> None:
    values = [record.value for record in records_of(DOMAIN, inbound_name="", spf="")]
    assert "10 <host-of-bounce-inbound>." in values
    assert "v=spf1 ip4:<address-of-each-deliverer> -all" in values


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=900))
def test_a_zone_line_holds_the_value_in_strings_of_255_octets_at_most(value: str) -> None:
    line = Record("TXT", "a.test", value, "").zone_line()
    strings = [re.sub(r"\\(.)", r"\1", text) for text in re.findall(r'"((?:[^"\\]|\\.)*)"', line)]
    assert "".join(strings) == value
    assert all(len(text) <= 255 for text in strings)


@given(base64_text)
def test_a_published_key_is_found_again(public_key: str) -> None:
    key = DkimKey("s1", public_key)
    assert has_dkim_key(key, ["something else", dkim_record(DOMAIN, key).value])
    assert not has_dkim_key(key, [dkim_record(DOMAIN, DkimKey("s1", public_key + "x")).value])


@pytest.mark.parametrize("text", ["p=AB CD;k=rsa", " k = rsa ; p = AB\tCD ", "v=DKIM1; t=y; p=ABCD; n=note"])
def test_white_space_and_other_tags_of_a_key_record_do_not_matter(text: str) -> None:
    assert has_dkim_key(DkimKey("s1", "ABCD"), [text])


@given(st.lists(st.text(max_size=30), max_size=3))
def test_only_the_answer_to_the_challenge_proves_ownership(texts: list[str]) -> None:
    assert has_challenge(DOMAIN, texts) == any(text.strip() == "scaisend-verification=challenge" for text in texts)
    assert has_challenge(DOMAIN, [*texts, challenge_record(DOMAIN).value])
