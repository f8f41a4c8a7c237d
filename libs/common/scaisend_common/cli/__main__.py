"""`scaisend`: the command line. `--json` anywhere on the line prints JSON; errors go to stderr.

Exit status: 0 done, 1 could not be done, 2 wrong usage or settings.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import structlog
import typer

from scaisend_common import __version__
from scaisend_common.cli import broker, database, domains, keys, parked, partners, postmaster, tenants, users
from scaisend_common.cli.output import out

commands = typer.Typer(
    name="scaisend", help="Operate a ScaiSend installation.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
commands.command()(database.migrate)
commands.command()(broker.declare)
commands.add_typer(partners.app, name="partner")
commands.add_typer(tenants.app, name="tenant")
commands.add_typer(users.app, name="user")
commands.add_typer(keys.app, name="key")
commands.add_typer(domains.app, name="domain")
commands.add_typer(parked.app, name="parked")
commands.add_typer(postmaster.app, name="postmaster")


def _show_version(wanted: bool) -> None:
    if wanted:
        out.value({"version": __version__}, said=f"scaisend {__version__}")
        raise typer.Exit


@commands.callback()
def options(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON (may stand anywhere on the line).")] = False,
    version: Annotated[bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)] = False,
) -> None:
    """Operate a ScaiSend installation."""


def run_command_line(arguments: Sequence[str]) -> NoReturn:
    """Run one command line, and exit with its status."""
    out.as_json = "--json" in arguments
    commands(args=[each for each in arguments if each != "--json"], prog_name="scaisend")
    raise SystemExit(0)


def app() -> NoReturn:
    """Run the process's command line. Warnings of the plumbing go to stderr: stdout holds the result alone."""
    logging.root.addHandler(logging.NullHandler())  # what libraries log of an error, the command says in one line
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING), logger_factory=structlog.PrintLoggerFactory(sys.stderr)
    )
    run_command_line(sys.argv[1:])


if __name__ == "__main__":
    app()
