"""What commands are told: slugs, tenants by slug or id, domains; refused with a sentence where they are wrong."""

from __future__ import annotations

import re
from uuid import UUID

from scaisend_common.cli import store
from scaisend_common.cli.output import Refused
from scaisend_common.mail.address import domain_to_ascii, parse_address
from scaisend_common.plumbing.postgres import Connection

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_SCOPE = re.compile(r"\*|[a-z0-9_]+(?:\.[a-z0-9_]+)+")
_SELECTOR = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
EVERYTHING = "*"


def slug_of(text: str) -> str:
    """Return a slug."""
    if not _SLUG.fullmatch(text):
        raise Refused(f"{text!r} is no slug: lower-case letters, digits and dashes within, 63 at most")
    return text


def domain_of(text: str) -> str:
    """Return a domain as lower-case A-labels."""
    domain = domain_to_ascii(text.rstrip("."))
    if domain is None:
        raise Refused(f"{text!r} is no domain name")
    return domain


def selector_of(text: str) -> str:
    """Return a DKIM selector: one label."""
    if not _SELECTOR.fullmatch(text):
        raise Refused(f"{text!r} is no selector: one label of lower-case letters, digits and dashes")
    return text


def email_of(text: str) -> str:
    """Return an e-mail address in one form."""
    address = parse_address(text)
    if address is None:
        raise Refused(f"{text!r} is no e-mail address")
    return str(address).lower()


def scopes_of(text: str) -> list[str]:
    """Return the scopes in `mail.send,stats.read`; none means full access, as SendGrid's API has it."""
    scopes = sorted({each.strip() for each in text.split(",") if each.strip()})
    if wrong := [each for each in scopes if not _SCOPE.fullmatch(each)]:
        raise Refused(f"no scope: {', '.join(wrong)}; scopes look like mail.send")
    return scopes or [EVERYTHING]


async def tenant_named(connection: Connection, slug: str) -> UUID:
    """Return the id of the tenant with this slug or id."""
    tenant_id = await store.find_tenant(connection, slug)
    if tenant_id is None:
        raise Refused(f"no tenant {slug!r}; `scaisend tenant list` shows them")
    return tenant_id
