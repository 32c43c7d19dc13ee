"""Everything that the fake knows: accounts, people, templates, messages and webhooks."""

from __future__ import annotations

import base64
import itertools
import random
from dataclasses import replace
from typing import TYPE_CHECKING

from whatsapp.fake.clock import Clock
from whatsapp.fake.config import Accounts, Number, Portfolio, Recipient, Settings, Token, Waba
from whatsapp.fake.delivery import Webhooks
from whatsapp.fake.errors import ApiError
from whatsapp.fake.faults import Faults
from whatsapp.fake.ledger import MessageLedger
from whatsapp.fake.limits import SendLimits
from whatsapp.fake.phones import same_person
from whatsapp.fake.templates import FakeTemplate, create_template

if TYPE_CHECKING:
    from whatsapp.fake.templates import TemplateStatus

__all__ = ["FakeState"]

_ALREADY_THERE = 2388024


class FakeState:
    """The state of one fake, and the rules for looking things up in it."""

    def __init__(self, *, clock: Clock | None = None, seed: int = 0) -> None:
        """Begin without accounts.

        Args:
            clock: Tests give one that stands still.
            seed: For ids and all randomness: the same calls give the same answers.

        """
        self.clock = clock or Clock()
        self.rng = random.Random(seed)  # noqa: S311 - chance of a fake, not a secret
        self.settings = Settings()
        self.portfolios: dict[str, Portfolio] = {}
        self.wabas: dict[str, Waba] = {}
        self.numbers: dict[str, Number] = {}
        self.tokens: dict[str, Token] = {}
        self.templates: dict[str, FakeTemplate] = {}
        self.faults = Faults()
        self.limits = SendLimits()
        self.ledger = MessageLedger()
        self.webhooks = Webhooks(self.clock, self.rng)
        self.stopped: set[tuple[str, str]] = set()
        """Accounts and people who stopped their marketing messages."""
        self._recipients: dict[str, Recipient] = {}
        self._templates_made = 0

    def add_accounts(self, accounts: Accounts) -> None:
        """Add accounts, or replace those with the same ids.

        Raises:
            KeyError: A number, account or token names an account or portfolio that is not there.

        """
        portfolios = self.portfolios.keys() | {one.id for one in accounts.portfolios}
        wabas = self.wabas.keys() | {one.id for one in accounts.wabas}
        for portfolio_id in (waba.portfolio_id for waba in accounts.wabas):
            if portfolio_id not in portfolios:
                raise KeyError(portfolio_id)
        named = [number.waba_id for number in accounts.numbers]
        for waba_id in itertools.chain(named, *(token.waba_ids for token in accounts.tokens)):
            if waba_id not in wabas:
                raise KeyError(waba_id)
        self.portfolios |= {portfolio.id: portfolio for portfolio in accounts.portfolios}
        self.wabas |= {waba.id: waba for waba in accounts.wabas}
        self.numbers |= {number.id: number for number in accounts.numbers}
        self.tokens |= {token.token: token for token in accounts.tokens}

    def portfolio_of(self, waba_id: str) -> Portfolio:
        """Return the portfolio of an account."""
        return self.portfolios[self.wabas[waba_id].portfolio_id]

    def set_recipient(self, recipient: Recipient) -> None:
        """Set what is special about a person."""
        self._recipients[same_person(recipient.phone)] = recipient

    def recipient(self, phone: str) -> Recipient:
        """Return a person by either form of their number."""
        return self._recipients.get(same_person(phone), Recipient(phone=phone))

    def authorize(self, header: str | None, waba_id: str | None = None) -> Token:
        """Return the token of a request.

        Raises:
            ApiError: 0 without a token, 190 for one that is unknown or has expired, 10 for one that
                may not use this account.

        """
        scheme, _, value = (header or "").partition(" ")
        if scheme != "Bearer" or not value:
            raise ApiError(0, "An access token is required to request this resource.")
        token = self.tokens.get(value)
        if token is None or not token.is_valid:
            raise ApiError(190, "Error validating access token")
        if waba_id is not None and waba_id not in token.waba_ids:
            raise ApiError(10, "Application does not have permission for this action")
        return token

    def number(self, number_id: str) -> Number:
        """Return a number; ApiError 33 if it does not exist."""
        try:
            return self.numbers[number_id]
        except KeyError:
            details = f"Object with ID '{number_id}' does not exist"
            raise ApiError(33, details) from None

    def create_template(self, waba_id: str, body: object) -> FakeTemplate:
        """Create a template with the status of the setting ``review``."""
        self._templates_made += 1
        made = create_template(waba_id, str(10_000_000 + self._templates_made), body)
        for other in self.templates.values():
            if (other.waba_id, other.name, other.language) == (
                waba_id,
                made.name,
                made.language,
            ):
                title = "Content in this language already exists"
                raise ApiError(100, title, subcode=_ALREADY_THERE, user_title=title)
        made = replace(made, status=self.settings.review)
        self.templates[made.id] = made
        return made

    def change_template(self, template_id: str, **changes: str) -> FakeTemplate:
        """Change category or status of a template, which must exist."""
        changed = replace(self.templates[template_id], **changes)  # type: ignore[arg-type]
        self.templates[template_id] = changed
        return changed

    def sendable_template(self, waba_id: str, name: str, language: str) -> FakeTemplate:
        """Return an approved template.

        Raises:
            ApiError: 132001 if there is none in the language, or it is not approved; 132015 if it
                is paused; 132016 if it is disabled.

        """
        refusals: dict[TemplateStatus, int] = {"PAUSED": 132015, "DISABLED": 132016}
        for template in self.templates.values():
            if (template.waba_id, template.name, template.language) == (waba_id, name, language):
                if template.status == "APPROVED":
                    return template
                details = f"template name ({name}) is {template.status} in {language}"
                raise ApiError(refusals.get(template.status, 132001), details)
        raise ApiError(132001, f"template name ({name}) does not exist in {language}")

    def new_id(self, *, prefix: str = "wamid.") -> str:
        """Return an id such as WhatsApp gives to messages."""
        return prefix + base64.b64encode(self.rng.randbytes(24)).decode()
