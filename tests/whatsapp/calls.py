"""Calls to the fake, as a sender and as a test make them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

import httpx2

if TYPE_CHECKING:
    from types import TracebackType

NOW = datetime(2026, 11, 23, 13, 0, tzinfo=UTC)
NUMBER = "5001"
OTHER_NUMBER = "5002"
WABA = "3001"
TOKEN = "token-of-the-test"
ANA = "+5511990000001"
BIA = "+5511990000002"

ACCOUNTS = {
    "portfolios": [{"id": "1001", "people_in_24_hours": 250}],
    "wabas": [{"id": WABA, "portfolio_id": "1001"}, {"id": "3002", "portfolio_id": "1001"}],
    "numbers": [
        {"id": NUMBER, "waba_id": WABA, "display_phone_number": "551140000001"},
        {"id": OTHER_NUMBER, "waba_id": "3002", "display_phone_number": "551140000002"},
    ],
    "tokens": [{"token": TOKEN, "waba_ids": [WABA, "3002"]}],
}
BODY = "Oi, {{first_name}}! Já são {{visit_count}} visitas. Responda SAIR para parar."


def creation(**changes: Any) -> dict[str, Any]:
    """Return the request that creates the template of these tests."""
    return {
        "name": "vmhub_test_v1",
        "language": "pt_BR",
        "category": "MARKETING",
        "parameter_format": "NAMED",
        "message_send_ttl_seconds": 43_200,
        "components": [
            {
                "type": "BODY",
                "text": BODY,
                "example": {
                    "body_text_named_params": [
                        {"param_name": "first_name", "example": "Ana"},
                        {"param_name": "visit_count", "example": "10"},
                    ]
                },
            },
            {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "Parar promoções"}]},
        ],
    } | changes


def message(to: str = ANA, *, template: str = "vmhub_test_v1", **changes: Any) -> dict[str, Any]:
    """Return a request to send the template."""
    return {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": to,
        "type": "template",
        "template": {
            "name": template,
            "language": {"code": "pt_BR"},
            "components": [body_part(first_name="Ana", visit_count="10")],
        },
        "biz_opaque_callback_data": "v1.12ABC34501DE35.a1",
    } | changes


def body_part(**values: str) -> dict[str, Any]:
    return {
        "type": "body",
        "parameters": [
            {"type": "text", "parameter_name": name, "text": text} for name, text in values.items()
        ],
    }


class Fake:
    """Both sides of the fake: the API, and /_fake/."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx2.Client(base_url=url, trust_env=False, timeout=5)
        self.settings: dict[str, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.http.close()

    def api(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = TOKEN,
        timeout: float = 5,
    ) -> httpx2.Response:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return self.http.request(
            method, f"/v24.0/{path}", json=body, headers=headers, timeout=timeout
        )

    def send(
        self,
        body: object = None,
        *,
        number: str = NUMBER,
        endpoint: str = "marketing_messages",
        token: str | None = TOKEN,
        timeout: float = 5,
    ) -> httpx2.Response:
        whole = message() if body is None else body
        return self.api("POST", f"{number}/{endpoint}", whole, token=token, timeout=timeout)

    def error(self, answer: httpx2.Response) -> tuple[int, int]:
        """Return the HTTP status and the code of a refusal."""
        return answer.status_code, answer.json()["error"]["code"]

    def control(self, method: str, path: str, body: object = None) -> Any:
        answer = self.http.request(method, f"/_fake/{path}", json=body)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def set(self, **settings: Any) -> None:
        self.settings |= settings
        self.control("PUT", "settings", self.settings)

    def reset(self, at: datetime) -> None:
        self.settings = {}
        self.control("POST", "reset", {"at": at.isoformat(), "seed": 1})

    def approve_templates(self) -> None:
        self.set(review="APPROVED")
        for waba in (WABA, "3002"):
            made = self.api("POST", f"{waba}/message_templates", creation())
            assert made.json()["status"] == "APPROVED"
        utility = creation(
            name="vmhub_utility_v1", category="UTILITY", message_send_ttl_seconds=3600
        )
        self.api("POST", f"{WABA}/message_templates", utility).raise_for_status()

    def template_id(self) -> str:
        found = self.api("GET", f"{WABA}/message_templates?name=vmhub_test_v1").json()["data"]
        template_id: str = found[0]["id"]
        return template_id

    def ledger(self, query: str = "") -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.control("GET", f"ledger{query}")["messages"]
        return rows

    def happen(self, kind: str, **event: Any) -> None:
        self.control("POST", "events", {"kind": kind} | event)

    def advance(self, seconds: float) -> None:
        self.control("POST", "clock", {"advance_seconds": seconds})

    def waiting(self) -> int:
        """Return how many webhooks are to come or not answered yet."""
        return int(self.control("GET", "webhooks")["waiting"])

    def deliver(self) -> list[dict[str, Any]]:
        made: list[dict[str, Any]] = self.control("POST", "webhooks/deliver")["deliveries"]
        return made
