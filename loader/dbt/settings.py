"""A laundromat's effective settings: its registry values, and the project's defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from loader.base.errors import ConfigurationError
from loader.dbt.setting_rules import setting_problem, shown, upper_bound

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loader.base.cnpj import Cnpj
    from loader.dbt.project import Project
    from loader.firestore.registry import RegistryEntry

__all__ = [
    "EffectiveSetting",
    "SettingsReport",
    "check_timezone",
    "effective_settings",
    "settings_report",
]

_DEFAULT = "default"
"""Origin of a value that comes from dbt_project.yml."""


@dataclass(frozen=True)
class EffectiveSetting:
    """A setting's value and where it came from."""

    name: str
    value: Any
    origin: str
    """``default``, or the Firestore documents that set it."""


@dataclass(frozen=True)
class SettingsReport:
    """Every setting with its value for one laundromat."""

    cnpj: Cnpj
    settings: tuple[EffectiveSetting, ...]


def effective_settings(
    project: Project, entry: RegistryEntry, changes: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the dbt vars of a laundromat, without ``as_of``.

    Args:
        project: Has the defaults.
        entry: Has the laundromat's own values.
        changes: Values from the command line, which win.

    Raises:
        ConfigurationError: A setting or the time zone is unknown, or a setting's value is not
            allowed.

    """
    variables = project.variables()
    defaults, rules = variables.pop("settings"), variables.pop("setting_rules")
    place = f"users/{entry.cnpj}"
    places = {**_own_places(entry), **dict.fromkeys(changes or {}, "--set")}
    settings = {**defaults, **entry.settings, **(changes or {})}
    for name in settings:
        if name not in defaults:
            message = f"{places[name]} has an unknown setting '{name}'"
            raise ConfigurationError(message, hint=f"known are {', '.join(sorted(defaults))}")
    for name, value in settings.items():
        expected = setting_problem(name, settings, defaults, rules)
        if expected:
            if name in places:
                message = f"{places[name]} has {name}={shown(value)}"
            else:
                # The defaults fit each other, so somebody changed the setting that is the limit.
                bound = upper_bound(name, rules) or ""
                default = f"{name}={shown(value)}"
                message = f"{places.get(bound, place)} does not fit the default {default}"
            raise ConfigurationError(message, hint=f"it takes {expected}")
    timezone = entry.timezone or variables["timezone"]
    check_timezone(timezone, place)
    enabled = [
        campaign_type
        for campaign_type in variables["enabled_campaigns"]
        if campaign_type not in entry.disabled_campaigns
    ]
    return {
        **variables,
        **settings,
        "cnpj": entry.cnpj,
        "timezone": timezone,
        "enabled_campaigns": enabled,
    }


def settings_report(project: Project, entry: RegistryEntry) -> SettingsReport:
    """Return all settings of a laundromat, with effective value and origin.

    Args:
        project: Has the defaults.
        entry: Has the laundromat's own values.

    Raises:
        ConfigurationError: A stored value is wrong, as in `effective_settings`.

    """
    effective = effective_settings(project, entry)
    user = f"users/{entry.cnpj}"
    variables = project.variables()
    origins = _own_places(entry)
    if entry.timezone:
        origins["timezone"] = user
    disabled = entry.disabled_campaigns.intersection(variables["enabled_campaigns"])
    if disabled:
        origins["enabled_campaigns"] = ", ".join(
            f"{user}/campaigns/{campaign_type}" for campaign_type in sorted(disabled)
        )
    names = ("timezone", "enabled_campaigns", *variables["settings"])
    return SettingsReport(
        entry.cnpj,
        tuple(
            EffectiveSetting(name, effective[name], origins.get(name, _DEFAULT)) for name in names
        ),
    )


def check_timezone(timezone: Any, place: str) -> None:
    """Raise a ConfigurationError unless a value is a known IANA time zone."""
    try:
        ZoneInfo(timezone)
    except (ValueError, TypeError, OSError, KeyError) as error:
        message = f"{place} has timezone={shown(timezone)}"
        raise ConfigurationError(
            message, hint="it takes an IANA name such as America/Manaus"
        ) from error


def _own_places(entry: RegistryEntry) -> dict[str, str]:
    user = f"users/{entry.cnpj}"
    return {name: entry.setting_places.get(name, user) for name in entry.settings}
