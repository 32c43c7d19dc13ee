"""Message templates: which may be created, and the text of a message made from one."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from whatsapp.fake.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Category", "FakeTemplate", "TemplateStatus", "create_template"]

Category = Literal["MARKETING", "UTILITY", "AUTHENTICATION"]
TemplateStatus = Literal["PENDING", "APPROVED", "REJECTED", "PAUSED", "DISABLED"]

_VARIABLE = re.compile(r"\{\{\s*([^{}]+?)\s*\}\}")
_LONGEST_BODY = 1024
_NAMED = re.compile(r"[a-z][a-z0-9_]*")
_TTL_SECONDS: Mapping[str, tuple[int, int]] = {
    # WA/templates/time-to-live
    "AUTHENTICATION": (30, 900),
    "UTILITY": (30, 43_200),
    "MARKETING": (43_200, 2_592_000),
}


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _NamedExample(_Model):
    param_name: str
    example: str


class _Example(_Model):
    body_text_named_params: list[_NamedExample] = []
    body_text: list[list[str]] = []


class _Button(_Model):
    type: Literal["QUICK_REPLY"]
    text: Annotated[str, StringConstraints(min_length=1, max_length=25)]


class _Component(_Model):
    type: Literal["HEADER", "BODY", "FOOTER", "BUTTONS"]
    format: Literal["TEXT"] | None = None
    text: str | None = None
    example: _Example | None = None
    buttons: list[_Button] = []


class _Creation(_Model):
    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,512}$")]
    language: Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(_[A-Z]{2})?$")]
    category: Category
    parameter_format: Literal["NAMED", "POSITIONAL"] = "POSITIONAL"
    components: Annotated[list[_Component], Field(min_length=1)]
    message_send_ttl_seconds: int | None = None
    allow_category_change: bool = False


@dataclass(frozen=True)
class FakeTemplate:
    """A template of one account, as the API lists it."""

    id: str
    waba_id: str
    name: str
    language: str
    category: Category
    status: TemplateStatus
    body: str
    buttons: tuple[str, ...]
    is_named: bool
    variables: tuple[str, ...]
    shown: Mapping[str, Any] = field(repr=False)
    """The rest of what the API lists: components, parameter_format, message_send_ttl_seconds."""

    def listed(self) -> dict[str, Any]:
        """Return its entry in ``GET message_templates``."""
        return {
            "name": self.name,
            "language": self.language,
            "status": self.status,
            "category": self.category,
            **self.shown,
            "id": self.id,
        }

    def rendered(self, values: Mapping[str, str]) -> str:
        """Return the text that a person reads."""
        return _VARIABLE.sub(lambda match: values[match[1]], self.body)


def create_template(waba_id: str, template_id: str, body: object) -> FakeTemplate:
    """Return the template that a request describes, with the status PENDING.

    Raises:
        ApiError: WhatsApp would not take it: 100 with the subcode of WA/support/error-codes,
            "template creation errors".

    """
    try:
        wanted = _Creation.model_validate(body)
    except ValidationError as error:
        raise _invalid(error) from error
    texts = [part for part in wanted.components if part.type == "BODY"]
    if len(texts) != 1 or not texts[0].text:
        raise _refusal(2388072, "Message body format is incorrect", "exactly one BODY with a text")
    text = texts[0].text
    is_named = wanted.parameter_format == "NAMED"
    variables = _variables(text, is_named=is_named)
    _check_lengths(wanted.components)
    _check_examples(texts[0].example or _Example(), variables, is_named=is_named)
    _check_ttl(wanted.category, wanted.message_send_ttl_seconds)
    shown = {"parameter_format": wanted.parameter_format} | wanted.model_dump(
        include={"components", "message_send_ttl_seconds"}, exclude_unset=True
    )
    return FakeTemplate(
        id=template_id,
        waba_id=waba_id,
        name=wanted.name,
        language=wanted.language,
        category=wanted.category,
        status="PENDING",
        body=text,
        buttons=tuple(button.text for part in wanted.components for button in part.buttons),
        is_named=is_named,
        variables=variables,
        shown=shown,
    )


def _edge_has_variable(text: str) -> bool:
    """Tell whether a text begins or ends with a variable, which WhatsApp refuses."""
    stripped = text.strip()
    return stripped.startswith("{{") or stripped.endswith("}}")


def _variables(text: str, *, is_named: bool) -> tuple[str, ...]:
    """Return the variables in the order of their first use in the text."""
    if _edge_has_variable(text):
        details = "Variables can't be at the start or end of the template."
        raise _refusal(2388299, "Leading or trailing params not allowed", details)
    found = tuple(dict.fromkeys(match[1] for match in _VARIABLE.finditer(text)))
    wanted = found if is_named else tuple(str(n) for n in range(1, len(found) + 1))
    if found != wanted or (is_named and not all(map(_NAMED.fullmatch, found))):
        details = f"Variables {list(found)} do not have the template's parameter_format."
        raise _refusal(2388072, "Message body format is incorrect", details)
    rest = _VARIABLE.sub("", text)
    if "{{" in rest or "}}" in rest:
        raise _refusal(2388072, "Message body format is incorrect", "A brace closes nothing.")
    return found


def _check_lengths(components: list[_Component]) -> None:
    """Refuse texts that are too long (WA/templates/components)."""
    longest = {"HEADER": 60, "BODY": _LONGEST_BODY, "FOOTER": 60}
    for part in components:
        limit = longest.get(part.type)
        if limit is not None and len(part.text or "") > limit:
            details = f"{part.type} has more than {limit} characters."
            raise _refusal(2388040, "Character limit exceeded", details)


def _check_examples(example: _Example, variables: tuple[str, ...], *, is_named: bool) -> None:
    """Refuse a body unless every variable has an example, which the review needs."""
    if is_named:
        complete = {item.param_name for item in example.body_text_named_params} == set(variables)
    else:
        rows = example.body_text or [[]]
        complete = all(len(row) == len(variables) for row in rows)
    if not complete:
        details = "The body needs one example for each of its variables, and no other."
        raise _refusal(2388043, "Message template is missing examples", details)


def _check_ttl(category: Category, seconds: int | None) -> None:
    lowest, highest = _TTL_SECONDS[category]
    is_default = seconds is None or (seconds == -1 and category != "MARKETING")
    if not is_default and not lowest <= (seconds or 0) <= highest:
        raise ApiError(
            100, f"message_send_ttl_seconds of {category} must be {lowest} to {highest}."
        )


def _refusal(subcode: int, title: str, details: str) -> ApiError:
    return ApiError(100, details, subcode=subcode, user_title=title)


def _invalid(error: ValidationError) -> ApiError:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return ApiError(100, f"Param {where}: {first['msg']}")
