"""`scaisend key`: API keys. The text of a key is shown once, when it is made; the table holds its HMAC."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from scaisend_common.cli import store
from scaisend_common.cli.announce import announce
from scaisend_common.cli.names import scopes_of, tenant_named
from scaisend_common.cli.options import TenantName
from scaisend_common.cli.output import Refused, finish, out
from scaisend_common.cli.settings import DatabaseSettings, FlushSettings, KeySettings
from scaisend_common.plumbing.crypto import api_key_mac, new_api_key
from scaisend_common.plumbing.postgres import administration
from scaisend_common.plumbing.settings import load

app = typer.Typer(help="API keys.", no_args_is_help=True)


class StreamChoice(StrEnum):
    """Into which stream a key's mail always goes."""

    TRANSACTIONAL = "transactional"
    BULK = "bulk"


KeyName = Annotated[str, typer.Option("--name", help="A name for people.")]
Scopes = Annotated[str, typer.Option("--scopes", help="As mail.send,stats.read; full access where it is left out.")]
StreamOption = Annotated[StreamChoice | None, typer.Option("--stream", help="Decided per request where it is left out.")]
KeyId = Annotated[str, typer.Argument(metavar="KEY_ID", help="The 22 characters after `SG.`.")]


@app.command()
def create(tenant: TenantName, name: KeyName = "key", scopes: Scopes = "", stream: StreamOption = None) -> None:
    """Make a key and show it, this once."""
    finish(_create(load(KeySettings), tenant, name, scopes, stream))


@app.command("list")
def list_(tenant: TenantName) -> None:
    """List a tenant's keys."""
    finish(_list(load(DatabaseSettings), tenant))


@app.command()
def revoke(tenant: TenantName, key_id: KeyId) -> None:
    """Revoke a key; takes effect within 60 s."""
    finish(_revoke(load(FlushSettings), tenant, key_id))


async def _create(settings: KeySettings, tenant: str, name: str, scopes: str, stream: StreamChoice | None) -> None:
    granted = scopes_of(scopes)
    key = new_api_key()
    kid, pepper = settings.key_pepper.current
    async with administration(settings.postgres_dsn) as connection:
        tenant_id = await tenant_named(connection, tenant)
        await store.insert_key(connection, tenant_id, key.key_id, name, granted, api_key_mac(pepper, key.text), kid, stream)
    out.value({"api_key": key.text, "key_id": key.key_id, "name": name, "scopes": granted})


async def _list(settings: DatabaseSettings, tenant: str) -> None:
    async with administration(settings.postgres_dsn) as connection:
        keys = await store.list_keys(connection, await tenant_named(connection, tenant))
    out.rows(keys, ["key_id", "name", "scopes", "stream", "created_at", "revoked_at"])


async def _revoke(settings: FlushSettings, tenant: str, key_id: str) -> None:
    async with administration(settings.postgres_dsn) as connection:
        tenant_id = await tenant_named(connection, tenant)
        if not await store.revoke_key(connection, tenant_id, key_id):
            raise Refused(f"tenant {tenant} has no key {key_id} that could be revoked")
    announced = settings.amqp_url is not None and await announce(settings.amqp_url, tenant_id)
    out.value({"key_id": key_id, "revoked": True, "announced": announced})
