"""`scaisend domain`: the domains that a tenant may put into From, their DKIM keys and DNS records."""

from __future__ import annotations

import secrets
from typing import Annotated
from uuid import UUID

import typer

from scaisend_common.cli import store
from scaisend_common.cli.announce import announce
from scaisend_common.cli.names import domain_of, selector_of, tenant_named
from scaisend_common.cli.options import DomainName, IfMissing, TenantName
from scaisend_common.cli.output import Refused, finish, out
from scaisend_common.cli.records import Record, SenderDomain, challenge_record, dkim_record, has_challenge, has_dkim_key, records_of
from scaisend_common.cli.settings import DatabaseSettings, DnsSettings, DomainSettings, FlushSettings
from scaisend_common.mail.binding import dkim_binding
from scaisend_common.plumbing.crypto import new_dkim_key, seal
from scaisend_common.plumbing.dns import DnsFailed, Resolver, Texts
from scaisend_common.plumbing.postgres import Connection, administration
from scaisend_common.plumbing.settings import load

app = typer.Typer(help="Sender domains.", no_args_is_help=True)

Selector = Annotated[str, typer.Option("--selector", help="DKIM selector of the key that is made.")]
ReturnPathHost = Annotated[
    str, typer.Option("--return-path-host", help="Host of the bounce addresses; bounces.DOMAIN where it is left out.")
]
Force = Annotated[bool, typer.Option("--force", help="Believe it without looking (development only).")]


@app.command()
def create(
    tenant: TenantName, domain: DomainName, selector: Selector = "s1", return_path_host: ReturnPathHost = "", if_missing: IfMissing = False
) -> None:
    """Add a domain and make its DKIM key."""
    finish(_create(load(DomainSettings), tenant, domain, selector, return_path_host, if_missing=if_missing))


@app.command("list")
def list_(tenant: TenantName) -> None:
    """List a tenant's domains."""
    finish(_list(load(DatabaseSettings), tenant))


@app.command()
def dns(tenant: TenantName, domain: DomainName) -> None:
    """Show the records that the domain has to publish, as lines of a zone file."""
    finish(_dns(load(DnsSettings), tenant, domain))


@app.command()
def verify(tenant: TenantName, domain: DomainName, force: Force = False) -> None:
    """Look the challenge and the DKIM keys up; from then on the tenant may send from the domain."""
    finish(_verify(load(DnsSettings), load(FlushSettings), tenant, domain, force=force))


async def _create(settings: DomainSettings, tenant: str, domain: str, selector: str, return_path_host: str, *, if_missing: bool) -> None:
    domain, selector = domain_of(domain), selector_of(selector)
    host = domain_of(return_path_host or f"bounces.{domain}")
    async with administration(settings.postgres_dsn) as connection:
        tenant_id = await tenant_named(connection, tenant)
        created = await store.read_domain(connection, tenant_id, domain) is None
        if created:
            private_key, public_key = new_dkim_key()
            kid, sealed = seal(settings.kek, private_key, dkim_binding(str(tenant_id), domain, selector))
            new = store.NewDomain(domain, secrets.token_urlsafe(24), host, selector, sealed, kid, public_key)
            try:
                await store.insert_domain(connection, tenant_id, new)
            except store.Exists:  # another run was faster
                created = False
        if not created and not if_missing:
            raise Refused(f"tenant {tenant} has the domain {domain} already")
    out.value({"domain": domain, "created": created, "next": f"scaisend domain dns {tenant} {domain}"})


async def _list(settings: DatabaseSettings, tenant: str) -> None:
    async with administration(settings.postgres_dsn) as connection:
        domains = await store.list_domains(connection, await tenant_named(connection, tenant))
    out.rows(domains, ["domain", "return_path_host", "verified_at", "created_at"])


async def _dns(settings: DnsSettings, tenant: str, domain: str) -> None:
    async with administration(settings.postgres_dsn) as connection:
        found = await _domain_named(connection, await tenant_named(connection, tenant), domain)
    records = records_of(found, inbound_name=settings.inbound_name, spf=settings.spf)
    if out.as_json:
        out.rows([{"type": r.kind, "name": r.name, "value": r.value, "why": r.why, "required": r.required} for r in records], [])
        return
    for record in records:
        out.line(f"; {record.why}")
        out.line(record.zone_line())


async def _verify(settings: DnsSettings, flush: FlushSettings, tenant: str, domain: str, *, force: bool) -> None:
    if force and settings.env != "development":
        raise Refused("--force is for development: SCAISEND_ENV is not development")
    async with administration(settings.postgres_dsn) as connection:
        tenant_id = await tenant_named(connection, tenant)
        found = await _domain_named(connection, tenant_id, domain)
        if not force and (missing := await _missing(Resolver(settings.dns), found)):
            raise Refused("not published, or not seen yet:\n" + "\n".join(f"  {each}" for each in missing))
        try:
            await store.mark_verified(connection, tenant_id, found.domain)
        except store.Exists:
            raise Refused(f"another tenant sends from {found.domain} already") from None
    announced = flush.amqp_url is not None and await announce(flush.amqp_url, tenant_id)
    out.value({"domain": found.domain, "verified": True, "was_verified": found.is_verified, "announced": announced})


async def _missing(resolver: Resolver, domain: SenderDomain) -> list[str]:
    """Look the required records up; return a line for each that is not there."""
    wanted: list[tuple[Record, bool]] = []
    challenge = challenge_record(domain)
    wanted.append((challenge, has_challenge(domain, await _texts(resolver, challenge.name))))
    for key in domain.dkim:
        record = dkim_record(domain, key)
        wanted.append((record, has_dkim_key(key, await _texts(resolver, record.name))))
    return [record.zone_line() for record, is_there in wanted if not is_there]


async def _texts(resolver: Resolver, name: str) -> tuple[str, ...]:
    match await resolver.txt(name):
        case Texts(texts):
            return texts
        case DnsFailed(why):
            raise Refused(f"could not look up {name}: {why}")


async def _domain_named(connection: Connection, tenant_id: UUID, domain: str) -> SenderDomain:
    found = await store.read_domain(connection, tenant_id, domain_of(domain))
    if found is None:
        raise Refused(f"the tenant has no domain {domain}; `scaisend domain list` shows them")
    return found
