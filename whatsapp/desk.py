"""What the sender keeps in memory: accounts, templates, pauses, rates and budgets."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol
from zoneinfo import ZoneInfo

from loader.base.persons import same_person
from whatsapp.budgets import MoneyBudget, PeopleBudget, people_limit
from whatsapp.error_classes import ErrorClass
from whatsapp.outcomes import Accepted, Refused
from whatsapp.pauses import Breaker, PauseKind, Pauses, Scope
from whatsapp.rates import NumberRate, PairRate, Ramp
from whatsapp.targets import MARGIN, WhyNot
from whatsapp.templates import read_listed, why_unsendable

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from typing import Any

    from whatsapp.accounts import Account
    from whatsapp.attempt import Result
    from whatsapp.news import PortfolioNews
    from whatsapp.outcomes import Answer
    from whatsapp.prices import Prices
    from whatsapp.targets import Template, Waiting
    from whatsapp.templates import Listed, SeedTemplate
    from whatsapp.tokens import Secrets

__all__ = ["Desk", "Owner"]

_LARGEST_RAMP = 64
_TEMPLATES_KEPT = timedelta(minutes=10)
_LIMIT_KEPT = timedelta(hours=1)
_BELIEVED = timedelta(hours=3)
# The category with which the seed's templates are submitted.
_CATEGORY = "MARKETING"

# WhatsApp's words in events of templates and accounts (webhooks/reference).
_GOOD_AGAIN = {"APPROVED", "REINSTATED", "UNPAUSED"}
_RESTRICTED = {"ACCOUNT_DELETED", "DISABLE", "RESTRICTED_BIZ_INITIATED_MESSAGING"}
_REINSTATED = {"REINSTATE", "ACCOUNT_RECONNECTED"}


class Owner(Protocol):
    """Who sends for a portfolio; `whatsapp.ownership.Ownership` in a run."""

    def holds(self, portfolio_id: str) -> bool:
        """Return whether this process, and no other, may send for a portfolio."""


class DeskApi(Protocol):
    """The part of `whatsapp.api.Api` that the desk needs."""

    async def templates(self, waba_id: str, token: str) -> list[dict[str, Any]]: ...
    async def messaging_limit(self, number_id: str, token: str) -> str: ...


class DeskStore(Protocol):
    """The part of `whatsapp.store.Store` that the desk needs."""

    async def sent_people(
        self, portfolio_id: str, since: datetime
    ) -> list[tuple[str, datetime]]: ...
    async def billed_sends(self, cnpj: str, since: datetime) -> Counter[str]: ...


class Desk:
    """The books of one sender, over all laundromats that it sends for."""

    def __init__(
        self,
        store: DeskStore,
        api: DeskApi,
        secrets: Secrets,
        owner: Owner,
        *,
        now: Callable[[], datetime],
        prices: Prices,
        seed: Mapping[tuple[str, str], SeedTemplate],
        patience: float = 1.0,
    ) -> None:
        """Begin with empty books; ``patience`` is a factor of the pauses between two POSTs."""
        self._store, self._api, self._secrets, self._owner = store, api, secrets, owner
        self._now, self._prices, self._seed = now, prices, seed
        self._patience = patience
        self.accounts: dict[str, Account] = {}
        self.pauses = Pauses()
        self.breaker = Breaker()
        self.people: dict[str, PeopleBudget] = {}
        self.money: dict[str, MoneyBudget] = {}
        self.stopping = asyncio.Event()
        self._templates: dict[str, tuple[datetime, dict[tuple[str, str], Listed]]] = {}
        self._limits: dict[str, datetime] = {}
        self._months: dict[str, tuple[int, int]] = {}
        self._ramps: dict[str, Ramp] = {}
        self._rates: dict[str, NumberRate] = {}
        self._pairs = PairRate()

    # Before a target is sent

    def hindrance(self, waiting: Waiting) -> WhyNot | None:
        """Return why a waiting target is not sent now; None: it may be sent."""
        if waiting.open_since is not None:
            return WhyNot.OPEN_ATTEMPT
        if waiting.expires_at is None or waiting.expires_at <= self._now() + MARGIN:
            return WhyNot.EXPIRED
        account = self.accounts.get(waiting.cnpj)
        if account is None:
            return WhyNot.NO_ACCOUNT
        if not account.is_enabled:
            return WhyNot.DISABLED
        if waiting.template is None:
            return WhyNot.UNFIT
        if self.pauses.holding(self.scope(account, waiting.template), self._now()) is not None:
            return WhyNot.PAUSED
        listed = self.listed(account, waiting)
        if why_unsendable(listed, self._seed.get(waiting.template)):
            return WhyNot.TEMPLATE
        people, money = self.people.get(account.portfolio_id), self.money.get(account.cnpj)
        if people is not None and people.left(self._now()) == 0:
            return WhyNot.BUDGET
        if money is not None and not money.suffices(self._price(listed.category if listed else "")):
            return WhyNot.BUDGET
        return None

    def has_room(self, account: Account) -> bool:
        """Return whether the number may have one more message under way."""
        return self.ramp(account).has_room

    def ramp(self, account: Account) -> Ramp:
        """Return how many messages of a number may be under way."""
        return self._ramps.setdefault(account.phone_number_id, Ramp(largest=_LARGEST_RAMP))

    def listed(self, account: Account, waiting: Waiting) -> Listed | None:
        """Return the template as WhatsApp has it."""
        _, templates = self._templates.get(account.waba_id, (None, {}))
        return templates.get(waiting.template) if waiting.template else None

    def scope(self, account: Account, template: tuple[str, str] | None) -> Scope:
        """Return everything that a message of a template, by name and language, depends on."""
        name, language = template or ("", "")
        return Scope(
            template=f"{account.waba_id}/{name}/{language}",
            number=account.phone_number_id,
            token=account.token_secret,
            portfolio=account.portfolio_id,
        )

    async def prepare(self, account: Account) -> None:
        """Read what an account needs before it sends, unless it was read a short time ago.

        Raises:
            ServiceError: WhatsApp, Firestore or the secret cannot be read.

        """
        now = self._now()
        known_at, _ = self._templates.get(account.waba_id, (None, {}))
        if known_at is None or now - known_at >= _TEMPLATES_KEPT:
            token = await self._secrets.get(account.token_secret)
            rows = await self._api.templates(account.waba_id, token)
            self._templates[account.waba_id] = now, read_listed(rows)
        limit_at = self._limits.get(account.portfolio_id)
        if limit_at is None or now - limit_at >= _LIMIT_KEPT:
            token = await self._secrets.get(account.token_secret)
            tier = await self._api.messaging_limit(account.phone_number_id, token)
            await self._set_limit(account.portfolio_id, people_limit(tier))
            self._limits[account.portfolio_id] = now
        await self._prepare_money(account)

    async def _set_limit(self, portfolio_id: str, limit: int | None) -> None:
        budget = self.people.get(portfolio_id)
        if budget is not None:
            budget.set_limit(limit)
            return
        budget = PeopleBudget(limit)
        since = self._now() - timedelta(hours=24)
        budget.load(await self._store.sent_people(portfolio_id, since))
        self.people[portfolio_id] = budget

    async def _prepare_money(self, account: Account) -> None:
        if account.monthly_budget_brl is None:
            self.money.pop(account.cnpj, None)
            return
        today = self._now().astimezone(ZoneInfo(account.timezone))
        if self._months.get(account.cnpj) != (today.year, today.month):
            since = today.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
            billed = await self._store.billed_sends(account.cnpj, since)
            budget = MoneyBudget(account.monthly_budget_brl)
            budget.load(sum(count * self._price(category) for category, count in billed.items()))
            self.money[account.cnpj] = budget
            self._months[account.cnpj] = today.year, today.month
        self.money[account.cnpj].set_limit(account.monthly_budget_brl)

    def _price(self, category: str) -> float:
        return self._prices.of(category or _CATEGORY, self._now().date())

    # While an attempt is made: `whatsapp.ports.Books`

    def reserve(self, account: Account, person: str, category: str) -> WhyNot | None:
        """Take one message of this category from the budgets; return why that is not possible."""
        money = self.money.get(account.cnpj)
        price = self._price(category)
        if money is not None and not money.take(price):
            return WhyNot.BUDGET
        people = self.people.get(account.portfolio_id)
        if people is not None and not people.take(person, self._now()):
            if money is not None:
                money.give_back(price)
            return WhyNot.BUDGET
        return None

    def give_back(self, account: Account, category: str) -> None:
        """Give back the money of a message that is not sent."""
        money = self.money.get(account.cnpj)
        if money is not None:
            money.give_back(self._price(category))

    def forbids(self, account: Account, template: Template | None) -> bool:
        """Return whether posting is forbidden now.

        That is when the lease is lost, the process ends, or another message's answer began a pause.
        """
        current = self.accounts.get(account.cnpj)
        may_go = current is not None and current.is_enabled and not self.stopping.is_set()
        if not may_go or not self._owner.holds(account.portfolio_id):
            return True
        scope = self.scope(account, (template.name, template.language) if template else None)
        return self.pauses.holding(scope, self._now()) is not None

    async def turn(self, account: Account, phone: str) -> None:
        """Wait until the number may send one more message to this person, and count it."""
        number, person = account.phone_number_id, same_person(phone)
        await asyncio.sleep(self._pairs.wait(number, person, self._seconds()))
        await asyncio.sleep(self._rate(account).wait(self._seconds()))
        self._pairs.note(number, person, self._seconds())

    def refused(self, account: Account, phone: str, answer: Answer, tries: int) -> None:
        """Note that a message was refused and will be posted again."""
        number, person = account.phone_number_id, same_person(phone)
        error_class = answer.error_class if isinstance(answer, Refused) else None
        if error_class is ErrorClass.PAIR:
            self._pairs.refused(number, person, tries, self._seconds())
            return
        self._pairs.free(number, person)
        if error_class is ErrorClass.TEMPORARY:
            self._rate(account).halve(self._seconds())

    async def rest(self, seconds: float) -> None:
        """Wait some seconds before posting again; return early if the process is to end."""
        try:
            await asyncio.wait_for(self.stopping.wait(), seconds * self._patience)
        except TimeoutError:
            return

    async def token(self, account: Account) -> str:
        """Return the access token."""
        return await self._secrets.get(account.token_secret)

    # After an attempt

    def heard(self, waiting: Waiting, account: Account, result: Result) -> None:
        """Learn from what became of a target."""
        if result.ending is not None:
            self.give_back(account, result.category)
        answer = result.answer
        if answer is None or result.why_not is not None:
            return
        ramp, now = self.ramp(account), self._now()
        if self.breaker.heard(answer):
            self.pauses.pause(PauseKind.BREAKER, "", "half of the answers are unknown", now)
            ramp.begin_anew()
        if isinstance(answer, Accepted):
            ramp.succeeded()
        if self.pauses.heard(self.scope(account, waiting.template), answer, now) is not None:
            ramp.begin_anew()
            self._forget(account, answer)

    def told(self, portfolio_id: str, news: PortfolioNews) -> None:
        """Apply an event of the webhook, as if it were WhatsApp's answer to a message.

        An event that comes late only empties the caches: the current state is read again.
        """
        now = self._now()
        is_late = now - news.at > _BELIEVED
        template = "/".join((news.waba_id, *(news.template or ("", ""))))
        match news.kind:
            case "template" | "category":
                # Nothing is sent with the account's templates until they are read again.
                self._templates.pop(news.waba_id, None)
                if news.kind == "template" and news.event in _GOOD_AGAIN:
                    self.pauses.end(PauseKind.TEMPLATE, template)
                elif news.kind == "template" and not is_late:
                    self.pauses.pause(PauseKind.TEMPLATE, template, news.event, now)
            case "number" | "limit":
                # The limit is read again before the next message: a number's event may change it.
                self._limits.pop(portfolio_id, None)
            case "account":
                self._account_changed(news, now)
            case "failure" if not is_late:
                scope = Scope(template, news.number_id, news.token_secret, portfolio_id)
                refused = Refused(int(news.event), ErrorClass(news.reason), counts=False)
                self.pauses.heard(scope, refused, now)
                if news.number_id in self._ramps:
                    self._ramps[news.number_id].begin_anew()

    def _account_changed(self, news: PortfolioNews, now: datetime) -> None:
        words = {news.event, *news.reason.split()}
        numbers = {
            account.phone_number_id
            for account in self.accounts.values()
            if account.waba_id == news.waba_id
        }
        for number in numbers:
            if words & _REINSTATED:
                self.pauses.end(PauseKind.NUMBER, number)
            elif words & _RESTRICTED:
                reason = min(words & _RESTRICTED)
                self.pauses.pause(PauseKind.NUMBER, number, reason, now)

    async def look_at_tokens(self) -> None:
        """Read the secrets of paused tokens again; a replaced token is used at once."""
        for pause in self.pauses.current(self._now()):
            if pause.kind is PauseKind.TOKEN and await self._secrets.has_changed(pause.key):
                self.pauses.end(pause.kind, pause.key)

    def _forget(self, account: Account, answer: Answer) -> None:
        """Forget what the answer shows to be outdated; it is read again for the next message."""
        if not isinstance(answer, Refused):
            return
        if answer.error_class in {ErrorClass.TEMPLATE, ErrorClass.ROUTE, ErrorClass.CONTENT}:
            self._templates.pop(account.waba_id, None)
        elif answer.error_class is ErrorClass.PORTFOLIO:
            self._limits.pop(account.portfolio_id, None)

    def _rate(self, account: Account) -> NumberRate:
        number = account.phone_number_id
        return self._rates.setdefault(number, NumberRate(account.messages_per_second))

    def _seconds(self) -> float:
        return asyncio.get_running_loop().time()
