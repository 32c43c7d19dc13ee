"""A laundromat's sending account: the ``whatsapp`` map of ``users/{cnpj}``, as one type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from loader.base.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DEFAULT_MAX_ATTEMPTS", "Account", "read_account"]

DEFAULT_MAX_ATTEMPTS = 3


class _Entry(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True
    )

    phone_number_id: Annotated[str, Field(min_length=1)]
    waba_id: Annotated[str, Field(min_length=1)]
    portfolio_id: Annotated[str, Field(min_length=1, pattern=r"^[^/]+$")]
    token_secret: Annotated[str, Field(min_length=1)]
    enabled: bool = False
    monthly_budget_brl: Annotated[float, Field(ge=0)] | None = None
    test_phones: frozenset[str] | None = None
    messages_per_second: Annotated[int, Field(ge=1, le=1000)] = 80
    keep_replies: bool = False


@dataclass(frozen=True, slots=True)
class Account:
    """The number, account and limits that a laundromat sends with."""

    cnpj: str
    phone_number_id: str
    waba_id: str
    portfolio_id: str
    token_secret: str
    """The secret's name; the token itself is not stored here."""
    is_enabled: bool = True
    monthly_budget_brl: float | None = None
    test_phones: frozenset[str] | None = None
    """During set-up: the only phones that get messages. None: all phones do."""
    messages_per_second: int = 80
    """80, or 20 for a number that is also in the WhatsApp Business app."""
    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    timezone: str = "America/Sao_Paulo"


def read_account(cnpj: str, user: Mapping[str, Any]) -> Account | None:
    """Return a laundromat's account; None if it is not active or has no ``whatsapp`` map.

    Args:
        cnpj: The laundromat.
        user: The fields of ``users/{cnpj}``.

    Raises:
        ConfigurationError: The map cannot be read; the message names the field.

    """
    raw = user.get("whatsapp")
    if raw is None or user.get("active") is False:
        return None
    try:
        entry = _Entry.model_validate(raw)
    except ValidationError as error:
        # The value stays out of the message: somebody may have put a token there.
        wrong = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in ("whatsapp", *wrong["loc"]))
        msg = f"users/{cnpj}.{where} cannot be read ({wrong['type']})"
        raise ConfigurationError(msg, hint="docs/sending.md lists its fields") from error
    settings = user.get("settings")
    own = settings.get("max_attempts") if isinstance(settings, dict) else None
    return Account(
        cnpj=cnpj,
        phone_number_id=entry.phone_number_id,
        waba_id=entry.waba_id,
        portfolio_id=entry.portfolio_id,
        token_secret=entry.token_secret,
        is_enabled=entry.enabled,
        monthly_budget_brl=entry.monthly_budget_brl,
        test_phones=entry.test_phones,
        messages_per_second=entry.messages_per_second,
        max_attempts=own if isinstance(own, int) and own > 0 else DEFAULT_MAX_ATTEMPTS,
        timezone=str(user.get("timezone") or "America/Sao_Paulo"),
    )
