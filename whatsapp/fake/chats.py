"""The page of chats: the messages on each phone."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.resources import files
from itertools import groupby
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from datetime import datetime

    from starlette.requests import Request
    from starlette.responses import Response

    from whatsapp.fake.state import FakeState

__all__ = ["routes"]

_ZONE = ZoneInfo("America/Sao_Paulo")
_TICKS = {"sent": "✓", "delivered": "✓✓", "read": "✓✓", "failed": "não entregue"}
_PAGE = Environment(
    loader=PackageLoader("whatsapp.fake", "pages"), autoescape=True, undefined=StrictUndefined
)


@dataclass(frozen=True)
class _Bubble:
    """One message of a chat."""

    text: str
    at: datetime
    is_from_business: bool
    status: str = ""
    buttons: tuple[str, ...] = ()

    @property
    def time(self) -> str:
        return self.at.astimezone(_ZONE).strftime("%d/%m %H:%M")

    @property
    def ticks(self) -> str:
        return _TICKS.get(self.status, "")


@dataclass(frozen=True)
class _Chat:
    """All messages of one phone with one number."""

    phone: str
    business: str
    bubbles: list[_Bubble] = field(default_factory=list)


def routes() -> list[Route]:
    """Return the page and its stylesheet."""
    return [
        Route("/", _page, methods=["GET"]),
        Route("/chats.css", _stylesheet, methods=["GET"]),
    ]


def _chats(state: FakeState) -> list[_Chat]:
    """Return the chats by number and phone, each with its messages in order."""
    found: list[tuple[tuple[str, str], _Bubble]] = []
    for message in state.ledger.messages:
        # A later status may have been told before an earlier one.
        told = {event.status for event in message.events if event.at <= state.clock.now()}
        status = next((s for s in ("read", "delivered", "failed", "sent") if s in told), "")
        bubble = _Bubble(message.text, message.at, True, status, message.buttons)  # noqa: FBT003
        found.append(((message.number_id, message.to), bubble))
    for inbound in state.ledger.inbound:
        bubble = _Bubble(inbound.text, inbound.at, is_from_business=False)
        found.append(((inbound.number_id, inbound.sender), bubble))
    found.sort(key=lambda pair: (pair[0], pair[1].at))
    return [
        _Chat(
            phone=_shown(phone),
            business=_shown(state.numbers[number_id].display_phone_number),
            bubbles=[bubble for _, bubble in pairs],
        )
        for (number_id, phone), pairs in groupby(found, key=lambda pair: pair[0])
    ]


def _shown(digits: str) -> str:
    """Return a Brazilian number as people write it, any other with a plus sign."""
    if not digits.startswith("55") or len(digits) not in {12, 13}:
        return f"+{digits}"
    return f"+55 {digits[2:4]} {digits[4:-4]}-{digits[-4:]}"


async def _page(request: Request) -> Response:
    chats = _chats(request.app.state.fake)
    return HTMLResponse(_PAGE.get_template("chats.html.jinja").render(chats=chats))


async def _stylesheet(_: Request) -> Response:
    source = files("whatsapp.fake").joinpath("pages", "chats.css").read_text(encoding="utf-8")
    return HTMLResponse(source, media_type="text/css")
