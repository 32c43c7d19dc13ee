"""A schedule with the webhook, too: people opt out by writing, and receipts come late and twice.

The fake's POSTs reach a real webhook that dies and whose Firestore fails;
what it answered 200 counts.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc

from loader.base.persons import same_person
from tests.faults.send_schedule import SendSchedule
from tests.whatsapp.calls import NUMBER
from tests.whatsapp.sending.connections import rpc_error
from tests.whatsapp.sending.world import CLASSES, ROOT
from tests.whatsapp.webhook.world import Hooked
from whatsapp.fake import payloads
from whatsapp.fake.config import Settings
from whatsapp.fake.events import webhook_event
from whatsapp.fake.telling import happen
from whatsapp.webhook.receipts import ReceiptRules

if TYPE_CHECKING:
    from whatsapp.fake.ledger import Message
    from whatsapp.fake.payloads import Item
    from whatsapp.webhook.process import Service

__all__ = ["HookSchedule"]

_FATES: tuple[list[str], ...] = (
    [],
    ["sent"],
    ["sent", "delivered"],
    ["sent", "delivered", "read"],
    ["read"],
)
_FAILED_LATER = (131000, 131026, 131049, 131042, 132015, 131050)
_SAIR = "SAIR"


class HookSchedule(SendSchedule):
    """Plays one seed."""

    world: Hooked
    world_type = Hooked

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._hook_rng = random.Random(f"hooks {seed}")
        self._posts: list[list[Item]] = []
        self._service: Service | None = None
        self._named: set[str] = set()
        """Messages of which a status had our callback data."""
        self._set_fates()
        self.world.hook_channel.hook = self._fail_sometimes

    async def play(self) -> None:
        pump = asyncio.create_task(self._pump())
        try:
            await super().play()
        finally:
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)

    # Webhooks on their way

    async def _pump(self) -> None:
        while True:
            is_busy = bool(self._posts or self.world.state.webhooks.waiting)
            pauses = (0.3, 2, 20, 300) if is_busy else (2, 20, 900, 3600)
            await asyncio.sleep(self._hook_rng.choice(pauses))
            if is_busy:
                await self._deliver()

    async def _deliver(self) -> None:
        """Post everything that is due, batched and shuffled; what met no 200 comes again."""
        rng, webhooks = self._hook_rng, self.world.state.webhooks
        self.world.state.clock.set(self.world.now())
        _, items = webhooks._take_due()  # noqa: SLF001 - as its own deliveries do
        rng.shuffle(items)
        for item in items:
            for said in item.lists.get("statuses", ()):
                if "biz_opaque_callback_data" in said:
                    self._named.add(said["id"])
        while items:
            size = rng.randint(1, 3)
            self._posts += [items[:size]] * rng.choice((1, 1, 2))
            items = items[size:]
        posts, self._posts = self._posts, []
        for post in posts:
            if self._service is None or rng.random() < 0.1:
                # Another process, which knows nothing.
                self._service = await self.world.service()
            if not await self._is_taken(self._service, post):
                self._posts.append(post)

    async def _is_taken(self, service: Service, post: list[Item]) -> bool:
        raw = payloads.body(post, without_contacts=self._hook_rng.random() < 0.3)
        (answer,) = await self.world.posted(service, raw, rest=False)
        if answer == 200:
            for item in post:
                for said in item.lists.get("messages", ()):
                    self._is_out(said["from"])
        return answer == 200

    def _is_out(self, phone: str) -> None:
        # Both laundromats have the number.
        for cnpj in self._cnpjs:
            self._opted_out.setdefault((str(cnpj), same_person(phone)), self.world.now())
            self._say(f"{phone} has opted out of {cnpj}")

    async def _fail_sometimes(self, what: str, moment: str) -> None:
        await asyncio.sleep(self._hook_rng.choice((0, 0, 0.001, 0.2)))
        if not self._is_calm and self._hook_rng.random() < 0.04:
            self._say(f"the webhook's {what} fails {moment}")
            raise rpc_error(grpc.StatusCode.UNAVAILABLE)

    # What people and WhatsApp do

    def _event(self) -> None:
        if self._hook_rng.random() < 0.3:
            code = self._hook_rng.choice(_FAILED_LATER)
            self._say(f"fails later with {code}")
            self.world.rule("failed_later", code, times=1)
            self._set_fates()
            return
        super()._event()

    def _opt_out(self) -> None:
        phone = self._phones[self._rng.choice(self._customers)].removeprefix("+")
        self.world.state.clock.set(self.world.now())
        told = {"kind": "reply", "number_id": NUMBER, "sender": phone, "text": _SAIR}
        happen(self.world.state, webhook_event.validate_python(told))
        self._say(f"{phone} writes {_SAIR}")

    def _set_fates(self) -> None:
        steps = [
            {"status": status, "after_seconds": self._hook_rng.choice((0, 1, 30, 4000))}
            for status in self._hook_rng.choice(_FATES)
        ]
        self.world.state.settings = Settings.model_validate(
            {
                "review": "APPROVED",
                "marketing_callback_data": self._hook_rng.choice(("echoed", "echoed", "dropped")),
                "webhooks": {"follow_up": steps},
            }
        )

    # The end

    async def _come_to_rest(self) -> None:
        self._is_calm = True
        await self._drain()
        await super()._come_to_rest()
        await self._drain()
        # An unknown message id is tried again until its attempt knows it.
        await asyncio.sleep(timedelta(hours=7).total_seconds())
        await self._drain()

    async def _drain(self) -> None:
        await asyncio.sleep(5000)
        while self._posts or self.world.state.webhooks.waiting:
            await self._deliver()
            await asyncio.sleep(1)
        if self._service is not None:
            # As a process does every ten seconds.
            await self._service.try_again()
            await self._service.confirmations.drain(600)

    def _judge(self) -> None:
        per_cycle: Counter[tuple[str, ...]] = Counter()
        sends = {
            (name.split("/")[-3], name.split("/")[-1]): self.world.get(
                name.removeprefix(f"{ROOT}/")
            )
            for name in self.world.names()
            if name.split("/")[-2] == "sends"
        }
        for message in self.world.accepted:
            if message.template is None:
                continue
            assert message.callback_data is not None
            _, cnpj, attempt_id = message.callback_data.split(".")
            send = sends[cnpj, attempt_id]
            key = (cnpj, send["campaignType"], send["customerId"])
            out = self._opted_out.get((cnpj, same_person(message.to)))
            self._require(out is None or message.at <= out, f"{key} was sent after an opt-out")
            self._require(message.at < self._expires_at[key], f"{key} was sent after it expired")
            told = {event.status for event in message.events}
            if "failed" not in told:
                per_cycle[(*key, send["cycleKey"])] += 1
            self._judge_send(send, message, told)
        twice = [key for key, count in per_cycle.items() if count > 1]
        self._require(not twice, f"messaged twice in a cycle: {twice}")
        self._judge_targets(sends)

    def _judge_send(self, send: dict[str, Any], message: Message, told: set[str]) -> None:
        """Every attempt says what WhatsApp told of it, unless nothing could name it."""
        wanted = next((s for s in ("read", "delivered", "failed", "sent") if s in told), None)
        is_nameless = message.id not in self._named and "messageId" not in send
        if wanted is not None and not is_nameless:
            found = send["status"]
            self._require(found == wanted.upper(), f"{message.id}: {wanted} was told, not {found}")

    def _judge_targets(self, sends: dict[tuple[str, str], dict[str, Any]]) -> None:
        rules = ReceiptRules(CLASSES)
        for name in self.world.names():
            if name.split("/")[-2] != "targets":
                continue
            fields = self.world.get(name.removeprefix(f"{ROOT}/"))
            key = (fields["cnpj"], fields["campaignType"], fields["customerId"])
            log, status = fields.get("attemptLog", []), fields["status"]
            is_open = bool(log) and log[-1]["status"] == "SENDING"
            counted = sum(rules.counted(entry) for entry in log)
            self._require(counted == fields["attempts"], f"{key} counts {fields['attempts']}")
            for entry in log:
                send = sends[fields["cnpj"], entry["attemptId"]]
                told = send["status"] if send["status"] != "UNKNOWN" else "SENDING"
                self._require(entry["status"] == told, f"{key}: {entry['status']}, not {told}")
            has_arrived = any(entry["status"] in {"DELIVERED", "READ"} for entry in log)
            if has_arrived and not is_open:
                self._require(status == "DELIVERED", f"{key} has arrived and is {status}")
            is_out = (key[0], same_person(fields["phone"])) in self._opted_out
            person = {f"customer:{key[2]}", f"phone:{same_person(fields['phone'])}"}
            is_suppressed = any(
                person & set(found["keys"]) for found in self.world.suppressions(fields["cnpj"])
            )
            waits = status == "PENDING" and not is_open
            self._require(not waits or is_out or is_suppressed, f"{key} still waits")
