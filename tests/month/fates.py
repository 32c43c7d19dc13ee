"""What becomes of each message at the month's WhatsApp: faults, receipts, answers, all by chance.

Chance follows from who is written to and what: a month is the same whenever it is played.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx2
import orjson

from tests.whatsapp.sending.connections import FakeTransport
from whatsapp.fake.config import Fault, FaultRule, Settings, StatusStep, WebhookSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from whatsapp.fake.ledger import Message
    from whatsapp.fake.state import FakeState

__all__ = ["FatefulTransport", "Posting", "hook_settings"]

_OUT_OF_ORDER = Fault(kind="error", code=131016)
# Of a thousand messages; each tuple is what its POSTs meet, one after the other.
_FATES: tuple[tuple[int, tuple[Fault, ...]], ...] = (
    (60, (_OUT_OF_ORDER,) * 4),
    (50, (_OUT_OF_ORDER,)),
    (40, (Fault(kind="error", code=131026),)),
    (30, (Fault(kind="error", code=131049),)),
    (10, (Fault(kind="error", code=131042),)),
    (25, (Fault(kind="gateway_error"),)),
    (20, (Fault(kind="accept_and_hang"),)),
    (20, (Fault(kind="accept_and_reset"),)),
    (20, (Fault(kind="accept_and_gateway_error"),)),
    (10, (Fault(kind="truncated"),)),
    (10, (Fault(kind="no_id"),)),
    (10, (Fault(kind="held"),)),
    (30, (Fault(kind="failed_later", code=131049),)),
    (15, (Fault(kind="failed_later", code=131026),)),
    (15, (Fault(kind="failed_later", code=131050),)),
    # The person has stopped marketing messages in the app.
    (20, (Fault(kind="error", code=131050),)),
)
_LOST_PERCENT, _DOUBLED_PERCENT = 4, 10


@dataclass(frozen=True)
class Posting:
    """One POST of an attempt, and what its caller could read of the answer."""

    at: datetime
    number_id: str
    to: str
    template: str
    first_name: str
    message_id: str | None = None
    """Accepted, and the caller knows it."""
    code: str | None = None
    """Refused. Without either, the caller cannot know what became of it."""


@dataclass
class _Fate:
    faults: list[Fault]
    settings: Settings
    rng: random.Random


class FatefulTransport(FakeTransport):
    """Carries the sender's POSTs to the fake, and decides what each of them meets."""

    def __init__(self, state: FakeState, now: Callable[[], datetime]) -> None:
        super().__init__(state, now)
        self.postings: defaultdict[str, list[Posting]] = defaultdict(list)
        """By callback data, the oldest first."""
        self.on_accepted: Callable[[Message, random.Random], None] = lambda _message, _rng: None
        self._fates: dict[str, _Fate] = {}
        self._count: defaultdict[tuple[str, str], int] = defaultdict(int)

    async def _sent(self, path: str, request: httpx2.Request) -> httpx2.Response:
        body = orjson.loads(await request.aread())
        if "template" not in body:
            # The answer to an opt-out.
            self.state.settings = _settings([], hook_settings())
            return await super()._sent(path, request)
        data, to, name = body["biz_opaque_callback_data"], body["to"], body["template"]["name"]
        if data not in self._fates:
            self._fates[data] = self._new_fate(to, name)
        fate = self._fates[data]
        # Others' messages may have been posted since this one's last POST.
        self.state.settings = fate.settings
        if fate.faults:
            rule = FaultRule(fault=fate.faults.pop(0), to=to.removeprefix("+"), times=1)
            self.state.faults.add(rule)
        known = len(self.state.ledger.messages)
        answer: httpx2.Response | None = None
        at = self._now()
        try:
            answer = await super()._sent(path, request)
        finally:
            parameters = body["template"]["components"][0]["parameters"]
            values = {item["parameter_name"]: item["text"] for item in parameters}
            told = {} if answer is None else _told(answer)
            number_id = path.split("/")[-2]
            posting = Posting(at, number_id, to, name, values["first_name"], **told)
            self.postings[data].append(posting)
            for message in self.state.ledger.messages[known:]:
                if message.callback_data == data:
                    self.on_accepted(message, fate.rng)
        return answer

    def _new_fate(self, to: str, template: str) -> _Fate:
        self._count[to, template] += 1
        rng = random.Random(f"{to} {template} {self._count[to, template]}")
        return _Fate(_faults(rng), _settings(_follow_up(rng), _spoilt(), rng), rng)


def _told(answer: httpx2.Response) -> dict[str, str]:
    """Return what somebody who trusts nothing but ids and codes can read."""
    try:
        body = answer.json()
    except ValueError:
        return {}
    if answer.status_code == httpx2.codes.OK:
        message_id = body["messages"][0].get("id")
        return {} if message_id is None else {"message_id": message_id}
    return {"code": str(body["error"]["code"])}


def _faults(rng: random.Random) -> list[Fault]:
    chance = rng.randrange(1000)
    for share, faults in _FATES:
        chance -= share
        if chance < 0:
            return list(faults)
    return []


def _follow_up(rng: random.Random) -> list[StatusStep]:
    """Return a message's receipts; some are never told, and many come out of order."""
    delivered = timedelta(minutes=rng.randrange(1, 300))
    if rng.random() < 0.1:
        delivered = timedelta(days=rng.randrange(2, 9))
    steps = [StatusStep(status="sent", after_seconds=rng.choice((0, 2, 600)))]
    if rng.random() < 0.85:
        steps.append(StatusStep(status="delivered", after_seconds=delivered.total_seconds()))
    if rng.random() < 0.6:
        read = delivered + timedelta(minutes=rng.randrange(1, 3000))
        steps.append(StatusStep(status="read", after_seconds=read.total_seconds()))
    return steps


def hook_settings() -> WebhookSettings:
    """Return how webhooks travel: batched, out of order, with signature."""
    return WebhookSettings(url="http://hook/webhook", batch_size=5, shuffles=True)


def _spoilt() -> WebhookSettings:
    changes: dict[str, Any] = {
        "drops_percent": _LOST_PERCENT,
        "doubles_percent": _DOUBLED_PERCENT,
    }
    return hook_settings().model_copy(update=changes)


def _settings(
    steps: list[StatusStep], webhooks: WebhookSettings, rng: random.Random | None = None
) -> Settings:
    echoes = rng is None or rng.random() < 0.9
    return Settings(
        review="APPROVED",
        marketing_callback_data="echoed" if echoes else "dropped",
        webhooks=webhooks.model_copy(update={"follow_up": steps}),
    )
