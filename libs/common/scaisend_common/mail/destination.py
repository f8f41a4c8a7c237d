"""Addresses that no mail is sent to: whatever is not plainly a public unicast host (RFC 6890 and its registries).

An MX record is a stranger's word. Without this a recipient domain could point us at our own broker or at the cloud's metadata service.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_GLOBAL_UNICAST = IPv6Network(
    "2000::/3"
)  # all that IANA has given out; NAT64 (64:ff9b::/96, 64:ff9b:1::/48), mapped and local ones lie outside
_PROHIBITED_V6 = (
    IPv6Network("2001::/23"),  # protocol assignments, of which Teredo 2001::/32 embeds an IPv4 address
    IPv6Network("2001:db8::/32"),
    IPv6Network("2002::/16"),  # 6to4 embeds an IPv4 address
    IPv6Network("3fff::/20"),  # documentation, RFC 9637; unknown to Python 3.11
)
_PROHIBITED_V4 = (
    IPv4Network("192.0.0.0/24"),
    IPv4Network("192.88.99.0/24"),  # 6to4 relays
)


def is_prohibited(address: str) -> bool:
    """Tell whether an IP address must not be connected to. What is no address at all is prohibited too."""
    try:
        ip = ip_address(address)
    except ValueError:
        return True
    return _is_prohibited_v4(ip) if isinstance(ip, IPv4Address) else _is_prohibited_v6(ip)


def _is_prohibited_v4(ip: IPv4Address) -> bool:
    return not ip.is_global or ip.is_multicast or any(ip in network for network in _PROHIBITED_V4)


def _is_prohibited_v6(ip: IPv6Address) -> bool:
    return ip.scope_id is not None or ip not in _GLOBAL_UNICAST or not ip.is_global or any(ip in network for network in _PROHIBITED_V6)
