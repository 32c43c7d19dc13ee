"""`vmhub templates`: compare the seed's texts with the templates WhatsApp has, and submit them."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from loader.base.cnpj import parse_cnpj
from loader.base.errors import ConfigurationError, ExitCode, ServiceError
from loader.bigquery.audit import AuditAction, AuditEntry
from loader.cli.options import JsonOption, open_services
from loader.cli.output import line_console, print_json
from loader.dbt.project import find_project
from whatsapp.compare import compare
from whatsapp.process import Connections, Seeds, connections
from whatsapp.templates import creation, read_listed, read_seed_templates

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from whatsapp.accounts import Account
    from whatsapp.templates import SeedTemplate

__all__ = ["templates_app"]

templates_app = typer.Typer(
    help="Compare WhatsApp's templates with seeds/message_templates.csv, and submit new ones.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

OneCnpjOption = Annotated[
    str | None, typer.Option("--cnpj", help="This laundromat's account only; default: all.")
]


@dataclass(frozen=True)
class TemplateLine:
    """One template of one account, and its state."""

    waba_id: str
    name: str
    language: str
    state: str
    """ok, missing, submitted, would be submitted, or what is wrong."""
    is_ok: bool


@templates_app.command("check")
def templates_check(cnpj: OneCnpjOption = None, *, as_json: JsonOption = False) -> None:
    """Compare each text of the seed with WhatsApp's template. Exit code 3 when something differs.

    Example: vmhub templates check
    """

    async def check(found: Connections, account: Account, token: str) -> list[TemplateLine]:
        return [
            TemplateLine(
                text.waba_id,
                text.name,
                text.language,
                "; ".join(text.differences) or "ok",
                is_ok=not text.differences,
            )
            for text in await compare(found, account, token, _seeds())
        ]

    _each_account(cnpj, check, as_json=as_json)


@templates_app.command("push")
def templates_push(
    cnpj: OneCnpjOption = None,
    *,
    yes: Annotated[
        bool, typer.Option("--yes", help="Submit them; without it, only show what would be.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Submit the templates that WhatsApp does not have; WhatsApp reviews them.

    An existing template is never changed: a new text needs a new name. Each submission is recorded
    in VMHUB_OPS.audit.

    Example: vmhub templates push --yes
    """
    audit = open_services().new_audit_log("vmhub templates push") if yes else None

    async def push(found: Connections, account: Account, token: str) -> list[TemplateLine]:
        listed = read_listed(await found.api.templates(account.waba_id, token))
        lines = []
        for key, seed in read_seed_templates(_seeds().templates).items():
            if key in listed:
                lines.append(_line(account, seed, "is there", is_ok=True))
            elif audit is None:
                lines.append(_line(account, seed, f"would be submitted: {seed.text}", is_ok=True))
            else:
                subject = f"template {seed.name} {seed.language} of account {account.waba_id}"
                audit.record([AuditEntry(AuditAction.CHANGE, subject, after={"text": seed.text})])
                try:
                    status = await found.api.create_template(account.waba_id, creation(seed), token)
                except ServiceError as error:
                    lines.append(_line(account, seed, error.message, is_ok=False))
                else:
                    lines.append(_line(account, seed, f"submitted, {status}", is_ok=True))
        return lines

    _each_account(cnpj, push, as_json=as_json)


def _each_account(
    cnpj: str | None,
    work: Callable[[Connections, Account, str], Awaitable[list[TemplateLine]]],
    *,
    as_json: bool,
) -> None:
    """Do something once for each WhatsApp account, even if laundromats share it."""
    services = open_services()
    classes = Seeds(services.project.root / "seeds").error_classes

    async def run() -> list[TemplateLine]:
        async with connections(services.environment, classes) as found:
            accounts, broken = await found.store.accounts(parse_cnpj(cnpj) if cnpj else None)
            if broken:
                raise ConfigurationError(next(iter(broken.values())))
            if not accounts:
                message = "no laundromat has an account of WhatsApp"
                hint = "docs/sending.md says how users/{cnpj}.whatsapp is filled in"
                raise ConfigurationError(message, hint=hint)
            lines = []
            for account in {item.waba_id: item for item in accounts.values()}.values():
                token = await found.secrets.get(account.token_secret)
                lines += await work(found, account, token)
            return lines

    lines = asyncio.run(run())
    if as_json:
        print_json({"templates": [asdict(line) for line in lines]})
    else:
        _show(lines)
    if not all(line.is_ok for line in lines):
        raise typer.Exit(ExitCode.PARTLY_FAILED)


def _seeds() -> Seeds:
    return Seeds(find_project().root / "seeds")


def _line(account: Account, seed: SeedTemplate, state: str, *, is_ok: bool) -> TemplateLine:
    return TemplateLine(account.waba_id, seed.name, seed.language, state, is_ok)


def _show(lines: list[TemplateLine]) -> None:
    console = line_console()
    for line in lines:
        console.print(f"{line.waba_id} {line.name} {line.language}: {line.state}", markup=False)
