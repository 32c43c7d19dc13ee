"""The sender's part of Firestore: waiting targets, claims, results, suppressions, accounts.

Reads are retried. A commit is not: after a lost answer, `whatsapp.attempt` reads the documents to
see whether it was written.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TYPE_CHECKING, Any, TypeVar

from google.cloud.firestore_v1.types import RunQueryRequest

from loader.base.erasures import ERASURES, key_among, pseudonymous_keys
from loader.base.errors import ConfigurationError, ServiceError
from loader.base.fields import Fields
from loader.base.persons import person_keys
from loader.firestore.aio import encoded_write
from loader.firestore.values import decode_fields, decode_instant
from loader.firestore.wire import SERVER_TIME
from loader.messages import Status
from whatsapp.accounts import Account, read_account
from whatsapp.attempts import claim_fields, send_fields
from whatsapp.queries import CONTAINS_ANY, EQUAL, FROM_ON, query_request, text_values
from whatsapp.targets import (
    SendState,
    TargetState,
    Waiting,
    is_open,
    read_target,
    read_template,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from loader.firestore.aio import AsyncDatabase
    from whatsapp.attempts import Attempt

__all__ = ["Store"]

ResultT = TypeVar("ResultT")

_TRIES = 6
_FIRST_PAUSE_SECONDS = 0.2
# The fields that decide whether a target can be sent, and in which order.
_WAITING_FIELDS = ("expiresAt", "createdAt", "attempts", "attemptLog", "`data`.`template`")


class Store:
    """Reads and writes what sending needs, for all laundromats."""

    def __init__(
        self,
        database: AsyncDatabase,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: random.Random | None = None,
    ) -> None:
        """Use this connection; ``sleep`` and ``rng`` are for the pauses between retries."""
        self._database = database
        self._sleep = sleep
        self._rng = rng or random.Random()  # noqa: S311 - jitter
        self.documents_read = 0
        """As Firestore bills them: an empty query counts as one."""
        self.writes_sent = 0

    # Who sends

    async def accounts(self, cnpj: str | None = None) -> tuple[dict[str, Account], dict[str, str]]:
        """Return the accounts that send through us, and errors of broken entries; both by CNPJ."""
        if cnpj is None:
            documents = await self._query(self._database.root, "users", [], doing="the registry")
        else:
            name = self._database.path("users", cnpj)
            documents = list((await self._get([name], "reading the registry")).values())
        accounts: dict[str, Account] = {}
        errors: dict[str, str] = {}
        for document in documents:
            key = document.name.rsplit("/", 1)[-1]
            try:
                account = read_account(key, decode_fields(document.fields))
            except ConfigurationError as error:
                errors[key] = str(error)
                continue
            if account is not None:
                accounts[key] = account
        return accounts, errors

    # What waits

    async def waiting(self, cnpj: str | None = None) -> list[Waiting]:
        """Return all PENDING targets of one laundromat or of all."""
        documents = await self._query(
            self._database.root,
            "targets",
            [("status", EQUAL, {"string_value": Status.PENDING.value})],
            fields=_WAITING_FIELDS,
            all_descendants=True,
            below=cnpj,
            doing="what waits",
        )
        return [found for document in documents if (found := _waiting(document)) is not None]

    async def failed_or_open(
        self, cnpj: str | None = None
    ) -> list[tuple[TargetState, dict[str, Any]]]:
        """Return the targets that are FAILED or have an open attempt, with their fields."""
        found = []
        for status in (Status.FAILED, Status.PENDING):
            documents = await self._query(
                self._database.root,
                "targets",
                [("status", EQUAL, {"string_value": status.value})],
                all_descendants=True,
                below=cnpj,
                doing="what failed",
            )
            for raw in documents:
                fields = decode_fields(raw.fields)
                state = read_target(raw.name, decode_instant(raw.update_time), fields)
                if status is Status.FAILED or state.has_open_attempt:
                    found.append((state, fields))
        return found

    def target_name(self, cnpj: str, campaign_type: str, customer_id: str) -> str:
        """Return a target's full name."""
        path = ("users", cnpj, "campaigns", campaign_type, "targets", customer_id)
        return self._database.path(*path)

    async def target(self, name: str) -> TargetState | None:
        """Return a document as it is now."""
        found = await self._get([name], "reading a target")
        raw = found.get(name)
        if raw is None:
            return None
        return read_target(name, decode_instant(raw.update_time), decode_fields(raw.fields))

    async def is_suppressed(self, target: TargetState) -> bool:
        """Return whether the customer has opted out or was erased.

        An opt-out names the customer's id or either form of the phone. An erasure names a pseudonym
        of one of them; a laundromat without any needs no second query.
        """
        phone, customer_id = target.phone, target.customer_id
        keys = person_keys(phone=phone, customer_id=customer_id)
        found = await self._suppressions(target.cnpj, [*keys, ERASURES])
        holder = found.pop(ERASURES, None)
        key = key_among(holder.texts("keys")) if holder is not None else None
        if key is not None and not found:
            keys = pseudonymous_keys(key, phone=phone, customer_id=customer_id)
            found = await self._suppressions(target.cnpj, keys)
        return bool(found)

    async def _suppressions(self, cnpj: str, keys: list[str]) -> dict[str, Fields]:
        """Return the current suppressions with one of the keys, by id."""
        documents = await self._query(
            self._database.path("users", cnpj),
            "suppressions",
            [("keys", CONTAINS_ANY, text_values(keys))],
            fields=("keys", "resumedAt"),
            doing="suppressions",
        )
        return {
            document.name.rsplit("/", 1)[-1]: Fields(decode_fields(document.fields))
            for document in documents
            if "resumedAt" not in document.fields
        }

    # One attempt

    async def claim(self, target: TargetState, attempt: Attempt) -> tuple[datetime, SendState]:
        """Begin an attempt: target and ``sends/{attemptId}`` in one commit.

        Returns:
            The target's update time, and the new document without Firestore's own instants.

        Raises:
            LostRaceError: Somebody else has written the target; nothing was written.
            ServiceError: It may or may not have been written.

        """
        send = send_fields(target, attempt)
        times = await self._commit(
            [
                encoded_write(
                    target.name, claim_fields(target, attempt), update_time=target.update_time
                ),
                encoded_write(self._send_name(target, attempt), send, is_new=True),
            ],
            "claiming a target",
        )
        known = {key: value for key, value in send.items() if value is not SERVER_TIME}
        return times[0], SendState(times[1], known)

    async def both(
        self, target: TargetState, attempt: Attempt
    ) -> tuple[TargetState | None, SendState | None]:
        """Return a target and one of its attempts as they are now."""
        send_name = self._send_name(target, attempt)
        found = await self._get([target.name, send_name], "reading an attempt")
        raw, raw_send = found.get(target.name), found.get(send_name)
        return (
            read_target(target.name, decode_instant(raw.update_time), decode_fields(raw.fields))
            if raw is not None
            else None,
            SendState(decode_instant(raw_send.update_time), decode_fields(raw_send.fields))
            if raw_send is not None
            else None,
        )

    async def record(
        self,
        target: TargetState,
        attempt: Attempt,
        *,
        fields: dict[str, Any] | None,
        send: tuple[SendState, dict[str, Any]] | None,
        suppression: dict[str, Any] | None = None,
    ) -> None:
        """Record the result of an attempt, all in one commit.

        Args:
            target: As it was read; its update time is the precondition.
            attempt: The attempt.
            fields: The target's new fields; None: the target is not changed.
            send: ``sends/{attemptId}`` as it was read, and its new fields; None: it is not
                changed.
            suppression: Fields of a suppression, when the person does not want messages.

        Raises:
            LostRaceError: One of them was written in between; nothing was written.
            ServiceError: It may or may not have been written.

        """
        writes = []
        if send is not None:
            state, changed = send
            name = self._send_name(target, attempt)
            writes.append(encoded_write(name, changed, update_time=state.update_time))
        if fields is not None:
            writes.append(encoded_write(target.name, fields, update_time=target.update_time))
        if suppression is not None:
            name = self._database.path("users", target.cnpj, "suppressions", attempt.attempt_id)
            writes.append(encoded_write(name, suppression))
        if writes:
            await self._commit(writes, "recording an attempt")

    async def sent_people(self, portfolio_id: str, since: datetime) -> list[tuple[str, datetime]]:
        """Return phone key and instant of a portfolio's attempts since an instant, oldest first."""
        documents = await self._query(
            self._database.root,
            "sends",
            [
                ("portfolioId", EQUAL, {"string_value": portfolio_id}),
                ("at", FROM_ON, {"timestamp_value": since}),
            ],
            fields=("phoneKey", "at"),
            order=("at",),
            all_descendants=True,
            doing="a portfolio's attempts",
        )
        found = [decode_fields(document.fields) for document in documents]
        return [(str(fields["phoneKey"]), fields["at"]) for fields in found]

    async def billed_sends(self, cnpj: str, since: datetime) -> Counter[str]:
        """Return a laundromat's attempts since an instant that are billed or may be, by category.

        The category is the one that WhatsApp billed, otherwise the template's; empty: unknown.
        Failed attempts, and those that a status calls not billable, are left out.
        """
        documents = await self._query(
            self._database.path("users", cnpj),
            "sends",
            [("at", FROM_ON, {"timestamp_value": since})],
            fields=("status", "category", "pricing"),
            doing="a laundromat's attempts",
        )
        found = map(Fields, (decode_fields(document.fields) for document in documents))
        return Counter(
            (send.map("pricing").text("category") or send.text("category") or "").upper()
            for send in found
            if send.text("status") != Status.FAILED
            and send.map("pricing").flag("billable") is not False
        )

    async def news(
        self, portfolio_id: str, since: datetime
    ) -> list[tuple[str, datetime, dict[str, Any]]]:
        """Return what the webhook wrote about a portfolio since an instant.

        Returns:
            Name, time of the last write, and fields of each document.

        """
        documents = await self._query(
            self._database.path("portfolios", portfolio_id),
            "news",
            [("updatedAt", FROM_ON, {"timestamp_value": since})],
            doing="a portfolio's news",
        )
        return [
            (document.name, decode_instant(document.update_time), decode_fields(document.fields))
            for document in documents
        ]

    # Calls

    def _send_name(self, target: TargetState, attempt: Attempt) -> str:
        return self._database.path("users", target.cnpj, "sends", attempt.attempt_id)

    async def _commit(self, writes: list[bytes], doing: str) -> list[datetime]:
        self.writes_sent += len(writes)
        return await self._database.commit(writes, doing)

    async def _get(self, names: list[str], doing: str) -> dict[str, Any]:
        self.documents_read += len(names)
        return await self._patiently(lambda: self._database.get(names, doing))

    async def _query(
        self,
        parent: str,
        collection_id: str,
        filters: list[tuple[str, str, dict[str, Any]]],
        *,
        doing: str,
        fields: tuple[str, ...] = (),
        order: tuple[str, ...] = (),
        all_descendants: bool = False,
        below: str | None = None,
    ) -> list[Any]:
        request = query_request(
            parent,
            collection_id,
            filters,
            fields=fields,
            order=order,
            all_descendants=all_descendants,
        )

        if below is not None:
            # A collection group query must start at the root: limit it to one laundromat by name.
            query = RunQueryRequest.pb(request).structured_query
            query.order_by.add().field.field_path = "__name__"
            first, last = (self._database.path("users", key) for key in (below, f"{below}0"))
            query.start_at.before = query.end_at.before = True
            query.start_at.values.add().reference_value = first
            query.end_at.values.add().reference_value = last

        async def read() -> list[Any]:
            return [found async for found in self._database.query(request, f"reading {doing}")]

        documents = await self._patiently(read)
        self.documents_read += max(1, len(documents))
        return documents

    async def _patiently(self, call: Callable[[], Awaitable[ResultT]]) -> ResultT:
        for tries in range(1, _TRIES):
            try:
                return await call()
            except ServiceError as error:
                if not error.is_transient:
                    raise
                longest = _FIRST_PAUSE_SECONDS * 2.0 ** (tries - 1)
                await self._sleep(self._rng.uniform(0, longest))
        return await call()


def _waiting(document: Any) -> Waiting | None:
    """Return a document of users/{cnpj}/campaigns/{type}/targets; None if it is none."""
    match document.name.split("/documents/", 1)[-1].split("/"):
        case ["users", cnpj, "campaigns", campaign_type, "targets", customer_id]:
            fields = decode_fields(document.fields)
            state = read_target(document.name, decode_instant(document.update_time), fields)
            template = read_template(fields.get("data"))
            created_at = fields.get("createdAt")
            opened_at = state.log[-1].get("at") if is_open(state.log, state.attempts) else None
            return Waiting(
                name=document.name,
                cnpj=cnpj,
                campaign_type=campaign_type,
                customer_id=customer_id,
                expires_at=state.expires_at,
                created_at=created_at if hasattr(created_at, "astimezone") else None,
                template=(template.name, template.language) if template else None,
                open_since=opened_at or state.update_time if state.has_open_attempt else None,
            )
    return None
