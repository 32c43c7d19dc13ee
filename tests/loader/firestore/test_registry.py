"""The registry in Firestore: which laundromats are served, and with which settings."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loader.base.errors import ConfigurationError, ExitCode
from loader.dbt.project import Project
from loader.dbt.settings import effective_settings
from loader.firestore.client import connect
from loader.firestore.registry import Registry, RegistryEntry
from loader.messages import Watermark
from tests.support import ALPHANUMERIC_CNPJ, AS_OF, NUMERIC_CNPJ, official_client

if TYPE_CHECKING:
    from pathlib import Path

    from google.cloud import firestore

    from loader.base.environment import Environment

CAMPAIGNS = ("BIRTHDAY", "WELCOME", "REACTIVATION", "LOYALTY")


@pytest.fixture
def registry(environment: Environment) -> Registry:
    return Registry(connect(environment))


@pytest.fixture
def client(environment: Environment) -> firestore.Client:
    return official_client(environment)


def _register(registry: Registry, name: str = "Lava Bem", timezone: str | None = None) -> bool:
    return registry.register(NUMERIC_CNPJ, name=name, timezone=timezone, campaign_types=CAMPAIGNS)


# Registering


def test_a_new_laundromat_is_registered_with_all_its_campaigns(
    registry: Registry, client: firestore.Client
) -> None:
    assert _register(registry, timezone="America/Manaus")
    user = client.document("users", NUMERIC_CNPJ)
    assert user.get().to_dict() == {
        "name": "Lava Bem",
        "active": True,
        "timezone": "America/Manaus",
        "settings": {},
    }
    campaigns = {found.id: found.to_dict() for found in user.collection("campaigns").stream()}
    assert campaigns == {name: {"enabled": True, "settings": {}} for name in CAMPAIGNS}
    assert registry.entry(NUMERIC_CNPJ) == RegistryEntry(
        cnpj=NUMERIC_CNPJ,
        name="Lava Bem",
        timezone="America/Manaus",
        campaign_types=frozenset(CAMPAIGNS),
    )


def test_registering_again_keeps_settings_and_disabled_campaigns(
    registry: Registry, client: firestore.Client
) -> None:
    _register(registry, timezone="America/Manaus")
    user = client.document("users", NUMERIC_CNPJ)
    user.update({"settings": {"loyalty_min_visits": 8}, "owner": "Bia Exemplo"})
    loyalty = user.collection("campaigns").document("LOYALTY")
    loyalty.set({"enabled": False, "settings": {"max_attempts": 2}})
    assert not _register(registry, name="Lava Melhor")
    assert user.get().to_dict() == {
        "name": "Lava Melhor",
        "active": True,
        "timezone": "America/Manaus",
        "settings": {"loyalty_min_visits": 8},
        "owner": "Bia Exemplo",
    }
    assert loyalty.get().to_dict() == {"enabled": False, "settings": {"max_attempts": 2}}


def test_registering_again_can_move_a_laundromat_to_another_time_zone(registry: Registry) -> None:
    _register(registry, timezone="America/Manaus")
    _register(registry, timezone="America/Recife")
    assert registry.entry(NUMERIC_CNPJ).timezone == "America/Recife"


def test_registering_again_does_not_bring_an_inactive_laundromat_back(
    registry: Registry, client: firestore.Client
) -> None:
    _register(registry)
    client.document("users", NUMERIC_CNPJ).update({"active": False})
    _register(registry)
    with pytest.raises(ConfigurationError, match="not active"):
        registry.entry(NUMERIC_CNPJ)


def test_registering_again_completes_missing_campaigns(
    registry: Registry, client: firestore.Client
) -> None:
    _register(registry)
    welcome = client.document("users", NUMERIC_CNPJ, "campaigns", "WELCOME")
    welcome.delete()
    assert not _register(registry)
    assert welcome.get().to_dict() == {"enabled": True, "settings": {}}


def test_a_campaign_that_has_targets_but_no_document_of_its_own_is_completed(
    registry: Registry, client: firestore.Client
) -> None:
    welcome = client.document("users", NUMERIC_CNPJ, "campaigns", "WELCOME")
    welcome.collection("targets").document("c1").set({"status": "PENDING"})
    _register(registry)
    assert welcome.get().to_dict() == {"enabled": True, "settings": {}}


# Reading


def test_an_unknown_laundromat_is_refused_with_the_command_that_registers_it(
    registry: Registry,
) -> None:
    with pytest.raises(ConfigurationError, match="is not registered") as refused:
        registry.entry(NUMERIC_CNPJ)
    assert f"vmhub onboard --cnpj {NUMERIC_CNPJ}" in refused.value.hint
    assert refused.value.exit_code == ExitCode.CONFIGURATION


def test_one_laundromats_registration_says_nothing_about_another(registry: Registry) -> None:
    _register(registry)
    with pytest.raises(ConfigurationError, match=ALPHANUMERIC_CNPJ):
        registry.entry(ALPHANUMERIC_CNPJ)


def test_an_inactive_laundromat_is_refused(registry: Registry, client: firestore.Client) -> None:
    client.document("users", NUMERIC_CNPJ).set({"active": False})
    with pytest.raises(ConfigurationError, match="registered but not active") as refused:
        registry.entry(NUMERIC_CNPJ)
    assert f"users/{NUMERIC_CNPJ}.active" in refused.value.hint


def test_a_bare_document_is_an_active_laundromat_without_settings(
    registry: Registry, client: firestore.Client
) -> None:
    client.document("users", NUMERIC_CNPJ).set({})
    assert registry.entry(NUMERIC_CNPJ) == RegistryEntry(NUMERIC_CNPJ, "", None)


def test_a_campaigns_settings_override_the_laundromats(
    registry: Registry, client: firestore.Client
) -> None:
    user = client.document("users", NUMERIC_CNPJ)
    user.set({"settings": {"loyalty_min_visits": 8, "max_attempts": 2}})
    campaign = user.collection("campaigns").document("LOYALTY")
    campaign.set({"settings": {"loyalty_min_visits": 6}})
    tenant = registry.entry(NUMERIC_CNPJ)
    assert tenant.settings == {"loyalty_min_visits": 6, "max_attempts": 2}
    assert tenant.disabled_campaigns == frozenset()


def test_disabled_campaigns_and_campaigns_with_targets_only_are_known(
    registry: Registry, client: firestore.Client
) -> None:
    user = client.document("users", NUMERIC_CNPJ)
    user.set({"name": "Lava Bem"})
    campaigns = user.collection("campaigns")
    campaigns.document("LOYALTY").set({"enabled": False})
    campaigns.document("RETIRED").collection("targets").document("c1").set({"status": "PENDING"})
    tenant = registry.entry(NUMERIC_CNPJ)
    assert tenant.disabled_campaigns == {"LOYALTY"}
    assert tenant.campaign_types == {"LOYALTY", "RETIRED"}


@pytest.mark.parametrize("settings", ["text", 7, ["max_attempts", 2]], ids=repr)
def test_settings_that_are_no_map_are_refused_with_their_place(
    settings: Any, registry: Registry, client: firestore.Client
) -> None:
    client.document("users", NUMERIC_CNPJ).set({"settings": settings})
    with pytest.raises(ConfigurationError, match=f"users/{NUMERIC_CNPJ}"):
        registry.entry(NUMERIC_CNPJ)


# Effective settings

SETTINGS: dict[str, Any] = {
    "send_from_hour": 9,
    "send_until_hour": 20,
    "max_attempts": 3,
    "is_polite": True,
    "birthday_feb29": "FEB_28",
}
DEFAULTS: dict[str, Any] = {
    "cnpj": "00000000000000",
    "as_of": "",
    "timezone": "America/Sao_Paulo",
    "campaigns": ["birthday", "loyalty"],
    "enabled_campaigns": ["BIRTHDAY", "LOYALTY"],
    **SETTINGS,
}
RULES = [
    {"names": "send_from_hour", "least": 0, "most": 23, "less_than": "send_until_hour"},
    {"names": "send_until_hour", "least": 1, "most": 24},
    {"names": "max_attempts", "least": 1, "most": 10},
    {"names": ".*_feb29", "one_of": ["FEB_28", "MAR_01"], "takes": "FEB_28 or MAR_01"},
]


@pytest.fixture
def small_project(tmp_path: Path) -> Project:
    variables = {**DEFAULTS, "settings": SETTINGS, "setting_rules": RULES}
    (tmp_path / "dbt_project.yml").write_text(yaml.safe_dump({"vars": variables}), encoding="utf-8")
    return Project(tmp_path)


def _entry(**changes: Any) -> RegistryEntry:
    known: dict[str, Any] = {"name": "Lava Bem", "timezone": None, **changes}
    return RegistryEntry(cnpj=NUMERIC_CNPJ, **known)


def test_without_own_settings_the_projects_defaults_hold(small_project: Project) -> None:
    assert effective_settings(small_project, _entry()) == {**DEFAULTS, "cnpj": NUMERIC_CNPJ}
    assert small_project.campaign_types() == ("BIRTHDAY", "LOYALTY")


def test_own_settings_time_zone_and_disabled_campaigns_take_effect(small_project: Project) -> None:
    tenant = _entry(
        timezone="America/Manaus",
        settings={"max_attempts": 5, "is_polite": False},
        disabled_campaigns=frozenset({"LOYALTY", "RETIRED"}),
    )
    assert effective_settings(small_project, tenant) == {
        **DEFAULTS,
        "cnpj": NUMERIC_CNPJ,
        "timezone": "America/Manaus",
        "enabled_campaigns": ["BIRTHDAY"],
        "max_attempts": 5,
        "is_polite": False,
    }


@pytest.mark.parametrize(
    "name", ["max_atempts", "", "cnpj", "as_of", "campaigns", "enabled_campaigns", "timezone"]
)
def test_an_unknown_setting_is_refused_with_the_known_ones(
    name: str, small_project: Project
) -> None:
    with pytest.raises(ConfigurationError, match=f"unknown setting '{name}'") as refused:
        effective_settings(small_project, _entry(settings={name: DEFAULTS.get(name, 3)}))
    assert f"users/{NUMERIC_CNPJ}" in refused.value.message
    assert refused.value.hint == (
        "known are birthday_feb29, is_polite, max_attempts, send_from_hour, send_until_hour"
    )


def test_a_window_that_never_opens_is_refused(small_project: Project) -> None:
    with pytest.raises(ConfigurationError, match="send_from_hour=20") as refused:
        effective_settings(small_project, _entry(settings={"send_from_hour": 20}))
    assert refused.value.hint == "it takes less than send_until_hour, which is 20"


def test_the_place_of_a_refused_value_is_said(small_project: Project) -> None:
    tenant = _entry(settings={"max_attempts": 2})
    with pytest.raises(ConfigurationError, match=r"^--set has max_attempts=0"):
        effective_settings(small_project, tenant, {"max_attempts": 0})
    with pytest.raises(ConfigurationError, match=r"^--set has an unknown setting 'polite'"):
        effective_settings(small_project, tenant, {"polite": True})


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("max_attempts", "3", "a whole number from 1 to 10"),
        ("max_attempts", 3.0, "a whole number from 1 to 10"),
        ("max_attempts", True, "a whole number from 1 to 10"),
        ("max_attempts", None, "a value such as 3"),
        ("is_polite", 1, "a yes or no (true or false) such as True"),
        ("birthday_feb29", 28, "FEB_28 or MAR_01"),
    ],
)
def test_a_setting_of_another_type_is_refused_with_an_example(
    name: str, value: Any, wanted: str, small_project: Project
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        effective_settings(small_project, _entry(settings={name: value}))
    # A text is named by its kind: it may be somebody's name.
    said = {"'3'": "a text", "True": "true", "None": "empty"}.get(repr(value), value)
    assert refused.value.message == f"users/{NUMERIC_CNPJ} has {name}={said}"
    assert wanted in refused.value.hint


@pytest.mark.parametrize("timezone", ["America/Atlantis", "America", "../etc/passwd", "UTC\x00", 5])
def test_an_unknown_time_zone_is_refused_with_an_example(
    timezone: Any, small_project: Project
) -> None:
    with pytest.raises(ConfigurationError, match="timezone=") as refused:
        effective_settings(small_project, _entry(timezone=timezone))
    assert "America/Manaus" in refused.value.hint
    assert refused.value.exit_code == ExitCode.CONFIGURATION


def test_the_defaults_of_this_project_are_valid_settings(project: Project) -> None:
    settings = effective_settings(project, _entry())
    assert settings["enabled_campaigns"] == list(project.campaign_types())
    # Fields that describe the laundromat are not passed to dbt.
    assert not {"settings", "setting_rules"} & set(settings)
    own = {"max_attempts": settings["max_attempts"]}
    assert effective_settings(project, _entry(settings=own)) == settings


def test_a_cnpj_in_another_spelling_is_no_second_laundromat(
    registry: Registry, client: firestore.Client
) -> None:
    _register(registry)
    client.document("users", "11.222.333.0001-81").set({"name": "Lava Bem"})
    tenants, errors, _strangers = registry.fleet()
    assert [tenant.cnpj for tenant in tenants] == [NUMERIC_CNPJ]
    assert errors == {
        "11.222.333.0001-81": "users/11.222.333.0001-81 is CNPJ 11222333000181 in another "
        "spelling: its document is users/11222333000181"
    }


# What other programs write


@pytest.mark.parametrize("value", ["false", 0, "NÃO", {}, [], "true", 1], ids=repr)
def test_a_switch_that_is_no_boolean_is_an_error_of_its_laundromat(
    registry: Registry, client: firestore.Client, value: Any
) -> None:
    _register(registry)
    client.document("users", NUMERIC_CNPJ).update({"active": value})
    with pytest.raises(ConfigurationError, match="active is neither true nor false"):
        registry.entry(NUMERIC_CNPJ)
    assert registry.fleet().errors.keys() == {NUMERIC_CNPJ}
    client.document("users", NUMERIC_CNPJ).update({"active": True})
    client.document("users", NUMERIC_CNPJ, "campaigns", CAMPAIGNS[0]).update({"enabled": value})
    with pytest.raises(ConfigurationError, match="enabled is neither true nor false"):
        registry.entry(NUMERIC_CNPJ)


def test_a_setting_beside_the_map_is_an_error(registry: Registry, client: firestore.Client) -> None:
    _register(registry)
    client.document("users", NUMERIC_CNPJ).update({"`settings.loyalty_min_visits`": 8})
    with pytest.raises(ConfigurationError, match="a field whose name is 'settings"):
        registry.entry(NUMERIC_CNPJ)


@pytest.mark.parametrize(
    "value", ["text", 7, datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC), {"a": 1}]
)
def test_a_watermark_that_cannot_be_has_all_documents_read(
    registry: Registry, client: firestore.Client, value: Any
) -> None:
    _register(registry)
    client.document("users", NUMERIC_CNPJ).update({"trackedUntil": value, "trackedFullAt": value})
    assert registry.entry(NUMERIC_CNPJ).watermark == Watermark()


def test_a_watermark_ahead_of_the_run_is_not_believed() -> None:
    ahead = Watermark(until=AS_OF + timedelta(days=2))
    assert ahead.believed(AS_OF) == Watermark()
    assert ahead.believed(AS_OF + timedelta(days=1)) == ahead


def test_other_programs_documents_in_users_are_counted_and_harm_nobody(
    registry: Registry, client: firestore.Client
) -> None:
    _register(registry)
    for number in range(5):
        client.document("users", f"uid{number:025d}").set({"active": True})
    fleet = registry.fleet()
    assert [entry.cnpj for entry in fleet.entries] == [NUMERIC_CNPJ]
    assert (fleet.errors, fleet.strangers) == ({}, 5)


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8"), max_size=10)
    | st.datetimes(min_value=datetime(1, 1, 2), timezones=st.just(UTC)),  # noqa: DTZ001 - bounds
    lambda inner: st.dictionaries(st.text("abc", min_size=1, max_size=3), inner, max_size=2),
    max_leaves=4,
)
_USER_FIELDS = ("name", "active", "timezone", "settings", "trackedUntil", "trackedFullAt")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    user=st.dictionaries(st.sampled_from(_USER_FIELDS), _VALUES),
    campaign=st.dictionaries(st.sampled_from(["enabled", "settings"]), _VALUES),
)
def test_whatever_one_entry_holds_the_others_are_served(
    registry: Registry,
    client: firestore.Client,
    user: dict[str, Any],
    campaign: dict[str, Any],
) -> None:
    registry.register(ALPHANUMERIC_CNPJ, name="Other", timezone=None, campaign_types=CAMPAIGNS)
    client.document("users", NUMERIC_CNPJ).set(user)
    client.document("users", NUMERIC_CNPJ, "campaigns", CAMPAIGNS[0]).set(campaign)
    fleet = registry.fleet()
    assert ALPHANUMERIC_CNPJ in {entry.cnpj for entry in fleet.entries}
    assert fleet.strangers == 0
    with suppress(ConfigurationError):
        entry = registry.entry(NUMERIC_CNPJ)
        assert isinstance(entry.name, str)
        assert isinstance(entry.settings, dict)
