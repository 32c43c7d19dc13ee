"""What else happens with a webhook: people write SAIR, and accepted messages fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.faults.events import Events
from tests.whatsapp.calls import NUMBER
from whatsapp.fake.config import Settings
from whatsapp.fake.events import webhook_event
from whatsapp.fake.telling import happen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loader.base.cnpj import Cnpj
    from tests.faults.processes import SenderProcess

__all__ = ["HookEvents"]

_FATES: tuple[list[str], ...] = (
    [],
    ["sent"],
    ["sent", "delivered"],
    ["sent", "delivered", "read"],
    ["read"],
)
_FAILED_LATER = (131000, 131026, 131049, 131042, 132015, 131050)
_SAIR = "SAIR"


class HookEvents(Events):
    """Everything that neither the senders, the webhook nor the hourly run do."""

    writes_receipts = False
    # What they write takes its time.
    opt_out_chance = 0.05

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._set_fates()

    def before_the_hour(self) -> None:
        """Let some of the hour's first messages fail, too."""
        super().before_the_hour()
        self._set_fates()
        if self._rng.random() < 0.6:
            self._fail_later()

    def one(self, processes: Sequence[SenderProcess]) -> None:
        """Let one thing happen."""
        if self._rng.random() < 0.3:
            self._fail_later()
            return
        if self._rng.random() < 0.3 and self._arrive_after_failing():
            return
        super().one(processes)

    def on_documents(self, cnpj: Cnpj) -> None:
        """Let somebody write while documents are made, or somebody else write a document."""
        if self._rng.random() < 0.2:
            self.opt_out()
        else:
            super().on_documents(cnpj)

    def opt_out(self) -> None:
        """Let somebody write to the number; the opt-out counts from the webhook's 200."""
        customer_id = self._rng.choice(self._warehouse.customers)
        phone = self._warehouse.phones[customer_id].removeprefix("+")
        self._world.state.clock.set(self._world.now())
        told = {"kind": "reply", "number_id": NUMBER, "sender": phone, "text": _SAIR}
        happen(self._world.state, webhook_event.validate_python(told))
        self._say(f"{phone} writes {_SAIR}")

    def _fail_later(self) -> None:
        code = self._rng.choice(_FAILED_LATER)
        self._say(f"fails later with {code}")
        self._world.rule("failed_later", code, times=self._rng.choice((1, 2, 4)))
        self._set_fates()

    def _arrive_after_failing(self) -> bool:
        """Let a message arrive that was told to have failed; False if there is none."""
        failed = [
            message
            for message in self._world.state.ledger.messages
            if {event.status for event in message.events} == {"failed"}
        ]
        if not failed:
            return False
        message_id = self._rng.choice(failed).id
        self._world.state.clock.set(self._world.now())
        for status in self._rng.choice((["delivered"], ["read"], ["delivered", "read"])):
            after = self._rng.choice((0, 1, 30, 4000, 50_000))
            told = {"kind": "status", "message_id": message_id, "status": status}
            event = webhook_event.validate_python({**told, "after_seconds": after})
            happen(self._world.state, event)
        self._say(f"{message_id} had failed and arrives")
        return True

    def _set_fates(self) -> None:
        """Choose what is told of the messages from now on."""
        steps = [
            {"status": status, "after_seconds": self._rng.choice((0, 1, 30, 4000, 50_000))}
            for status in self._rng.choice(_FATES)
        ]
        self._world.state.settings = Settings.model_validate(
            {
                "review": "APPROVED",
                "marketing_callback_data": self._rng.choice(("echoed", "echoed", "dropped")),
                "webhooks": {"follow_up": steps},
            }
        )
