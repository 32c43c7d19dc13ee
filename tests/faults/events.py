"""What else happens in a schedule: opt-outs, faults of WhatsApp, dead tokens, full portfolios."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from loader.base.persons import same_person
from tests.faults.warehouse import CAMPAIGNS
from tests.whatsapp.calls import OTHER_NUMBER, TOKEN
from whatsapp.fake.config import Accounts

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from loader.base.cnpj import Cnpj
    from tests.faults.documents import Documents
    from tests.faults.processes import SenderProcess
    from tests.faults.warehouse import Warehouse
    from tests.whatsapp.sending.world import World

__all__ = ["Events"]

_FAULTS = (
    ("error", 131016),
    ("error", 131026),
    ("error", 131049),
    ("error", 131050),
    ("error", 131056),
    ("error", 131042),
    ("error", 131063),
    ("error", 132015),
    ("error", 132012),
    ("error", 190),
    ("error", 2),
    ("error", 3),
    ("gateway_error", None),
    ("reset_unread", None),
    ("accept_and_hang", None),
    ("accept_and_reset", None),
    ("accept_and_gateway_error", None),
    ("truncated", None),
    ("no_id", None),
    ("held", None),
)
_LIMITS = (1, 2, 250)


class Events:
    """Everything that neither the senders nor the hourly run do."""

    writes_receipts = True
    """False: a webhook does."""
    opt_out_chance = 0.02
    """That somebody opts out when a sender has committed something."""

    def __init__(
        self,
        rng: random.Random,
        world: World,
        warehouse: Warehouse,
        documents: Mapping[Cnpj, Documents],
        say: Callable[[str], None],
    ) -> None:
        self._rng, self._world, self._warehouse = rng, world, warehouse
        self._documents, self._say = documents, say
        self.deletions = 0
        self.revived_at: datetime | None = None
        """When the token first came back that had died while targets waited."""
        self._has_died_on_somebody = False
        self.seen: Counter[str] = Counter()

    def before_the_hour(self) -> None:
        """Begin with a dead token or a full portfolio now and then, while most targets wait."""
        chance = self._rng.random()
        if chance < 0.15:
            self._set_token(is_valid=False)
        elif chance < 0.25:
            self._set_token(is_valid=True)
        elif chance < 0.4:
            self._fill_portfolio()
        elif chance < 0.5:
            self._set_limit(self._rng.choice(_LIMITS))

    def one(self, processes: Sequence[SenderProcess]) -> None:
        """Let one thing happen."""
        happen = self._rng.choice(
            (
                self.opt_out,
                self._fault,
                self._fault,
                self._world.state.faults.clear,
                lambda: self._set_token(is_valid=self._rng.random() < 0.5),
                lambda: self._set_template(self._rng.choice(("PAUSED", "APPROVED"))),
                lambda: self._set_connection(processes),
                lambda: self._set_limit(self._rng.choice(_LIMITS)),
                self._fill_portfolio,
                lambda: self.on_documents(self._rng.choice(list(self._documents))),
            )
        )
        happen()

    def calm(self) -> None:
        """End everything that does not end by itself."""
        self._world.state.faults.clear()
        self._set_token(is_valid=True)
        self._set_template("APPROVED")
        self._set_limit(250)

    def on_documents(self, cnpj: Cnpj) -> None:
        """Let a receipt come in, or somebody else write or delete a document."""
        documents = self._documents[cnpj]
        targets = documents.all(CAMPAIGNS)
        if not targets:
            return
        found = self._rng.choice(targets)
        key = (str(cnpj), found.campaign_type, found.customer_id)
        status, now = found.fields["status"], self._world.now()
        if status == "SENT" and self.writes_receipts:
            what, fields = "is delivered", {"status": "DELIVERED", "deliveredAt": now}
            documents.update(found, fields)
        elif status == "DELIVERED" and self._warehouse.is_messaged(key):
            # Whoever tidies up deletes what is in the history.
            what = "is deleted"
            self.deletions += documents.delete(found)
        else:
            what = "is touched"
            documents.update(found, {"note": f"{now}"})
        self._say(f"{key} {what}")
        self.seen[what] += 1

    def maybe_opt_out(self) -> None:
        """Let somebody opt out now and then."""
        if self._rng.random() < self.opt_out_chance:
            self.opt_out()

    def opt_out(self) -> None:
        """Let somebody opt out of one laundromat."""
        cnpj = str(self._rng.choice(list(self._documents)))
        phone = self._warehouse.phones[self._rng.choice(self._warehouse.customers)]
        self._world.suppress(phone, cnpj=cnpj)
        person = (cnpj, same_person(phone))
        self._warehouse.opted_out.setdefault(person, self._world.now())
        self._say(f"{phone} opts out of {cnpj}")

    def _fault(self) -> None:
        kind, code = self._rng.choice(_FAULTS)
        self._say(f"fault {kind} {code}")
        self._world.rule(kind, code, times=self._rng.randint(1, 3))

    def _set_connection(self, processes: Sequence[SenderProcess]) -> None:
        is_reachable = self._rng.random() < 0.6
        for process in processes:
            process.transport.is_reachable = is_reachable

    def _set_token(self, *, is_valid: bool) -> None:
        token = {"token": TOKEN, "waba_ids": ["3001", "3002"], "is_valid": is_valid}
        self._world.state.add_accounts(Accounts.model_validate({"tokens": [token]}))
        self._say(f"token valid: {is_valid}")
        if not is_valid:
            self._has_died_on_somebody |= any(
                found.fields["status"] == "PENDING"
                for documents in self._documents.values()
                for found in documents.all(CAMPAIGNS)
            )
        elif self._has_died_on_somebody:
            self.revived_at = self.revived_at or self._world.now()

    def _set_template(self, status: str) -> None:
        for template_id in list(self._world.state.templates):
            self._world.state.change_template(template_id, status=status)
        self._say(f"template {status}")

    def _fill_portfolio(self) -> None:
        """Let other programs write to all people whom the portfolio may write to in a day."""
        state, now = self._world.state, self._world.now()
        state.clock.set(now)
        number, portfolio = state.numbers[OTHER_NUMBER], state.portfolios["1001"]
        for stranger in range(portfolio.people_in_24_hours or 0):
            state.limits.count(number, portfolio, f"+55219900{stranger:05d}", now)
        self._say("other programs fill the portfolio")

    def _set_limit(self, people: int) -> None:
        portfolio = {"id": "1001", "people_in_24_hours": people}
        self._world.state.add_accounts(Accounts.model_validate({"portfolios": [portfolio]}))
        self._say(f"portfolio: {people} people a day")
