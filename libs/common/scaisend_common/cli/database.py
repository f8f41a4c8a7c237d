"""`scaisend migrate`: bring the database to this release's schema, before any service runs."""

from __future__ import annotations

from scaisend_common.cli.output import finish, out
from scaisend_common.cli.settings import MigrateSettings
from scaisend_common.plumbing.settings import load
from scaisend_common.schema.migrate import migrate as run_migrations
from scaisend_common.schema.roles import SERVICES


def migrate() -> None:
    """Apply missing migrations, make partitions, set up the service roles. Idempotent.

    SCAISEND_DB_PASSWORD becomes the password of every service role, SCAISEND_DB_PASSWORD_API and its like that of one.
    """
    finish(_migrate(load(MigrateSettings)))


async def _migrate(settings: MigrateSettings) -> None:
    single = {f"scaisend_{service}": getattr(settings, f"db_password_{service}").get_secret_value() for service in SERVICES}
    done = await run_migrations(
        settings.postgres_dsn,
        role_password=settings.db_password.get_secret_value(),
        role_passwords={role: password for role, password in single.items() if password},
        report=out.note,
    )
    out.value(
        {"version": done.version, "applied": list(done.applied), "partitions": done.partitions}, said=f"schema is at version {done.version}"
    )
