"""`scaisend partner`: resellers and platforms, which group tenants."""

from __future__ import annotations

from uuid import UUID

import typer

from scaisend_common.cli import store
from scaisend_common.cli.names import slug_of
from scaisend_common.cli.options import IfMissing, Name, Slug
from scaisend_common.cli.output import Refused, finish, out
from scaisend_common.cli.settings import DatabaseSettings
from scaisend_common.plumbing.postgres import administration
from scaisend_common.plumbing.settings import load

app = typer.Typer(help="Resellers and platforms, which group tenants.", no_args_is_help=True)


@app.command()
def create(slug: Slug, name: Name = "", if_missing: IfMissing = False) -> None:
    """Add a partner."""
    finish(_create(load(DatabaseSettings), slug, name, if_missing=if_missing))


@app.command("list")
def list_() -> None:
    """List the partners."""
    finish(_list(load(DatabaseSettings)))


async def _create(settings: DatabaseSettings, slug: str, name: str, *, if_missing: bool) -> None:
    slug = slug_of(slug)
    async with administration(settings.postgres_dsn) as connection:
        try:
            partner_id: UUID | None = await store.insert_partner(connection, slug, name or slug)
            created = True
        except store.Exists:
            if not if_missing:
                raise Refused(f"partner {slug!r} exists") from None
            partner_id, created = await store.find_partner(connection, slug), False
    out.value({"id": str(partner_id), "slug": slug, "created": created})


async def _list(settings: DatabaseSettings) -> None:
    async with administration(settings.postgres_dsn) as connection:
        out.rows(await store.list_partners(connection), ["slug", "name", "tenants", "id"])
