from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaisend_common.mail.destination import is_prohibited

v4 = st.ip_addresses(v=4)
v6 = st.ip_addresses(v=6)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.254", "169.254.169.254",
        "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.9", "192.0.0.170", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.19.255.255",
        "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1",
        "100::1", "2001::1", "2001:0:4136:e378::1", "2001:2::1", "2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::1", "2002:808:808::1", "3fff::1",
        "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "2606:4700::1%1", "fec0::1", "ff02::1", "ff0e::1",
        "", "localhost", "127.1", "127.0.1", "0x7f000001", "0x7f.0.0.1", "2130706433", "0177.0.0.1", "127.0.0.1.", "[::1]", "1.1.1.1/32", " 1.1.1.1", "1.1.1.1 ", "１.1.1.1", "1.1.1",
    ],
)  # fmt: skip
def test_no_mail_goes_there(address: str) -> None:
    assert is_prohibited(address)


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "8.8.8.8",
        "142.250.102.27",
        "192.0.1.1",
        "192.88.98.1",
        "2606:4700::1111",
        "2a00:1450:4001:81b::201b",
        "2001:4860:4860::8888",
    ],
)
def test_mail_goes_to_public_hosts(address: str) -> None:
    assert not is_prohibited(address)


@given(v4)
def test_what_is_not_global_is_prohibited(address: IPv4Address) -> None:
    assert is_prohibited(str(address)) or (address.is_global and not address.is_multicast)


@given(v4)
def test_no_ipv6_form_of_an_ipv4_address_gets_round_the_list(address: IPv4Address) -> None:
    number = int(address)
    for form in (number, 0xFFFF << 32 | number, 0x64FF9B << 96 | number, 0x2002 << 112 | number << 80, 0x20010000 << 96 | number):
        assert is_prohibited(str(IPv6Address(form)))


@given(v6)
def test_only_global_unicast_is_sent_to(address: IPv6Address) -> None:
    assert is_prohibited(str(address)) or (int(address) >> 125 == 1 and address.is_global)
