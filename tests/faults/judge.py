"""Did a schedule keep the promises? What the fake WhatsApp accepted is the evidence."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from loader.base.persons import person_keys, same_person
from tests.faults.warehouse import CAMPAIGNS, counts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tests.faults.documents import Documents, Found
    from tests.faults.warehouse import Warehouse
    from whatsapp.fake.ledger import Call, Message, MessageLedger

__all__ = ["Judge"]


class Judge:
    """Looks at what was accepted, at the attempts and at the targets."""

    def __init__(
        self,
        warehouse: Warehouse,
        documents: Iterable[Documents],
        require: Callable[[bool, str], None],
    ) -> None:
        """Judge by these; ``require`` is told whether something holds, and what is broken."""
        self._warehouse, self._documents = warehouse, list(documents)
        self._require = require
        self.seen: Counter[str] = Counter()
        """Situations that a test asks for."""

    def waits(self, cnpj: str, target: Found) -> bool:
        """Return whether a target could be sent, and is not."""
        if target.fields["status"] != "PENDING" or target.is_open:
            return False
        phone = target.fields["phone"]
        is_out = (cnpj, same_person(phone)) in self._warehouse.opted_out
        # WhatsApp refuses whoever has told it so: only a suppression knows.
        person = person_keys(phone=phone, customer_id=target.customer_id)
        suppressed = (
            documents.suppressed_keys()
            for documents in self._documents
            if documents.root.split("/")[-2] == cnpj
        )
        return not is_out and all(keys.isdisjoint(person) for keys in suppressed)

    def targets(self) -> list[tuple[str, Found]]:
        """Return all targets, each with its CNPJ."""
        return [
            (documents.root.split("/")[-2], found)
            for documents in self._documents
            for found in documents.all(CAMPAIGNS)
        ]

    def judge(self, ledger: MessageLedger) -> None:
        """Judge everything."""
        attempts = {
            found.name.rsplit("/", 1)[1]: found.fields
            for documents in self._documents
            for found in documents.sends()
        }
        cycles: dict[tuple[str, ...], list[Message]] = {}
        for message in ledger.messages:
            if not self._is_campaigns(message):
                continue
            assert message.callback_data is not None
            _, cnpj, attempt_id = message.callback_data.split(".")
            self._require(attempt_id in attempts, f"{attempt_id} was sent without an open attempt")
            send = attempts[attempt_id]
            key = (cnpj, send["campaignType"], send["customerId"])
            cycles.setdefault((*key, send["cycleKey"]), []).append(message)
            self._judge_message(key, send, message)
        for cycle, messages in cycles.items():
            self._require(self._is_once(messages), f"messaged twice in a cycle: {cycle}")
        for cnpj, target in self.targets():
            self._judge_target(cnpj, target, cycles)
            self._judge_log(cnpj, target, attempts)
        self._judge_warehouse()
        self._note_situations(cycles, ledger.calls)

    def _is_campaigns(self, message: Message) -> bool:  # noqa: ARG002 - of others that override it
        return True

    def _is_once(self, messages: Sequence[Message]) -> bool:
        """Return whether the messages of one cycle, the oldest first, are what was promised."""
        return len(messages) == 1

    def _is_accepted(self, accepted: Sequence[Message]) -> bool:
        """Return whether the messages of a cycle are those of a target that was sent."""
        return sum(self._stands(message) for message in accepted) == 1

    def _stands(self, message: Message) -> bool:  # noqa: ARG002 - of others that override it
        """Return whether an accepted message is one that a person has, as far as is known."""
        return True

    def _judge_message(
        self, key: tuple[str, str, str], send: dict[str, Any], message: Message
    ) -> None:
        until = self._warehouse.expires_at[key]
        self._require(message.at < until, f"{key} was sent after it expired")
        out = self._warehouse.opted_out.get((key[0], same_person(message.to)))
        self._require(out is None or message.at <= out, f"{key} was sent after an opt-out")
        self._judge_status(send, message)

    def _judge_status(self, send: dict[str, Any], message: Message) -> None:
        told = send["status"]
        is_possible = told in {"SENT", "SENDING", "UNKNOWN"}
        self._require(is_possible, f"{message.id} was accepted and is {told}")

    def _judge_target(
        self, cnpj: str, target: Found, cycles: Mapping[tuple[str, ...], Sequence[Message]]
    ) -> None:
        fields, is_open = target.fields, target.is_open
        key = (cnpj, target.campaign_type, target.customer_id)
        status = fields["status"]
        known = {"PENDING", "SENT", "FAILED", "DELIVERED"}
        self._require(status in known, f"{key} is {status}")
        self._require(not (is_open and status != "PENDING"), f"{key} is {status} and open")
        if status in {"SENT", "DELIVERED"}:
            accepted = cycles.get((*key, fields["cycleKey"]), ())
            is_accepted = self._is_accepted(accepted)
            self._require(is_accepted, f"{key} says {status}, and nothing was accepted")
        counted = sum(
            entry["status"] in {"SENT", "DELIVERED", "READ"}
            or (entry["status"] == "FAILED" and counts(entry["error"]["code"]))
            for entry in fields.get("attemptLog", [])
        )
        self._require(counted == fields["attempts"], f"{key} counts {fields['attempts']}")
        self._require(not self.waits(cnpj, target), f"{key} still waits")

    def _judge_log(self, cnpj: str, target: Found, attempts: Mapping[str, dict[str, Any]]) -> None:
        """Check that a target says of its attempts what their own documents say."""
        for entry in target.fields.get("attemptLog", []):
            told = attempts[entry["attemptId"]]["status"]
            expected = "SENDING" if told == "UNKNOWN" else told
            self._require(
                entry["status"] == expected,
                f"{cnpj} {target.customer_id} says {entry['status']} of an attempt that is {told}",
            )

    def _judge_warehouse(self) -> None:
        """Check that tracking has lost no attempt, no receipt and no opt-out."""
        for documents in self._documents:
            cnpj = documents.root.split("/")[-2]
            for found in documents.sends():
                send = found.fields
                key = (cnpj, send["campaignType"], send["customerId"], send["cycleKey"])
                row = self._warehouse.history.get((*key, str(send["attempt"])))
                self._require(row is not None, f"{key} has no row of attempt {send['attempt']}")
                assert row is not None
                if send["status"] not in {"SENDING", "UNKNOWN"}:
                    is_told = self._is_recorded(send["status"], row.status)
                    self._require(is_told, f"{key} is {send['status']}, recorded as {row.status}")
            for found in documents.suppressions():
                event_id = found.name.rsplit("/", 1)[1]
                is_known = (cnpj, event_id) in self._warehouse.wishes
                self._require(is_known, f"{cnpj}: nobody tracked the opt-out {event_id}")

    def _is_recorded(self, status: str, recorded: str) -> bool:
        """Return whether the history has an attempt as its own document has it."""
        # Receipts are written into targets by hand here.
        return status == recorded or (status == "SENT" and recorded == "DELIVERED")

    def _note_situations(self, per_cycle: Iterable[tuple[str, ...]], calls: Sequence[Call]) -> None:
        self.seen["the portfolio is full"] += any(call.outcome == "131048" for call in calls)
        by_phone: dict[tuple[str, str], set[str]] = {}
        for cnpj, campaign_type, customer_id, _ in per_cycle:
            if campaign_type == "BIRTHDAY":
                phone = self._warehouse.phones[customer_id]
                by_phone.setdefault((cnpj, phone), set()).add(customer_id)
        if any(len(customers) > 1 for customers in by_phone.values()):
            self.seen["two birthdays on one phone"] += 1
        if len({cnpj for cnpj, *_ in per_cycle}) > 1:
            self.seen["two laundromats on one number"] += 1
