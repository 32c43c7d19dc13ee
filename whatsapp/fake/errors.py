"""The errors of the Cloud API: code, title, HTTP status, and their JSON.

Titles and statuses are those of WA/support/error-codes. The codes that this page does not list
(130403, 131030, 131061, 131063, 131064, 132008, 132018, 137000, 80008) have status 400.
"""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["ApiError", "ErrorText", "error_text", "webhook_error"]

_BAD_REQUEST = 400


class ErrorText(NamedTuple):
    """Title and HTTP status of a code."""

    title: str
    status: int = _BAD_REQUEST


_TEXTS: dict[int, ErrorText] = {
    0: ErrorText("AuthException", 401),
    1: ErrorText("API Unknown"),
    2: ErrorText("API Service", 503),
    3: ErrorText("API Method", 500),
    4: ErrorText("API Too Many Calls"),
    10: ErrorText("Permission Denied", 403),
    33: ErrorText("Parameter value is not valid"),
    100: ErrorText("Invalid parameter"),
    190: ErrorText("Access token has expired", 401),
    368: ErrorText("Temporarily blocked for policies violations", 403),
    80007: ErrorText("Rate limit issues"),
    80008: ErrorText("Rate limit issues"),
    130403: ErrorText("User cannot receive this message"),
    130429: ErrorText("Rate limit hit"),
    130472: ErrorText("User's number is part of an experiment"),
    130497: ErrorText("Business account is restricted from messaging this country", 403),
    131000: ErrorText("Something went wrong", 500),
    131005: ErrorText("Access denied", 403),
    131008: ErrorText("Required parameter is missing"),
    131009: ErrorText("Parameter value is not valid"),
    131016: ErrorText("Service unavailable", 500),
    131021: ErrorText("Recipient cannot be sender"),
    131026: ErrorText("Message undeliverable"),
    131030: ErrorText("Recipient phone number not in allowed list"),
    131031: ErrorText("Account has been locked", 403),
    131037: ErrorText("Display name needs approval"),
    131042: ErrorText("Business eligibility payment issue"),
    131045: ErrorText("Incorrect certificate", 500),
    131047: ErrorText("Re-engagement message"),
    131048: ErrorText("Spam rate limit hit"),
    131049: ErrorText("Meta chose not to deliver"),
    131050: ErrorText("User has stopped marketing messages"),
    131051: ErrorText("Unsupported message type"),
    131055: ErrorText("Method not allowed"),
    131056: ErrorText("(Business Account, Consumer Account) pair rate limit hit"),
    131057: ErrorText("Account in maintenance mode", 500),
    131061: ErrorText("Account restricted"),
    131062: ErrorText("Business-scoped user id not supported for this message"),
    131063: ErrorText("Wrong endpoint for the template's category"),
    131064: ErrorText("Account restricted"),
    132000: ErrorText("Number of parameters does not match the expected number of params"),
    132001: ErrorText("Template name does not exist in the translation", 404),
    132005: ErrorText("Translated text too long"),
    132007: ErrorText("Template format character policy violated"),
    132008: ErrorText("Template parameter format mismatch"),
    132012: ErrorText("Parameter format does not match format in the created template"),
    132015: ErrorText("Template is paused"),
    132016: ErrorText("Template is disabled"),
    132018: ErrorText("There is an issue with the parameters in your template"),
    133004: ErrorText("Server temporarily unavailable", 503),
    133010: ErrorText("Phone number not registered"),
    134011: ErrorText("WhatsApp Payments terms of service has not been accepted"),
    135000: ErrorText("Generic user error"),
    137000: ErrorText("Account restricted"),
}
_PERMISSION = range(200, 300)


def error_text(code: int) -> ErrorText:
    """Return title and status of a code; an unknown code has the title "Unknown error"."""
    if code in _PERMISSION:
        return ErrorText("API Permission", 403)
    return _TEXTS.get(code, ErrorText("Unknown error"))


class ApiError(Exception):
    """A request that the API refuses."""

    def __init__(
        self,
        code: int,
        details: str = "",
        *,
        subcode: int | None = None,
        user_title: str | None = None,
    ) -> None:
        """Remember the code, and what the answer says about it.

        Args:
            code: WhatsApp's error code.
            details: What is wrong, for ``error_data.details``.
            subcode: Only for refused templates (code 100).
            user_title: A title for people; only for refused templates.

        """
        super().__init__(f"{code} {details}")
        self.code = code
        self.details = details or error_text(code).title
        self.subcode = subcode
        self.user_title = user_title

    @property
    def status(self) -> int:
        """The HTTP status that the API answers with."""
        return error_text(self.code).status

    def body(self, trace_id: str) -> dict[str, Any]:
        """Return the JSON of the answer (WA/support/error-codes, "Error response syntax")."""
        error: dict[str, Any] = {
            "message": f"(#{self.code}) {error_text(self.code).title}",
            "type": "OAuthException",
            "code": self.code,
            "error_data": {"messaging_product": "whatsapp", "details": self.details},
            "fbtrace_id": trace_id,
        }
        if self.subcode is not None:
            error |= {
                "error_subcode": self.subcode,
                "is_transient": False,
                "error_user_title": self.user_title,
                "error_user_msg": self.details,
            }
        return {"error": error}


def webhook_error(code: int) -> dict[str, Any]:
    """Return an item of ``errors`` in a failed status (WA/webhooks/reference/messages/status)."""
    title = error_text(code).title
    return {
        "code": code,
        "title": title,
        "message": title,
        "error_data": {"details": title},
        "href": "/documentation/business-messaging/whatsapp/support/error-codes",
    }
