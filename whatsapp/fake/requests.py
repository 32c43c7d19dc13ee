"""Reads a request to send, and checks it as strictly as the API does."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from whatsapp.fake.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from whatsapp.fake.templates import FakeTemplate

__all__ = ["Endpoint", "SendRequest", "checked_parameters", "read_request"]

Endpoint = Literal["messages", "marketing_messages"]

_SHARED = {"messaging_product", "recipient_type", "to", "type", "template"}
_KEYS: Mapping[Endpoint, set[str]] = {
    "messages": _SHARED | {"text", "context", "biz_opaque_callback_data"},
    "marketing_messages": _SHARED
    | {"product_policy", "message_activity_sharing", "biz_opaque_callback_data"},
}
_LONGEST_BODY = 1024
_LONGEST_TEXT = 4096
_LONGEST_CALLBACK_DATA = 512
_FORBIDDEN_WHITESPACE = re.compile(r"[\n\r\t]| {5,}")


@dataclass(frozen=True)
class SendRequest:
    """A well-formed request; its template is checked later."""

    to: str
    kind: Literal["template", "text"]
    callback_data: str | None
    template: str = ""
    language: str = ""
    components: tuple[Mapping[str, Any], ...] = ()
    text: str = ""


def read_request(endpoint: Endpoint, body: object) -> SendRequest:
    """Return what the body asks for.

    Raises:
        ApiError: 100 for what is missing or unknown, 131008 and 131009 for values.

    """
    raw = _object(body, "the request", _KEYS[endpoint])
    if raw.get("messaging_product") != "whatsapp":
        raise ApiError(100, "The parameter messaging_product is required and must be whatsapp.")
    if raw.get("recipient_type", "individual") != "individual":
        raise ApiError(131009, "recipient_type must be individual")
    kind = raw.get("type", "text")
    if endpoint == "marketing_messages":
        _check_marketing(raw)
    to = _string(raw, "to")
    data = raw.get("biz_opaque_callback_data")
    if data is not None and not (isinstance(data, str) and len(data) <= _LONGEST_CALLBACK_DATA):
        raise ApiError(100, "biz_opaque_callback_data must be a string of at most 512 characters.")
    if kind == "text":
        text = _object(raw.get("text"), "text", {"body", "preview_url"})
        words = _string(text, "body")
        if len(words) > _LONGEST_TEXT:
            raise ApiError(100, "Param text['body'] must be at most 4096 characters long.")
        return SendRequest(to, "text", data, text=words)
    if kind != "template":
        raise ApiError(131051, "This fake knows messages of the types template and text only")
    template = _object(raw.get("template"), "template", {"name", "language", "components"})
    language = _object(template.get("language"), "language", {"code", "policy"})
    components = template.get("components", [])
    if not isinstance(components, list):
        raise ApiError(100, "template['components'] must be an array.")
    return SendRequest(
        to,
        "template",
        data,
        template=_string(template, "name"),
        language=_string(language, "code"),
        components=tuple(
            _object(part, "component", {"type", "sub_type", "index", "parameters"})
            for part in components
        ),
    )


def checked_parameters(template: FakeTemplate, request: SendRequest) -> dict[str, str]:
    """Return the value of each variable.

    Raises:
        ApiError: The parameters are not those of the template, or the text becomes too long.

    """
    kinds = Counter(str(part.get("type", "")).lower() for part in request.components)
    unknown = kinds.keys() - {"body", "button"}
    if unknown:
        raise ApiError(132012, f"The template has no component {min(unknown)!r}")
    if kinds["body"] > 1:
        raise ApiError(132012, "The component body is there more than once")
    values = _body_values(template, request)
    for part in request.components:
        if str(part.get("type")).lower() == "button":
            _check_button(template, part)
    if len(template.rendered(values)) > _LONGEST_BODY:
        raise ApiError(132005, "Translated text too long")
    return values


def _body_values(template: FakeTemplate, request: SendRequest) -> dict[str, str]:
    bodies = [part for part in request.components if str(part.get("type")).lower() == "body"]
    given = bodies[0].get("parameters", []) if bodies else []
    if not isinstance(given, list):
        raise ApiError(100, "template['components']['parameters'] must be an array.")
    texts = [_parameter(template, parameter) for parameter in given]
    if len(texts) != len(template.variables):
        raise ApiError(
            132000,
            f"body: number of localizable_params ({len(texts)}) does not match the expected "
            f"number of params ({len(template.variables)})",
        )
    names = [name for name, _ in texts] if template.is_named else list(template.variables)
    if set(names) != set(template.variables):
        raise ApiError(132018, f"The template has no parameters {sorted(map(str, names))}")
    return {str(name): text for name, (_, text) in zip(names, texts, strict=True)}


def _parameter(template: FakeTemplate, parameter: object) -> tuple[str | None, str]:
    """Return the name, None in a positional template, and the text of one parameter."""
    raw = _object(parameter, "parameter", {"type", "parameter_name", "text"})
    if raw.get("type") != "text":
        raise ApiError(132012, "body: only parameters of the type text fit the template")
    name = raw.get("parameter_name")
    if template.is_named and not (isinstance(name, str) and name):
        raise ApiError(100, "Parameter name is missing or empty")
    if not template.is_named and name is not None:
        raise ApiError(100, "The template's parameters have no names")
    text = raw.get("text")
    if not isinstance(text, str) or not text:
        raise ApiError(131008, "Parameter of type text is missing text value")
    if _FORBIDDEN_WHITESPACE.search(text):
        details = "Param text cannot have new-line/tab characters or more than 4 consecutive spaces"
        raise ApiError(132018, details)
    return (name if template.is_named else None), text


def _check_button(template: FakeTemplate, part: Mapping[str, Any]) -> None:
    """Refuse a payload for a button that the template does not have."""
    index = str(part.get("index", ""))
    if part.get("sub_type") != "quick_reply" or index not in map(str, range(len(template.buttons))):
        raise ApiError(132012, f"The template has no quick_reply button {index!r}")


def _check_marketing(raw: Mapping[str, Any]) -> None:
    """Check the fields that only the marketing endpoint has (WA/marketing-messages/send)."""
    if raw.get("type") != "template":
        raise ApiError(100, "Message must be a template message.")
    if raw.get("product_policy", "STRICT") not in {"CLOUD_API_FALLBACK", "STRICT"}:
        raise ApiError(131009, "product_policy must be CLOUD_API_FALLBACK or STRICT")
    if not isinstance(raw.get("message_activity_sharing", False), bool):
        raise ApiError(131009, "message_activity_sharing must be true or false")


def _object(value: object, what: str, keys: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ApiError(100, f"{what} must be an object.")
    unknown = sorted(value.keys() - keys)
    if unknown:
        raise ApiError(100, f'Unexpected key "{unknown[0]}" on param "{what}"')
    return value


def _string(raw: Mapping[str, Any], key: str) -> str:
    value = raw.get(key)
    if value is None:
        raise ApiError(100, f"The parameter {key} is required.")
    if not isinstance(value, str) or not value:
        raise ApiError(131009, f"The parameter {key} must be a string that is not empty")
    return value
