"""Writes receipts to documents: read in batches, decide, commit; decide again after a lost race."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

from loader.base.errors import ServiceError
from loader.firestore.aio import LostRaceError, encoded_write
from loader.firestore.wire import SERVER_TIME
from whatsapp.error_classes import ErrorClass
from whatsapp.statuses import FAILED, is_forward
from whatsapp.targets import read_target
from whatsapp.webhook.optouts import of_refusal
from whatsapp.webhook.receipts import changes, told_send, told_target
from whatsapp.webhook.replies import replied_send, replied_target

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from datetime import datetime

    from whatsapp.webhook.items import Receipt
    from whatsapp.webhook.news import NewsDesk
    from whatsapp.webhook.receipts import ReceiptRules
    from whatsapp.webhook.replies import Told
    from whatsapp.webhook.store import Document, WebhookStore
    from whatsapp.webhook.suppressing import Suppressor

__all__ = ["Recorder"]

_IN_ONE_COMMIT = 100
_TRIES_TOGETHER = 3
_TRIES = 10
# The fields that receipts and answers change or need; the message itself is not read.
_TARGET_FIELDS = (
    "status",
    "cycleKey",
    "attempts",
    "attemptLog",
    "messageId",
    "lastError",
    "nextAttemptAt",
    "claimedUntil",
    "deliveredAt",
    "readAt",
    "repliedAt",
)
_LONGEST_PAUSE_SECONDS = 0.3
_ALONE_AT_A_TIME = 16

# From an attempt and its target as they are now to their new fields.
Decision = "Callable[[Document, Document | None], tuple[dict[str, Any], dict[str, Any] | None]]"


class Recorder:
    """Writes receipts and answers to ``sends`` and targets."""

    def __init__(
        self,
        store: WebhookStore,
        rules: ReceiptRules,
        suppressor: Suppressor,
        news: NewsDesk,
        *,
        now: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Use these."""
        self._store, self._rules = store, rules
        self._suppressor, self._news = suppressor, news
        self._now, self._sleep = now, sleep
        self._alone = asyncio.Semaphore(_ALONE_AT_A_TIME)

    async def receipts(self, matched: Sequence[tuple[Document, list[Receipt]]]) -> None:
        """Apply the receipts of attempts that were just read.

        Attempts are committed together, which costs a tenth. If somebody else keeps changing one of
        them, each is committed by itself.

        Raises:
            ServiceError: Firestore does not answer; some receipts may be applied, and all may be
                applied again.

        """
        for part in self._rounds(matched):
            for start in range(0, len(part), _IN_ONE_COMMIT):
                await self._together(part[start : start + _IN_ONE_COMMIT])

    async def reply(self, send: Document, told: Told) -> None:
        """Record that an attempt's message was answered."""

        def decide(
            send: Document, target: Document | None
        ) -> tuple[dict[str, Any], dict[str, Any] | None]:
            after = None
            if target is not None:
                after = replied_target(_state(target), target.fields, send.path[-1], told)
            return replied_send(send.fields, told), after

        await self._apart(send.name, decide)

    def _rounds(
        self, matched: Sequence[tuple[Document, list[Receipt]]]
    ) -> list[list[tuple[Document, list[Receipt]]]]:
        """Return the attempts in parts, each with one attempt of a target at most.

        Each attempt changes its target as it was read. Two of them in one commit would undo each
        other's news of the target, or be refused for ever.
        """
        rounds: list[list[tuple[Document, list[Receipt]]]] = []
        told: Counter[str] = Counter()
        for send, receipts in matched:
            target = self._target_name(send) or send.name
            if told[target] == len(rounds):
                rounds.append([])
            rounds[told[target]].append((send, receipts))
            told[target] += 1
        return rounds

    async def _together(self, matched: Sequence[tuple[Document, list[Receipt]]]) -> None:
        for _ in range(_TRIES_TOGETHER):
            writes: list[bytes] = []
            targets = await self._targets(send for send, _ in matched)
            for send, receipts in matched:
                await self._follow(send, receipts)
                target = targets.get(self._target_name(send) or "")
                writes += self._writes(send, target, self._decision(receipts))
            try:
                await self._store.commit(writes)
            except LostRaceError:
                await self._pause()
            else:
                return
            now = await self._store.get(send.name for send, _ in matched)
            # Attempts that were erased meanwhile are dropped.
            matched = [(now[send.name], receipts) for send, receipts in matched if send.name in now]
        await _all(self._apart(send.name, self._decision(receipts)) for send, receipts in matched)

    async def _targets(self, sends: Iterable[Document]) -> dict[str, Document]:
        names = [name for send in sends if (name := self._target_name(send)) is not None]
        return await self._store.get(names, _TARGET_FIELDS)

    async def _follow(self, send: Document, receipts: Iterable[Receipt]) -> None:
        """Write the suppression or news that a failure asks for.

        This comes before the receipt: once the receipt is written, it is no longer new.
        """
        for receipt in receipts:
            refused = self._rules.refused(receipt)
            if refused is None:
                continue
            if refused.error_class is ErrorClass.OPTED_OUT:
                customers = (
                    [str(send.fields["customerId"])] if send.fields.get("customerId") else []
                )
                opt_out = of_refusal(receipt, send.path[-1])
                await self._suppressor.suppress(send.path[1], opt_out, customers)
            elif is_forward(send.fields.get("status"), FAILED):
                await self._news.failed(send, receipt, refused)

    async def _apart(self, name: str, decide: Any) -> None:
        """Apply a decision to one attempt; try again while others change it."""
        async with self._alone:
            for _ in range(_TRIES):
                send = (await self._store.get([name])).get(name)
                if send is None:
                    # It was erased meanwhile.
                    return
                target = (await self._targets([send])).get(self._target_name(send) or "")
                try:
                    await self._store.commit(self._writes(send, target, decide))
                except LostRaceError:
                    await self._pause()
                else:
                    return
        message = "an attempt changes all the time"
        raise ServiceError(message, is_transient=True)

    def _decision(self, receipts: list[Receipt]) -> Any:
        def decide(
            send: Document, target: Document | None
        ) -> tuple[dict[str, Any], dict[str, Any] | None]:
            attempt_id = send.path[-1]
            said = send.fields
            for receipt in receipts:
                said = told_send(said, attempt_id, receipt, self._rules)
            if target is None or target.fields.get("cycleKey") != send.fields.get("cycleKey"):
                return said, None
            after = target.fields
            for receipt in receipts:
                state = read_target(target.name, target.update_time, after)
                after = told_target(state, after, attempt_id, receipt, self._rules, now=self._now())
            return said, after

        return decide

    def _writes(self, send: Document, target: Document | None, decide: Any) -> list[bytes]:
        said, after = decide(send, target)
        writes = []
        news = changes(send.fields, said)
        if news:
            fields = news | {"updatedAt": SERVER_TIME}
            writes.append(encoded_write(send.name, fields, update_time=send.update_time))
        if target is not None and after is not None:
            news = changes(target.fields, after)
            if news:
                fields = news | {"updatedAt": SERVER_TIME}
                writes.append(encoded_write(target.name, fields, update_time=target.update_time))
        return writes

    def _target_name(self, send: Document) -> str | None:
        campaign_type, customer_id = send.fields.get("campaignType"), send.fields.get("customerId")
        if not isinstance(campaign_type, str) or not isinstance(customer_id, str):
            return None
        path = ("users", send.path[1], "campaigns", campaign_type, "targets", customer_id)
        return self._store.path(*path)

    async def _pause(self) -> None:
        await self._sleep(random.uniform(0, _LONGEST_PAUSE_SECONDS))  # noqa: S311 - jitter


def _state(target: Document) -> Any:
    return read_target(target.name, target.update_time, target.fields)


async def _all(calls: Iterable[Awaitable[None]]) -> None:
    """Wait for all; then raise the first error, if any."""
    for result in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
