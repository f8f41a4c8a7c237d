"""GET and PATCH /v3/user/webhooks/event/settings, and …/signed: the form without id, which means the oldest endpoint."""

from __future__ import annotations

from base64 import b64encode

import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from scaisend_api import webhook_store as store
from scaisend_api.answer import Answer, error, json_answer
from scaisend_api.call import BodyTooLarge, BodyUnreadable, Call
from scaisend_api.grant import Grant
from scaisend_api.json_value import Json
from scaisend_api.webhook_form import EndpointForm, changed
from scaisend_common.messages import Flush, encode
from scaisend_common.plumbing.amqp import Publisher, Refused, Unavailable, Unroutable
from scaisend_common.plumbing.crypto import KeyRing, seal
from scaisend_common.plumbing.postgres import Pool
from scaisend_common.topology import CONTROL

_UNREADABLE = error(400, "invalid JSON")
log = structlog.get_logger()


class WebhookSettings:
    """The resource. Its methods raise DatabaseAway."""

    def __init__(self, pool: Pool, publisher: Publisher, kek: KeyRing) -> None:
        self._pool = pool
        self._publisher = publisher
        self._kek = kek

    async def read(self, grant: Grant, _call: Call) -> Answer:
        """Show the settings."""
        return json_answer(200, (await store.read_form(self._pool, grant.tenant_id)).view())

    async def change(self, grant: Grant, call: Call) -> Answer:
        """Change the settings that the body names."""
        wish = await _json_of(call)
        if isinstance(wish, Answer):
            return wish
        form = await store.write_form(self._pool, grant.tenant_id, lambda form: changed(form, wish))
        if isinstance(form, str):
            return json_answer(400, {"errors": [{"message": form}]})
        await self._tell(grant.tenant_id)
        return json_answer(200, form.view())

    async def read_signing(self, grant: Grant, _call: Call) -> Answer:
        """Show the public key, empty while posts are not signed."""
        return _signing_view(await store.read_form(self._pool, grant.tenant_id))

    async def change_signing(self, grant: Grant, call: Call) -> Answer:
        """Switch signing on or off. Switched off and on again it has another key."""
        wish = await _json_of(call)
        if isinstance(wish, Answer):
            return wish
        enabled = wish.get("enabled") if isinstance(wish, dict) else None
        if not isinstance(enabled, bool):
            return json_answer(400, {"errors": [{"message": "enabled must be a boolean"}]})
        form = await store.write_signing(
            self._pool, grant.tenant_id, (lambda endpoint: self._new_key(grant, endpoint)) if enabled else None
        )
        await self._tell(grant.tenant_id)
        return _signing_view(form)

    def _new_key(self, grant: Grant, endpoint: str) -> store.SealedKey:
        key = generate_private_key(SECP256R1())
        private = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        kid, sealed = seal(self._kek, private, f"webhook|{grant.tenant_id}|{endpoint}")  # as webhook-fanout opens it
        return store.SealedKey(kid, sealed, b64encode(public).decode())

    async def _tell(self, tenant_id: str) -> None:
        """Have what is cached of the tenant forgotten; without it, the change is seen within a minute."""
        try:
            await self._publisher.publish(CONTROL, "", encode(Flush(tenant_id)), mandatory=False)
        except (Unavailable, Refused, Unroutable) as away:
            log.warning("change_not_announced", why=str(away), tenant_id=tenant_id)


async def _json_of(call: Call) -> Json | Answer:
    try:
        value: Json = msgspec.json.decode(await call.body())
    except (BodyTooLarge, BodyUnreadable, TimeoutError, ValueError, RecursionError):
        return _UNREADABLE
    return value


def _signing_view(form: EndpointForm) -> Answer:
    return json_answer(200, {"public_key": form.public_key})
