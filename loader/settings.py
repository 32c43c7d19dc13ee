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

# Set by the run itself or by the project, never by a registry document.
_NOT_SETTINGS = frozenset({"cnpj", "as_of", "campaigns", "enabled_campaigns", "timezone"})


def effective_settings(project: Project, tenant: Tenant) -> dict[str, Any]:
    """Return the dbt vars of a laundromat, but for ``as_of``.

    Raises:
        ConfigurationError: The registry holds an unknown setting, one of another type than its
            default, or an unknown time zone.

    """
    defaults = project.default_settings()
    place = f"users/{tenant.cnpj}"
    for name, value in tenant.settings.items():
        if name not in defaults or name in _NOT_SETTINGS:
            known = ", ".join(sorted(set(defaults) - _NOT_SETTINGS))
            message = f"{place} has an unknown setting '{name}'"
            raise ConfigurationError(message, hint=f"known are {known}")
        expected = setting_problem(name, value, defaults[name])
        if expected:
            message = f"{place} has {name}={value!r}"
            raise ConfigurationError(message, hint=f"it takes {expected}")
    timezone = tenant.timezone or defaults["timezone"]
    check_timezone(timezone, place)
    settings = {**defaults, **tenant.settings}
    if settings["send_from_hour"] >= settings["send_until_hour"]:
        message = (
            f"{place} sends from hour {settings['send_from_hour']} "
            f"until hour {settings['send_until_hour']}"
        )
        raise ConfigurationError(message, hint="send_from_hour must come before send_until_hour")
    enabled = [
        campaign_type
        for campaign_type in defaults["enabled_campaigns"]
        if campaign_type not in tenant.disabled_campaigns
    ]
    return {
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
    return tuple(name.upper() for name in project.default_settings()["campaigns"])
