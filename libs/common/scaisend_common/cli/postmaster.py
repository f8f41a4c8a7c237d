"""`scaisend postmaster`: the mail that came to postmaster and abuse of the bounce server, for the operator to read."""

from __future__ import annotations

from typing import Annotated

import typer

from scaisend_common.cli import store
from scaisend_common.cli.output import Refused, finish, out
from scaisend_common.cli.settings import DatabaseSettings
from scaisend_common.plumbing.postgres import administration
from scaisend_common.plumbing.settings import load

app = typer.Typer(help="Mail to postmaster and abuse.", no_args_is_help=True)

Most = Annotated[int, typer.Option("--most", min=1, help="How many mails at most.")]
MailId = Annotated[int, typer.Argument(metavar="ID", help="The number that `list` shows.")]


@app.command("list")
def list_(most: Most = 50) -> None:
    """List the newest mails; they are kept for 30 days."""
    finish(_list(load(DatabaseSettings), most))


@app.command()
def show(mail_id: MailId) -> None:
    """Print a mail as it came."""
    finish(_show(load(DatabaseSettings), mail_id))


async def _list(settings: DatabaseSettings, most: int) -> None:
    async with administration(settings.postgres_dsn) as connection:
        out.rows(await store.list_role_mail(connection, most), ["id", "received_at", "peer", "octets"])


async def _show(settings: DatabaseSettings, mail_id: int) -> None:
    async with administration(settings.postgres_dsn) as connection:
        raw = await store.read_role_mail(connection, mail_id)
    if raw is None:
        raise Refused(f"no mail {mail_id}; `scaisend postmaster list` shows what there is")
    text = raw.decode("utf-8", "backslashreplace")
    out.value({"id": mail_id, "raw": text}, said=text)
