"""`scaisend tenant`: the units of isolation; suspending one stops its mail wherever it waits."""

from __future__ import annotations

from typing import Annotated

import typer

from scaisend_common.cli import store
from scaisend_common.cli.announce import announce
from scaisend_common.cli.names import slug_of, tenant_named
from scaisend_common.cli.options import IfMissing, Name, Slug, TenantName
from scaisend_common.cli.output import Refused, finish, out
from scaisend_common.cli.settings import DatabaseSettings, StopSettings
from scaisend_common.mail.suppression import SUSPENDED
from scaisend_common.plumbing.postgres import administration
from scaisend_common.plumbing.redis import RedisAway, connect
from scaisend_common.plumbing.settings import load
from scaisend_common.stops import tenant_stop

app = typer.Typer(help="Tenants: the units of isolation.", no_args_is_help=True)

Partner = Annotated[str, typer.Option("--partner", help="Slug or id of the partner that it belongs to.")]
AtMostOnce = Annotated[
    bool, typer.Option("--at-most-once", help="Do not repeat an attempt in doubt: rather lose a mail than send it twice.")
]


@app.command()
def create(slug: Slug, partner: Partner, name: Name = "", at_most_once: AtMostOnce = False, if_missing: IfMissing = False) -> None:
    """Add a tenant."""
    finish(_create(load(DatabaseSettings), slug, partner, name, at_most_once=at_most_once, if_missing=if_missing))


@app.command("list")
def list_() -> None:
    """List the tenants."""
    finish(_list(load(DatabaseSettings)))


@app.command()
def suspend(tenant: TenantName) -> None:
    """Refuse a tenant's requests and drop its mail that waits; takes effect within 60 s."""
    finish(_suspend(load(StopSettings), tenant))


@app.command()
def resume(tenant: TenantName) -> None:
    """Let a suspended tenant send again; what was dropped stays dropped."""
    finish(_resume(load(StopSettings), tenant))


async def _create(settings: DatabaseSettings, slug: str, partner: str, name: str, *, at_most_once: bool, if_missing: bool) -> None:
    slug = slug_of(slug)
    async with administration(settings.postgres_dsn) as connection:
        partner_id = await store.find_partner(connection, partner)
        if partner_id is None:
            raise Refused(f"no partner {partner!r}; `scaisend partner list` shows them")
        try:
            tenant_id = await store.insert_tenant(connection, partner_id, slug, name or slug, at_most_once=at_most_once)
            created = True
        except store.Exists:
            if not if_missing:
                raise Refused(f"tenant {slug!r} exists") from None
            tenant_id, created = await tenant_named(connection, slug), False
    out.value({"id": str(tenant_id), "slug": slug, "created": created})


async def _list(settings: DatabaseSettings) -> None:
    async with administration(settings.postgres_dsn) as connection:
        out.rows(await store.list_tenants(connection), ["slug", "name", "partner", "number", "state", "id"])


async def _suspend(settings: StopSettings, slug: str) -> None:
    """First the commit, then the stop in the ledger, then the caches: run again after a crash or an error, it repairs what is missing."""
    async with administration(settings.postgres_dsn) as connection:
        tenant_id = await tenant_named(connection, slug)
        changed = await store.set_tenant_state(connection, tenant_id, "suspended")
    try:
        async with connect(settings.ledger_url) as ledger:
            await ledger.set(tenant_stop(str(tenant_id)), SUSPENDED)
    except RedisAway as away:
        await announce(settings.amqp_url, tenant_id)
        raise Refused(f"new mail is refused, but the ledger is away, so mail that waits still goes out: run this again ({away})") from None
    announced = await announce(settings.amqp_url, tenant_id)
    out.value({"id": str(tenant_id), "state": "suspended", "changed": changed, "announced": announced})


async def _resume(settings: StopSettings, slug: str) -> None:
    """The stop goes first: in the other order the deliverer would drop what the API has just accepted."""
    async with administration(settings.postgres_dsn) as connection:
        tenant_id = await tenant_named(connection, slug)
        async with connect(settings.ledger_url) as ledger:
            await ledger.delete(tenant_stop(str(tenant_id)))
        changed = await store.set_tenant_state(connection, tenant_id, "active")
    announced = await announce(settings.amqp_url, tenant_id)
    out.value({"id": str(tenant_id), "state": "active", "changed": changed, "announced": announced})
