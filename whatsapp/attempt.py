"""One attempt, from reading the target to recording the result; docs/sending.md.

The open attempt in the document is the lock: it is written before the POST, in one commit with
``sends/{attemptId}``. No machine sends a target that has an open attempt.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from loader.base.errors import ServiceError
from loader.base.persons import phone_key, same_person
from loader.firestore.aio import LostRaceError
from loader.firestore.wire import SERVER_TIME
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
    """The result for one target."""

    why_not: WhyNot | None = None
    """Why nothing was sent: no attempt began, or it ended before the POST."""
    answer: Answer | None = None
    ending: Ending | None = None
    category: str = ""


@dataclass(frozen=True, slots=True)
class Unrecorded:
    """The result of an attempt that Firestore has not accepted yet."""

    target: TargetState
    attempt: Attempt
    result: Accepted | Ending | Unknown
    suppression: dict[str, Any] | None = None
    send: SendState | None = None
    """The attempt's own document, if it is known; None: it must be read first."""
    may_not_be: bool = False
    """True: it is not known whether the claim was written."""


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
        """Use these; the clock and all randomness are passed in."""
        self._store, self._api = store, api
        self._now, self._sleep, self._rng, self._new_id = now, sleep, rng, new_id
        self._phone_secret = phone_secret
        self._deferred_codes = deferred_codes
        self.unrecorded: dict[str, Unrecorded] = {}
        """By attempt id; written again at every poll."""

    async def make(self, waiting: Waiting, account: Account, category: str, books: Books) -> Result:
        """Send one target, unless there is a reason not to.

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
        # Before the attempt begins: without a token nothing can be sent.
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
            # The commit may have been written, or may still be. If so, the update time changes, and
            # the same commit is refused.
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
        """Close the attempt later, if its claim was written: nothing was posted."""
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
        """Post until the answer is final, and return it; with a reason: why posting stopped."""
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
        """Return a reason not to post, checked at the last moment; None: post at once."""
        assert target.phone is not None
        await books.turn(account, target.phone)
        if await self._store.is_suppressed(target):
            return WhyNot.SUPPRESSED
        # No await between these checks and the POST.
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
        """Record the result of an attempt, even if others have written the documents meanwhile.

        Raises:
            ServiceError: Firestore does not accept it; the attempt stays open.

        """
        target: TargetState | None = item.target
        send = item.send
        if send is None:
            target, send = await self._store.both(item.target, item.attempt)
        for tries in range(1, _COMMIT_TRIES + 1):
            fields = changed = suppression = None
            if item.suppression is not None:
                # Tracking and sync ask for recently written documents, and this write may be hours
                # later than the attempt.
                suppression = item.suppression | {"updatedAt": SERVER_TIME}
            if target is not None and not isinstance(item.result, Unknown):
                fields = result_fields(target, item.attempt, item.result)
            if send is not None:
                changed = send_result(item.result, send.fields)
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
        """Try again to record the results that Firestore did not accept."""
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
        """End a target's open attempt as failed for good, if it began before an instant.

        Returns:
            Whether there was such an attempt.

        Raises:
            ServiceError: Firestore does not accept it; the attempt stays open.

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
