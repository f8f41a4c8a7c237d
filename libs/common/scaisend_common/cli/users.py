"""`scaisend user`: people of a tenant."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer

from scaisend_common.cli import store
from scaisend_common.cli.names import email_of, tenant_named
from scaisend_common.cli.options import IfMissing, TenantName
from scaisend_common.cli.output import Refused, finish, out
from scaisend_common.cli.settings import DatabaseSettings
from scaisend_common.plumbing.postgres import administration
from scaisend_common.plumbing.settings import load

app = typer.Typer(help="People of a tenant.", no_args_is_help=True)

Email = Annotated[str, typer.Argument(metavar="EMAIL", help="Their e-mail address.")]
FullName = Annotated[str, typer.Option("--name", help="Their name.")]


@app.command()
def create(tenant: TenantName, email: Email, name: FullName = "", if_missing: IfMissing = False) -> None:
    """Add a user."""
    finish(_create(load(DatabaseSettings), tenant, email, name, if_missing=if_missing))


@app.command("list")
def list_(tenant: TenantName) -> None:
    """List a tenant's users."""
    finish(_list(load(DatabaseSettings), tenant))


async def _create(settings: DatabaseSettings, tenant: str, email: str, name: str, *, if_missing: bool) -> None:
    email = email_of(email)
    async with administration(settings.postgres_dsn) as connection:
        tenant_id = await tenant_named(connection, tenant)
        try:
            user_id: UUID | None = await store.insert_user(connection, tenant_id, email, name)
            created = True
        except store.Exists:
            if not if_missing:
                raise Refused(f"user {email} exists") from None
            user_id, created = await store.find_user(connection, tenant_id, email), False
    out.value({"id": str(user_id), "email": email, "created": created})


async def _list(settings: DatabaseSettings, tenant: str) -> None:
    async with administration(settings.postgres_dsn) as connection:
        out.rows(await store.list_users(connection, await tenant_named(connection, tenant)), ["email", "name", "id"])
