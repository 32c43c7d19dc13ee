"""`vmhub settings`: a laundromat's settings and where each value comes from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from loader.base.cnpj import parse_cnpj
from loader.cli.options import (
    CnpjOption,
    JsonOption,
    open_services,
)
from loader.cli.output import (
    line_console,
    print_result,
)

if TYPE_CHECKING:
    from loader.dbt.settings import SettingsReport

__all__ = ["settings_command", "show_settings"]


def settings_command(cnpj: CnpjOption, *, as_json: JsonOption = False) -> None:
    """List a laundromat's settings, each with its value and where the value comes from.

    Example: vmhub settings --cnpj 12ABC34501DE35
    """
    parsed = parse_cnpj(cnpj)
    from loader.dbt.settings import settings_report  # noqa: PLC0415

    services = open_services()
    report = settings_report(services.project, services.registry.entry(parsed))
    print_result(report, show_settings, as_json=as_json)


def show_settings(report: SettingsReport) -> None:
    """Print one setting a line: name, value as JSON, origin."""
    console = line_console()
    values = {
        setting.name: json.dumps(setting.value, ensure_ascii=False) for setting in report.settings
    }
    name_width = max(map(len, values))
    value_width = max(map(len, values.values()))
    for setting in report.settings:
        value = values[setting.name]
        console.print(
            f"{setting.name:<{name_width}}  {value:<{value_width}}  {setting.origin}", markup=False
        )
