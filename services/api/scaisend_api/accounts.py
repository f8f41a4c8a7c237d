"""Who calls, and what addresses they may write from: looked up in Postgres, answered from memory."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from scaisend_api import store
from scaisend_api.cache import Cache
from scaisend_api.grant import Grant, proves
from scaisend_common.messages import Control, Flush
from scaisend_common.plumbing.crypto import KeyRing, key_id_of
from scaisend_common.plumbing.postgres import Pool


class Accounts:
    """API keys and verified domains of all tenants, as far as they were asked for."""

    def __init__(self, pool: Pool, peppers: KeyRing, now: Callable[[], float] = monotonic) -> None:
        self._peppers = peppers
        self._grants: Cache[str, Grant] = Cache(lambda key_id: store.find_key(pool, key_id), now)
        self._domains: Cache[str, store.VerifiedDomains] = Cache(lambda tenant_id: store.verified_domains(pool, tenant_id), now)

    async def authenticate(self, token: str) -> Grant | None:
        """Return what a key grants, or None where it is none, unknown, revoked or wrong, all alike. Raises DatabaseAway."""
        key_id = key_id_of(token)
        if key_id is None:
            return None
        grant = await self._grants.get(key_id)
        return grant if proves(token, grant, self._peppers) else None

    async def may_send_from(self, tenant_id: str, domains: set[str]) -> bool:
        """Tell whether all of these domains are the tenant's own, verified. Raises DatabaseAway."""
        verified = await self._domains.get(tenant_id)
        return verified is not None and domains <= verified.names

    async def on_control(self, message: Control) -> None:
        """Forget what is kept of a tenant when told to."""
        if isinstance(message, Flush):
            self._grants.forget(lambda grant: grant.tenant_id == message.tenant_id)
            self._domains.forget(lambda verified: verified.tenant_id == message.tenant_id)

    async def on_connected(self) -> None:
        """What was said while nobody listened is lost, so nothing kept is current."""
        self._grants.doubt()
        self._domains.doubt()
