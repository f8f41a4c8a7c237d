import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.names import BadRecord, Names, Record, Verb
from sandbox.zones import POSTFIX_ADDRESS, records

labels = st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=12)


def found(names: Names, name: str, kind: str) -> list[str]:
    return [rdata.to_text() for rrset in names.find(name, kind).rrsets for rdata in rrset]


@pytest.fixture
def internet() -> Names:
    return Names(records(3, POSTFIX_ADDRESS))


def test_every_zone_leads_where_it_should(internet: Names) -> None:
    assert found(internet, "tls.test", "MX") == ["10 mx.tls.test."]
    assert found(internet, "mx.tls.test", "A") == ["127.25.1.1"]
    assert found(internet, "two-mx.test", "MX") == ["10 mx1.two-mx.test.", "20 mx2.two-mx.test."]
    assert found(internet, "implicit.test", "A") == ["127.25.5.1"]
    assert found(internet, "nullmx.test", "MX") == ["0 ."]
    assert found(internet, "mx.private.test", "A") == ["10.0.0.1"]
    assert found(internet, "cname.test", "MX") == ["plain.test.", "10 mx.plain.test."]
    assert found(internet, "mx.postfix.test", "A") == [POSTFIX_ADDRESS]
    assert internet.find("mx.servfail.test", "A").verb is Verb.SERVFAIL


def test_a_name_without_such_records_exists_and_an_unknown_one_does_not(internet: Names) -> None:
    assert internet.find("implicit.test", "MX").exists
    assert internet.find("sites.test", "MX").exists  # names below it have records
    assert not internet.find("unknown.test", "MX").exists


@given(labels.filter(lambda label: label != "mx"), st.integers(0, 2))
def test_any_domain_below_a_site_leads_to_its_host(label: str, n: int) -> None:
    internet = Names(records(3, POSTFIX_ADDRESS))
    assert found(internet, f"{label}.s{n}.sites.test", "MX") == [f"10 mx.s{n}.sites.test."]
    assert found(internet, f"{label}.{label}.s{n}.sites.test", "MX") == [f"10 mx.s{n}.sites.test."]
    assert found(internet, f"mx.s{n}.sites.test", "A") == [f"127.25.{100 + n}.1"]


@given(st.text(min_size=1, max_size=700).filter(lambda text: not text.startswith('"')))
def test_the_strings_of_a_published_text_join_to_it(text: str) -> None:
    assert Names([Record("k._domainkey.demo.test", "TXT", text)]).txt("K._DomainKey.demo.test.") == text.encode()


def test_publishing_replaces_a_set_and_leaves_others() -> None:
    names = Names([Record("a.test", "A", "127.0.0.1"), Record("a.test", "TXT", "one")])
    names.publish([Record("A.test.", "a", "127.0.0.2"), Record("a.test", "A", "127.0.0.3")])
    assert found(names, "a.test", "A") == ["127.0.0.2", "127.0.0.3"]
    assert names.txt("a.test") == b"one"
    names.withdraw("a.test", "A")
    names.withdraw("a.test", "TXT")
    assert not names.find("a.test", "A").exists


@pytest.mark.parametrize(
    "wrong",
    [Record("a.test", "A", "x"), Record("a.test", "NOSUCH", "x"), Record("a..test", "A", "127.0.0.1"), Record("a.test", "VERB", "x")],
)
def test_a_wrong_record_is_refused_and_changes_nothing(wrong: Record) -> None:
    names = Names()
    with pytest.raises(BadRecord):
        names.publish([Record("b.test", "A", "127.0.0.1"), wrong])
    assert list(names.records()) == []


def test_a_ring_of_aliases_ends() -> None:
    names = Names([Record("a.test", "CNAME", "b.test"), Record("b.test", "CNAME", "a.test")])
    assert len(names.find("a.test", "A").rrsets) == 8


def test_a_verb_covers_all_below_its_name_until_it_is_withdrawn() -> None:
    names = Names([Record("x.test", "VERB", "timeout")])
    assert names.find("_dmarc.x.test", "TXT").verb is Verb.TIMEOUT
    names.withdraw("x.test", "VERB")
    assert names.find("_dmarc.x.test", "TXT").verb is None
