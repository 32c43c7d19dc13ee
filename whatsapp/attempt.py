"""One attempt, from the target as it is read to what became of it: design whatsapp.md §3.

The open attempt in the document is the lock: it is written before the POST, in one commit with
``sends/{attemptId}``, and no machine sends a target that has one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from loader.base.errors import ServiceError
from loader.base.persons import phone_key, same_person
from loader.firestore.aio import LostRaceError
from whatsapp.api import endpoint_of, message_body
from whatsapp.attempts import (
    Attempt,
    claim_fields,
    deferrals,
    result_fields,
    send_result,
    unknown_ending,
)
from whatsapp.error_classes import ErrorClass
from whatsapp.outcomes import (
    Accepted,
    Ending,
    NotSent,
    Refused,
    Unknown,
    ending,
    same_attempt_after,
)
from whatsapp.statuses import SENDING
from whatsapp.targets import WhyNot, is_late, why_not

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable, Mapping

    from whatsapp.accounts import Account
    from whatsapp.api import Endpoint
    from whatsapp.outcomes import Answer
    from whatsapp.ports import Books, SendApi, SendStore
    from whatsapp.targets import SendState, TargetState, Waiting

__all__ = ["Attempter", "Result", "Unrecorded"]

_COMMIT_TRIES = 6
_FIRST_PAUSE_SECONDS = 0.2
_OPPOSITE: Mapping[Endpoint, Endpoint] = {
    "messages": "marketing_messages",
    "marketing_messages": "messages",
}


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a target that was to be sent."""

    why_not: WhyNot | None = None
    """No attempt was begun, or it was ended before the POST."""
    answer: Answer | None = None
    ending: Ending | None = None
    category: str = ""


@dataclass(frozen=True, slots=True)
class Unrecorded:
    """What became of an attempt, while Firestore does not take it."""

    target: TargetState
    attempt: Attempt
    result: Accepted | Ending | Unknown
    suppression: dict[str, Any] | None = None
    send: SendState | None = None
    """The attempt's own document as it is known; None: it is read."""
    may_not_be: bool = False
    """Nobody knows whether the attempt was begun in the document."""


