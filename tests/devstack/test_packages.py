"""What apt is told about the machine."""

from hypothesis import given
from hypothesis import strategies as st

from devstack.packages import PACKAGE, struck

names = st.text("abcdefghijklmnopqrstuvwxyz0123456789+.-", min_size=1)
wanted = ("rabbitmq-server", "erlang-base")


@given(st.lists(st.one_of(names, st.sampled_from([*wanted, "erlang-ssl", "erlang", "librabbitmq4"]))))
def test_only_what_is_wanted_and_erlang_is_struck(installed: list[str]) -> None:
    status = "\n\n".join(f"Package: {name}\nStatus: install ok installed\nDescription: about rabbitmq-server" for name in installed)
    left = PACKAGE.findall(struck(status, wanted))
    assert left == [name for name in installed if name not in wanted and not name.startswith("erlang-")]


def test_an_empty_status_stays_empty() -> None:
    assert struck("", wanted) == ""
