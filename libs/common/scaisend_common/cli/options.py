"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Slug = Annotated[str, typer.Argument(help="Its short name: lower-case letters, digits, dashes.")]
TenantName = Annotated[str, typer.Argument(metavar="TENANT", help="Slug or id of the tenant.")]
DomainName = Annotated[str, typer.Argument(metavar="DOMAIN", help="The sender domain.")]
Name = Annotated[str, typer.Option("--name", help="A name for people; the slug where it is left out.")]
IfMissing = Annotated[bool, typer.Option("--if-missing", help="Succeed, and change nothing, where it exists already.")]
