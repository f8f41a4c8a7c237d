"""What sealed secrets are bound to, so that one cannot be put in another's place."""

from __future__ import annotations


def dkim_binding(tenant_id: str, domain: str, selector: str) -> str:
    """Return what the sealed DKIM key of a tenant's domain is bound to."""
    return f"{tenant_id}|{domain}|{selector}"
