"""`vmhub settings`: what holds for a laundromat, and where each value comes from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from loader.cli import app
from loader.errors import ConfigurationError, ExitCode
from loader.settings import campaign_types, effective_settings
from loader.show import show_json
from loader.show_operations import show_settings
from tests.support import ALPHANUMERIC_CNPJ, NUMERIC_CNPJ, official_client

if TYPE_CHECKING:
    from loader.cnpj import Cnpj
    from loader.session import Session

USER = f"users/{NUMERIC_CNPJ}"


def _register(
    session: Session, cnpj: Cnpj = NUMERIC_CNPJ, *, timezone: str | None = None, **settings: Any
) -> None:
    types = campaign_types(session.project)
    session.registry.register(cnpj, name="Lava Bem", timezone=timezone, campaign_types=types)
    official_client(session.environment).document("users", cnpj).update({"settings": settings})


def _set_campaign(session: Session, campaign_type: str, **fields: Any) -> None:
    client = official_client(session.environment)
    client.document(f"{USER}/campaigns/{campaign_type}").update(fields)


def test_everything_an_owner_can_set_is_listed_and_comes_from_the_project_at_first(
    session: Session,
) -> None:
    _register(session)
    report = session.settings(NUMERIC_CNPJ)
    variables = session.project.variables()
    assert [setting.name for setting in report.settings] == [
        "timezone",
        "enabled_campaigns",
        *variables["settings"],
    ]
    assert {setting.origin for setting in report.settings} == {"default"}
    assert {setting.name: setting.value for setting in report.settings}.items() >= (
        {"timezone": "America/Sao_Paulo", "loyalty_min_visits": 10, "max_attempts": 3}.items()
    )


def test_each_value_names_the_document_that_set_it(session: Session) -> None:
    _register(session, timezone="America/Manaus", max_attempts=2, loyalty_min_visits=8)
    _set_campaign(session, "LOYALTY", settings={"loyalty_min_visits": 6}, enabled=False)
    _set_campaign(session, "BIRTHDAY", enabled=False)
    report = session.settings(NUMERIC_CNPJ)
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
    session: Session,
) -> None:
    _register(session, max_attempts=3)
    [setting] = [
        item for item in session.settings(NUMERIC_CNPJ).settings if item.name == "max_attempts"
    ]
    assert (setting.value, setting.origin) == (3, USER)


@pytest.mark.parametrize(
    ("settings", "found", "mend"),
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
    session: Session, settings: dict[str, Any], found: str, mend: str
) -> None:
    _register(session, max_attempts=2)
    _set_campaign(session, "LOYALTY", settings=settings)
    with pytest.raises(ConfigurationError) as refused:
        session.settings(NUMERIC_CNPJ)
    assert refused.value.message == f"{USER}/campaigns/LOYALTY {found}"
    assert refused.value.hint.startswith(mend)


def test_a_bad_setting_of_one_laundromat_is_no_matter_of_another(session: Session) -> None:
    _register(session, max_attempts=0)
    _register(session, ALPHANUMERIC_CNPJ, max_attempts=4)
    tenants, errors = session.registry.fleet()
    assert errors == {}
    settings = {}
    for tenant in tenants:
        try:
            settings[tenant.cnpj] = effective_settings(session.project, tenant)["max_attempts"]
        except ConfigurationError as error:
            settings[tenant.cnpj] = error.message
    assert settings == {NUMERIC_CNPJ: f"{USER} has max_attempts=0", ALPHANUMERIC_CNPJ: 4}


def test_settings_are_a_line_each_and_one_object_as_json(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    _register(session, reactivation_stage_days=[20, 40])
    report = session.settings(NUMERIC_CNPJ)
    show_settings(report)
    lines = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert len(cells) == len(report.settings)
    assert ["reactivation_stage_days", "[20, 40]", USER] in cells
    assert ["birthday_send_from_hour", "null", "default"] in cells
    show_json(report)
    content = json.loads(capsys.readouterr().out)
    assert list(content) == ["cnpj", "settings"]
    assert content["settings"][0] == {
        "name": "timezone",
        "value": "America/Sao_Paulo",
        "origin": "default",
    }


def test_the_command_prints_them_and_refuses_bad_ones(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    _register(session)
    for name, value in session.environment.variables().items():
        monkeypatch.setenv(name, value)
    arguments = ["settings", "--cnpj", NUMERIC_CNPJ, "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == ExitCode.OK
    assert json.loads(result.stdout)["cnpj"] == NUMERIC_CNPJ
    _set_campaign(session, "WELCOME", settings={"welcome_delay_days": -1})
    refused = CliRunner().invoke(app, arguments)
    assert isinstance(refused.exception, ConfigurationError)
    assert refused.exception.exit_code == ExitCode.CONFIGURATION
    assert refused.exception.message == f"{USER}/campaigns/WELCOME has welcome_delay_days=-1"
    assert refused.stdout == ""
