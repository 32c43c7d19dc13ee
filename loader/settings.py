"""A laundromat's effective settings: the project's defaults under its registry's own values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from loader.errors import ConfigurationError
from loader.setting_rules import setting_problem

if TYPE_CHECKING:
    from loader.firestore.registry import Tenant
    from loader.project import Project

__all__ = ["campaign_types", "check_timezone", "effective_settings"]


def effective_settings(
    project: Project, tenant: Tenant, changes: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the dbt vars of a laundromat, but for ``as_of``.

    Args:
        project: Has the defaults.
        tenant: Has the laundromat's own values.
        changes: Values to use instead, of the command line.

    Raises:
        ConfigurationError: There is an unknown setting, one that does not take its value, or an
            unknown time zone.

    """
    variables = project.variables()
    defaults, rules = variables.pop("settings"), variables.pop("setting_rules")
    place = f"users/{tenant.cnpj}"
    places = {**dict.fromkeys(tenant.settings, place), **dict.fromkeys(changes or {}, "--set")}
    settings = {**defaults, **tenant.settings, **(changes or {})}
    for name in settings:
        if name not in defaults:
            message = f"{places[name]} has an unknown setting '{name}'"
            raise ConfigurationError(message, hint=f"known are {', '.join(sorted(defaults))}")
    for name, value in settings.items():
        expected = setting_problem(name, settings, defaults, rules)
        if expected:
            message = f"{places.get(name, place)} has {name}={value!r}"
            raise ConfigurationError(message, hint=f"it takes {expected}")
    timezone = tenant.timezone or variables["timezone"]
    check_timezone(timezone, place)
    enabled = [
        campaign_type
        for campaign_type in variables["enabled_campaigns"]
        if campaign_type not in tenant.disabled_campaigns
    ]
    return {
        **variables,
        **settings,
        "cnpj": tenant.cnpj,
        "timezone": timezone,
        "enabled_campaigns": enabled,
    }


def check_timezone(timezone: Any, place: str) -> None:
    """Raise a ConfigurationError unless a value is a known IANA name."""
    try:
        ZoneInfo(timezone)
    except (ValueError, TypeError, OSError, KeyError) as error:
        message = f"{place} has timezone={timezone!r}"
        raise ConfigurationError(
            message, hint="it takes an IANA name such as America/Manaus"
        ) from error


def campaign_types(project: Project) -> tuple[str, ...]:
    """Return the types of the project's campaigns, such as BIRTHDAY."""
    return tuple(name.upper() for name in project.variables()["campaigns"])