class Attempter:
    """Makes attempts."""

    def __init__(
        self,
        store: SendStore,
        api: SendApi,
        *,
        now: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]],
        rng: random.Random,
        new_id: Callable[[], str],
        phone_secret: bytes,
        deferred_codes: frozenset[str],
    ) -> None:
        """Use these; everything that chance or the clock decides is given in."""
        self._store, self._api = store, api
        self._now, self._sleep, self._rng, self._new_id = now, sleep, rng, new_id
        self._phone_secret = phone_secret
        self._deferred_codes = deferred_codes
        self.unrecorded: dict[str, Unrecorded] = {}
        """By attempt id; tried again with every poll."""

    async def make(self, waiting: Waiting, account: Account, category: str, books: Books) -> Result:
        """Send one target, if nothing speaks against it.

        Raises:
            ServiceError: Firestore does not answer; no message was posted.

        """
        target = await self._store.target(waiting.name)
        if target is None:
            return Result(WhyNot.GONE)
        reason = why_not(target, account, now=self._now())
        if reason is not None:
            return Result(reason)
        assert target.phone is not None
        if await self._store.is_suppressed(target):
            return Result(WhyNot.SUPPRESSED)
        # Before anything is begun: without a token nothing can be sent.
        await books.token(account)
        if books.forbids(account, target.template):
            return Result(WhyNot.PAUSED)
        person = phone_key(self._phone_secret, target.phone)
        reason = books.reserve(account, person, category)
        if reason is not None:
            return Result(reason)
        attempt = Attempt(
            self._new_id(), target.next_number, self._now(), person, account.portfolio_id, category
        )
        try:
            begun = await self._claim(target, attempt)
        except ServiceError:
            books.give_back(account, category)
            raise
        if begun is None:
            books.give_back(account, category)
            return Result(WhyNot.TAKEN)
        claimed, send = begun
        answer, reason = await self._post(claimed, attempt, account, category, books)
        ended = await self._ended(claimed, attempt, answer, send)
        return Result(reason, answer, ended, category)

    # The claim

    async def _claim(
        self, target: TargetState, attempt: Attempt
    ) -> tuple[TargetState, SendState | None] | None:
        """Begin the attempt; None: somebody else was faster."""
        is_doubtful = False
        for tries in range(1, _COMMIT_TRIES + 1):
            try:
                update_time, send = await self._store.claim(target, attempt)
            except LostRaceError:
                if not is_doubtful:
                    return None
            except ServiceError as error:
                if not error.is_transient:
                    raise
                is_doubtful = True
            else:
                log = tuple(claim_fields(target, attempt)["attemptLog"])
                return replace(target, update_time=update_time, log=log), send
            # It may have taken effect, or do so yet: then the same commit is refused.
            current = await self._reread(target, attempt)
            if current is None:
                return None
            if current.entry(attempt.attempt_id) is not None:
                return current, None
            if current.update_time != target.update_time:
                return None
            await self._pause(tries)
        self._keep_not_sent(target, attempt)
        message = "claiming a target: no commit was confirmed"
        raise ServiceError(message, is_transient=True)

    async def _reread(self, target: TargetState, attempt: Attempt) -> TargetState | None:
        try:
            return await self._store.target(target.name)
        except ServiceError:
            self._keep_not_sent(target, attempt)
            raise

    def _keep_not_sent(self, target: TargetState, attempt: Attempt) -> None:
        """Close the attempt later, should its claim have taken effect: nothing was posted."""
        self.unrecorded[attempt.attempt_id] = Unrecorded(
            target, attempt, self._not_sent(), may_not_be=True
        )

    # The POST

    async def _post(
        self,
        target: TargetState,
        attempt: Attempt,
        account: Account,
        category: str,
        books: Books,
    ) -> tuple[Answer, WhyNot | None]:
        """Post until the answer is the last, and return it; with a reason, nothing was posted."""
        assert target.phone is not None
        assert target.template is not None
        body = message_body(target.phone, target.template, attempt.callback_data(target.cnpj))
        endpoint = endpoint_of(category)
        answer: Answer = NotSent()
        tries = 0
        is_rerouted = False
        while True:
            try:
                token = await books.token(account)
                reason = await self._last_look(target, account, books)
            except ServiceError:
                return answer, WhyNot.PAUSED
            if reason is not None:
                return answer, reason
            answer = await self._api.send(account.phone_number_id, endpoint, body, token)
            tries += 1
            if _is_wrong_route(answer) and not is_rerouted:
                endpoint, is_rerouted = _OPPOSITE[endpoint], True
                continue
            seconds = same_attempt_after(answer, tries)
            if seconds is None:
                return answer, None
            books.refused(account, target.phone, answer, tries)
            await books.rest(seconds)

    async def _last_look(
        self, target: TargetState, account: Account, books: Books
    ) -> WhyNot | None:
        """Return what speaks against the POST at the last moment; None: it is posted at once."""
        assert target.phone is not None
        await books.turn(account, target.phone)
        if await self._store.is_suppressed(target):
            return WhyNot.SUPPRESSED
        # Nothing is waited for from here to the POST.
        if is_late(target, self._now()):
            return WhyNot.EXPIRED
        return WhyNot.PAUSED if books.forbids(account, target.template) else None

    # The result

    async def _ended(
        self, target: TargetState, attempt: Attempt, answer: Answer, send: SendState | None
    ) -> Ending | None:
        suppression = None
        result: Accepted | Ending | Unknown
        if isinstance(answer, Accepted | Unknown):
            result = answer
        else:
            result = ending(
                answer,
                now=self._now(),
                attempts=target.attempts,
                deferrals=deferrals(target, self._deferred_codes),
                rng=self._rng,
            )
            if isinstance(answer, Refused) and answer.error_class is ErrorClass.OPTED_OUT:
                suppression = self._suppression(target)
        unrecorded = Unrecorded(target, attempt, result, suppression, send)
        try:
            await self.record(unrecorded)
        except ServiceError:
            self.unrecorded[attempt.attempt_id] = unrecorded
        return result if isinstance(result, Ending) else None

    async def record(self, item: Unrecorded) -> None:
        """Write down what became of an attempt, whatever was written in between.

        Raises:
            ServiceError: Firestore does not take it; the attempt stays open.

        """
        target: TargetState | None = item.target
        send = item.send
        if send is None:
            target, send = await self._store.both(item.target, item.attempt)
        for tries in range(1, _COMMIT_TRIES + 1):
            fields = changed = suppression = None
            if item.suppression is not None:
                # Tracking and sync ask for what was written lately, and this may come hours later.
                suppression = item.suppression | {"updatedAt": self._now()}
            if target is not None and not isinstance(item.result, Unknown):
                fields = result_fields(target, item.attempt, item.result, now=self._now())
            if send is not None:
                changed = send_result(item.result, send.fields, now=self._now())
            try:
                await self._store.record(
                    target or item.target,
                    item.attempt,
                    fields=fields,
                    send=(send, changed) if send is not None and changed is not None else None,
                    suppression=suppression,
                )
            except LostRaceError:
                pass
            except ServiceError as error:
                if not error.is_transient or tries == _COMMIT_TRIES:
                    raise
                await self._pause(tries)
            else:
                return
            target, send = await self._store.both(item.target, item.attempt)
        message = "recording an attempt: the target changes all the time"
        raise ServiceError(message, is_transient=True)

    async def record_late(self) -> None:
        """Try again to write down what Firestore did not take."""
        for attempt_id, item in list(self.unrecorded.items()):
            try:
                current = await self._store.target(item.target.name)
                is_there = current is not None and current.entry(attempt_id) is not None
                if is_there or not item.may_not_be:
                    await self.record(replace(item, send=None))
            except ServiceError:
                return
            del self.unrecorded[attempt_id]

    async def give_up(self, name: str, before: datetime) -> bool:
        """End a target's open attempt that began before an instant, as failed for good.

        Returns:
            Whether there is one.

        Raises:
            ServiceError: Firestore does not take it; the attempt stays open.

        """
        target = await self._store.target(name)
        if target is None or not target.has_open_attempt:
            return False
        entry = target.log[-1]
        began, attempt_id = entry.get("at"), entry.get("attemptId")
        if entry.get("status") != SENDING or not isinstance(attempt_id, str):
            return False
        if not isinstance(began, datetime) or began > before:
            return False
        attempt = Attempt(attempt_id, int(entry.get("attempt") or 1), began, "", "")
        await self.record(Unrecorded(target, attempt, unknown_ending()))
        return True

    def _not_sent(self) -> Ending:
        return ending(NotSent(), now=self._now(), attempts=0, deferrals=0, rng=self._rng)

    def _suppression(self, target: TargetState) -> dict[str, Any]:
        assert target.phone is not None
        return {
            "keys": [f"customer:{target.customer_id}", f"phone:{same_person(target.phone)}"],
            "phone": target.phone,
            "customerId": target.customer_id,
            "source": "WHATSAPP_PREFERENCES",
            "optedOutAt": self._now(),
        }

    async def _pause(self, tries: int) -> None:
        longest = min(10.0, _FIRST_PAUSE_SECONDS * 2.0 ** (tries - 1))
        await self._sleep(self._rng.uniform(0, longest))


def _is_wrong_route(answer: Answer) -> bool:
    return isinstance(answer, Refused) and answer.error_class is ErrorClass.ROUTE
