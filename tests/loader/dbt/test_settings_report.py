"""`vmhub settings`: a laundromat's settings, and where each value comes from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from loader.base.errors import ConfigurationError, ExitCode
from loader.cli.app import app
from loader.cli.output import print_json
from loader.cli.settings import show_settings
from loader.dbt.settings import effective_settings, settings_report
from tests.support import ALPHANUMERIC_CNPJ, NUMERIC_CNPJ, official_client

if TYPE_CHECKING:
    from loader.base.cnpj import Cnpj
    from loader.services import Services

USER = f"users/{NUMERIC_CNPJ}"


def _register(
    services: Services, cnpj: Cnpj = NUMERIC_CNPJ, *, timezone: str | None = None, **settings: Any
) -> None:
    types = services.project.campaign_types()
    services.registry.register(cnpj, name="Lava Bem", timezone=timezone, campaign_types=types)
    official_client(services.environment).document("users", cnpj).update({"settings": settings})


def _set_campaign(services: Services, campaign_type: str, **fields: Any) -> None:
    client = official_client(services.environment)
    client.document(f"{USER}/campaigns/{campaign_type}").update(fields)


def test_everything_an_owner_can_set_is_listed_and_comes_from_the_project_at_first(
    services: Services,
) -> None:
    _register(services)
    report = settings_report(services.project, services.registry.entry(NUMERIC_CNPJ))
    variables = services.project.variables()
    assert [setting.name for setting in report.settings] == [
        "timezone",
        "enabled_campaigns",
        *variables["settings"],
    ]
    assert {setting.origin for setting in report.settings} == {"default"}
    assert {setting.name: setting.value for setting in report.settings}.items() >= (
        {"timezone": "America/Sao_Paulo", "loyalty_min_visits": 10, "max_attempts": 3}.items()
    )


def test_each_value_names_the_document_that_set_it(services: Services) -> None:
    _register(services, timezone="America/Manaus", max_attempts=2, loyalty_min_visits=8)
    _set_campaign(services, "LOYALTY", settings={"loyalty_min_visits": 6}, enabled=False)
    _set_campaign(services, "BIRTHDAY", enabled=False)
    report = settings_report(services.project, services.registry.entry(NUMERIC_CNPJ))
    own = {
        setting.name: (setting.value, setting.origin)
        for setting in report.settings
        if setting.origin != "default"
    }
    assert own == {
        "timezone": ("America/Manaus", USER),
        "enabled_campaigns": (
            ["WELCOME", "REACTIVATION"],
            f"{USER}/campaigns/BIRTHDAY, {USER}/campaigns/LOYALTY",
        ),
        "max_attempts": (2, USER),
        "loyalty_min_visits": (6, f"{USER}/campaigns/LOYALTY"),
    }


def test_a_value_that_equals_the_default_is_the_laundromats_own_all_the_same(
    services: Services,
) -> None:
    _register(services, max_attempts=3)
    [setting] = [
        item
        for item in settings_report(
            services.project, services.registry.entry(NUMERIC_CNPJ)
        ).settings
        if item.name == "max_attempts"
    ]
    assert (setting.value, setting.origin) == (3, USER)


@pytest.mark.parametrize(
    ("settings", "found", "fix"),
    [
        (
            {"loyalty_min_visits": 0},
            "has loyalty_min_visits=0",
            "it takes a whole number from 1 to 1000",
        ),
        ({"loyalty_visits": 9}, "has an unknown setting 'loyalty_visits'", "known are "),
        (
            {"send_until_hour": 8},
            "does not fit the default send_from_hour=9",
            "it takes less than send_until_hour, which is 8",
        ),
    ],
    ids=["out of range", "unknown", "below a default"],
)
def test_a_bad_setting_of_a_campaigns_document_is_named_with_that_document(
    services: Services, settings: dict[str, Any], found: str, fix: str
) -> None:
    _register(services, max_attempts=2)
    _set_campaign(services, "LOYALTY", settings=settings)
    with pytest.raises(ConfigurationError) as refused:
        settings_report(services.project, services.registry.entry(NUMERIC_CNPJ))
    assert refused.value.message == f"{USER}/campaigns/LOYALTY {found}"
    assert refused.value.hint.startswith(fix)


def test_a_bad_setting_of_one_laundromat_is_no_matter_of_another(services: Services) -> None:
    _register(services, max_attempts=0)
    _register(services, ALPHANUMERIC_CNPJ, max_attempts=4)
    entries, errors, _ = services.registry.fleet()
    assert errors == {}
    settings = {}
    for entry in entries:
        try:
            settings[entry.cnpj] = effective_settings(services.project, entry)["max_attempts"]
        except ConfigurationError as error:
            settings[entry.cnpj] = error.message
    assert settings == {NUMERIC_CNPJ: f"{USER} has max_attempts=0", ALPHANUMERIC_CNPJ: 4}


def test_settings_are_a_line_each_and_one_object_as_json(
    services: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    _register(services, reactivation_stage_days=[20, 40])
    report = settings_report(services.project, services.registry.entry(NUMERIC_CNPJ))
    show_settings(report)
    lines = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert len(cells) == len(report.settings)
    assert ["reactivation_stage_days", "[20, 40]", USER] in cells
    assert ["birthday_send_from_hour", "null", "default"] in cells
    print_json(report)
    content = json.loads(capsys.readouterr().out)
    assert list(content) == ["cnpj", "settings"]
    assert content["settings"][0] == {
        "name": "timezone",
        "value": "America/Sao_Paulo",
        "origin": "default",
    }


def test_the_command_prints_them_and_refuses_bad_ones(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    _register(services)
    for name, value in services.environment.variables().items():
        monkeypatch.setenv(name, value)
    arguments = ["settings", "--cnpj", NUMERIC_CNPJ, "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == ExitCode.OK
    assert json.loads(result.stdout)["cnpj"] == NUMERIC_CNPJ
    _set_campaign(services, "WELCOME", settings={"welcome_delay_days": -1})
    refused = CliRunner().invoke(app, arguments)
    assert isinstance(refused.exception, ConfigurationError)
    assert refused.exception.exit_code == ExitCode.CONFIGURATION
    assert refused.exception.message == f"{USER}/campaigns/WELCOME has welcome_delay_days=-1"
    assert refused.stdout == ""
