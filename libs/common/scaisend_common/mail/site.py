"""The site of a recipient domain: who really takes its mail, and so whose limits hold. Also the order in which its hosts are tried.

A large provider serves millions of domains through host names of its own; every domain whose MX hosts are all the provider's is one site.
Elsewhere a site is the set of operators that the MX hosts belong to. It is a name for limits only: it never decides where mail goes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from itertools import groupby

_PROVIDERS = {
    "google.com": "google",
    "googlemail.com": "google",
    "mail.protection.outlook.com": "microsoft",
    "mx.microsoft": "microsoft",
    "eo.outlook.com": "microsoft",
    "olc.protection.outlook.com": "outlook",  # the consumers' side of Microsoft, with limits of its own
    "yahoodns.net": "yahoo",
    "mail.icloud.com": "apple",
    "apple.com": "apple",
    "pphosted.com": "proofpoint",
    "ppe-hosted.com": "proofpoint",
    "mimecast.com": "mimecast",
    "mimecast.co.za": "mimecast",
    "barracudanetworks.com": "barracuda",
    "iphmx.com": "cisco",
    "messagelabs.com": "broadcom",
    "trendmicro.com": "trendmicro",
    "trendmicro.eu": "trendmicro",
    "mx.cloudflare.net": "cloudflare",
    "emailsrvr.com": "rackspace",
    "secureserver.net": "godaddy",
    "zoho.com": "zoho",
    "zoho.eu": "zoho",
    "zoho.in": "zoho",
    "messagingengine.com": "fastmail",
    "protonmail.ch": "proton",
    "gmx.net": "gmx",
    "web.de": "gmx",
    "kundenserver.de": "ionos",
    "ionos.com": "ionos",
    "ionos.de": "ionos",
    "ovh.net": "ovh",
    "t-online.de": "telekom",
    "mail.ru": "vk",
    "yandex.ru": "yandex",
    "yandex.net": "yandex",
    "qq.com": "tencent",
    "netease.com": "netease",
    "comcast.net": "comcast",
    "orange.fr": "orange",
    "amazonaws.com": "amazon",
}
_COUNTRY_SECOND_LEVEL = frozenset(
    ("ac", "asn", "co", "com", "edu", "gob", "go", "gov", "gv", "ltd", "me", "mil", "ne", "net", "nhs", "nom", "or", "org", "plc", "sch")
)
_MAX_NAME = 100


def site_of(domain: str, mx_hosts: Sequence[str]) -> str:
    """Return the name of the site: a provider, the operators of the hosts, or `domain` where no host is known.

    It depends on the set of hosts alone. A provider's name has no dot, every other name has one.
    """
    hosts = {host.rstrip(".").lower() for host in mx_hosts} - {""}
    if not hosts:
        return domain
    providers = {_provider(host) for host in hosts}
    if len(providers) == 1 and (only := providers.pop()):
        return only
    name = "+".join(sorted({_operator(host) for host in hosts}))
    if len(name) <= _MAX_NAME:
        return name
    return f"{name[: _MAX_NAME - 25].split('+')[0]}+{blake2b(name.encode(), digest_size=12).hexdigest()}"


def mx_order(hosts: Sequence[tuple[int, str]], shuffle: Callable[[list[str]], None]) -> list[str]:
    """Return the host names of (preference, host) pairs in the order of RFC 5321 5.1, each once.

    `shuffle` mixes hosts of equal preference in place. The root (a null MX, illegal beside others) is no host and is left out.
    """
    order: list[str] = []
    named = ((preference, host.rstrip(".").lower()) for preference, host in hosts)
    for _, group in groupby(sorted((preference, host) for preference, host in named if host), key=lambda pair: pair[0]):
        equals = [host for host in dict.fromkeys(host for _, host in group) if host not in order]
        shuffle(equals)
        order += equals
    return order


def _provider(host: str) -> str | None:
    """The provider of the longest known suffix, whole labels only."""
    name = host
    while name:
        if name in _PROVIDERS:
            return _PROVIDERS[name]
        _, _, name = name.partition(".")
    return None


def _operator(host: str) -> str:
    """The name above the host's own label, as far as it can be an operator's: mx1 and mx2 of one operator fall together."""
    _, _, parent = host.partition(".")
    above = parent.split(".")
    if len(above) == 1 or (len(above) == 2 and len(above[1]) == 2 and above[0] in _COUNTRY_SECOND_LEVEL):
        return host if "." in host else f"{host}."
    return parent
