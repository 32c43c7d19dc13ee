"""Who wrote what: answers, and people who want no more messages, from WhatsApp's side."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tests.month.hearing import STOP_WORDS
from whatsapp.fake.phones import same_person

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from loader.services import Services
    from tests.month.hearing import HeardWords
    from tests.month.network import WhatsAppNetwork
    from tests.month.outbox import Attempt, Outbox

__all__ = ["check_confirmations", "check_nobody_is_bothered", "check_opt_outs", "give_replies"]

# A source, a phone unless the person hides it, a customer if one is known, and an instant.
OptOutKey = tuple[str, str | None, str | None, datetime]

_ANSWERED_WITHIN = timedelta(days=7)
_CLOCK_MARGIN = timedelta(minutes=5)
_DAY = timedelta(days=1)


def _phone(person: str) -> str:
    """Return a mobile number in its full form; a person is told by the old one."""
    return f"+{person[:4]}9{person[4:]}"


def _opt_outs(
    network: WhatsAppNetwork, outbox: Outbox
) -> Iterator[tuple[OptOutKey, str, datetime]]:
    """Yield a laundromat's opt-outs, with the person, and since when our webhook knows it."""
    for words, known_at in network.words.values():
        if words.number_id != outbox.number_id or words.text not in STOP_WORDS:
            continue
        customer = None
        if words.context_id is not None:
            # Somebody means the message that they quote.
            customer = _quoted(words, outbox)
            if customer is None:
                continue
        source = "WHATSAPP_BUTTON" if words.is_button else "WHATSAPP_TEXT"
        phone = None if words.hides_phone else _phone(words.person)
        yield (source, phone, customer, words.at), words.person, known_at
    for attempt in outbox.log:
        last = attempt.postings[-1] if attempt.postings else None
        if last is not None and last.code == "131050":
            person = same_person(last.to.removeprefix("+"))
            told = ("WHATSAPP_PREFERENCES", _phone(person), attempt.customer_id, last.at)
            yield told, person, last.at
        refused = [said for said in attempt.told if said.code == "131050"]
        if refused and attempt.message is not None:
            person = same_person(attempt.message.to)
            at = min(said.at for said in refused)
            hides_phone = network.state.recipient(person).hides_phone
            phone = None if hides_phone else _phone(person)
            key = ("WHATSAPP_PREFERENCES", phone, attempt.customer_id, at)
            yield key, person, min(said.known_at for said in refused)


def _quoted(words: HeardWords, outbox: Outbox) -> str | None:
    for attempt in outbox.log:
        if attempt.message is not None and attempt.message.id == words.context_id:
            return attempt.customer_id
    return None


def check_opt_outs(services: Services, outbox: Outbox) -> int:
    """Check that every opt-out is in the table, and no other; return how many there are."""
    rows = services.warehouse.query(
        f"select source, phone, user_id, opted_out_at from `{outbox.cnpj}_CAMPAIGN`.`opt_outs`",
        doing="reading opt_outs",
    )
    found = Counter(
        (row["source"], row["phone"], row["user_id"], row["opted_out_at"]) for row in rows
    )
    wanted = Counter(key for key, _, _ in _opt_outs(outbox.network, outbox))
    assert found == wanted, f"{outbox.cnpj}: missing {wanted - found}, too many {found - wanted}"
    return found.total()


def check_nobody_is_bothered(outbox: Outbox) -> None:
    """Check that nobody got a message after they wrote that they want none."""
    accepted = outbox.accepted()
    for key, person, known_at in _opt_outs(outbox.network, outbox):
        late = [it.key for it in accepted.get(person, ()) if _sent_at(it) > known_at]
        assert not late, f"{outbox.cnpj}: {key} was followed by {late}"


def _sent_at(attempt: Attempt) -> datetime:
    assert attempt.message is not None
    return attempt.message.at


def give_replies(network: WhatsAppNetwork, outboxes: Sequence[Outbox]) -> None:
    """Give each attempt the answers that belong to it."""
    attempts = [(outbox.number_id, attempt) for outbox in outboxes for attempt in outbox.log]
    for _, attempt in attempts:
        attempt.replies.clear()
    for words, _ in network.words.values():
        if words.text in STOP_WORDS:
            continue
        quoted = [it for _, it in attempts if it.message and it.message.id == words.context_id]
        answered = quoted or _newest(words, (it for id_, it in attempts if id_ == words.number_id))
        for attempt in answered:
            attempt.replies.append(words.at)


def _newest(words: HeardWords, attempts: Iterable[Attempt]) -> list[Attempt]:
    """Return the newest attempt to a person before they wrote."""
    before = [
        (attempt.at, f"{attempt.cnpj}/sends/{attempt.attempt_id}", attempt)
        for attempt in attempts
        if attempt.postings
        and same_person(attempt.postings[0].to.removeprefix("+")) == words.person
        and words.at - _ANSWERED_WITHIN <= attempt.at <= words.at + _CLOCK_MARGIN
    ]
    return [max(before)[2]] if before else []


def check_confirmations(network: WhatsAppNetwork) -> None:
    """Check that only who wanted no more was told so, and once however often they wrote it."""
    wanted: dict[tuple[str, str], list[datetime]] = defaultdict(list)
    for words, _ in sorted(network.words.values(), key=lambda item: item[0].at):
        if words.text in STOP_WORDS:
            days = wanted[words.number_id, words.person]
            if not days or words.at - days[-1] >= _DAY:
                days.append(words.at)
    told = Counter(
        (message.number_id, same_person(message.to))
        for message in network.state.ledger.messages
        if message.template is None
    )
    too_many = {place: count for place, count in told.items() if count > len(wanted[place])}
    assert not too_many, f"confirmed more often than asked: {too_many}"
