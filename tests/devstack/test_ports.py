"""Ports are kept, and changed only when a stranger has taken one."""

import socket
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from devstack.ports import HIGHEST, LOWEST, free_port, is_free, kept


def test_a_free_port_is_below_those_the_kernel_hands_out() -> None:
    assert LOWEST <= free_port() < HIGHEST
    with Path("/proc/sys/net/ipv4/ip_local_port_range").open() as file:
        assert int(file.read().split()[0]) >= HIGHEST


def test_kept_ports_stay_the_same(tmp_path: Path) -> None:
    first = kept(tmp_path / "ports", ["a", "b"], lambda _: False)
    assert kept(tmp_path / "ports", ["a", "b", "c"], lambda _: False).items() > first.items()


def test_a_port_that_a_stranger_took_is_changed_and_one_in_use_by_us_is_not(tmp_path: Path) -> None:
    ports = kept(tmp_path / "ports", ["a"], lambda _: False)
    with socket.create_server(("127.0.0.1", ports["a"])):
        assert not is_free(ports["a"])
        assert kept(tmp_path / "ports", ["a"], lambda _: True) == ports
        assert kept(tmp_path / "ports", ["a"], lambda _: False) != ports


def test_a_torn_file_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "ports").write_text('{"a": 1')
    assert set(kept(tmp_path / "ports", ["a"], lambda _: False)) == {"a"}


@given(st.sets(st.text(min_size=1), max_size=8))
def test_no_two_names_share_a_port(names: set[str]) -> None:
    ports = kept(Path("/nowhere") if not names else Path("/dev/null"), names, lambda _: True)
    assert len(set(ports.values())) == len(names)
