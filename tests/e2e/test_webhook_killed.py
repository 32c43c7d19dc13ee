"""`vmhub webhook`, killed with -9 at any step in Firestore, ends in the same documents."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import grpc
import httpx2
import pytest

from loader.local.servers import free_port
from tests.faults.backends import RefusedCall
from tests.faults.server import Moment, serving
from tests.support import AS_OF
from tests.whatsapp.calls import ACCOUNTS, NUMBER, WABA, Fake
from tests.whatsapp.sending.world import CNPJ, phone_of
from tests.whatsapp.webhook.world import PHONE_SECRET, SECRET, Hooked, body, inbound, status
from whatsapp.fake.payloads import sign
from whatsapp.fake.server import running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.process import BaseProcess

    from tests.faults.server import FaultServer, Point

_SECONDS = 60.0
_HTTP = httpx2.Client(timeout=_SECONDS, trust_env=False)
# A process that this server forks has imported everything already: dozens are started here.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["loader.cli.app", "loader.cli.webhook"])


def receive(variables: dict[str, str], port: int) -> None:
    """Be `vmhub webhook`; a process of its own calls this."""
    from loader.cli.app import main  # noqa: PLC0415 - only this process runs it

    os.environ.update(variables)
    sys.argv = ["vmhub", "webhook", "--port", str(port), "--as-of", AS_OF.isoformat()]
    main()


def events() -> list[bytes]:
    """Return the POSTs of one history: receipts, an unknown message, SAIR, and a pause."""
    told = [
        status("sent", AS_OF),
        status("delivered", AS_OF, pricing={"billable": True, "category": "marketing"}),
        status("failed", AS_OF, attempt="a2", message_id="wamid.2", code=131026),
        status("read", AS_OF, attempt=None, message_id="wamid.unknown"),
    ]
    paused = {
        "event": "PAUSED",
        "message_template_id": 7,
        "message_template_name": "vmhub_test_v1",
        "message_template_language": "pt_BR",
        "reason": "NONE",
    }
    news = {"field": "message_template_status_update", "value": paused}
    whole = body(statuses=told, messages=[inbound("SAIR", AS_OF)])
    whole["entry"].append({"id": WABA, "time": int(AS_OF.timestamp()), "changes": [news]})
    return [json.dumps(whole).encode()]


@dataclass
class Play:
    """One history, with a webhook that dies once, if at all."""

    world: Hooked
    server: FaultServer
    fake: Fake
    variables: dict[str, str]
    dies_at: int | None
    steps: int = 0
    """How many points its calls to Firestore have reached."""
    process: BaseProcess | None = None
    is_counted: bool = False
    has_died: bool = False

    def reach(self, point: Point) -> None:
        """Count a point; kill the process at the chosen one, before its call takes effect."""
        if not self.is_counted:
            return
        step, self.steps = self.steps, self.steps + 1
        assert self.process is not None
        if step == self.dies_at:
            self.has_died = True
            self.process.kill()
        if self.has_died and point.moment is Moment.BEFORE:
            raise RefusedCall(grpc.StatusCode.UNAVAILABLE, "its webhook is dead")

    def run(self) -> None:
        """Post everything until it is answered 200 and confirmed, by two processes if one dies."""
        self.server.hook = self.reach
        with self._receiving() as port:
            self.is_counted = True
            answered = all(self._answers(port, raw) == 200 for raw in events())
            self._confirmed()
            self.is_counted = False
        self.has_died = False
        if self.dies_at is None:
            assert answered
            return
        assert self.steps > self.dies_at
        # Meta sends again what met no 200. What met one may come again, too.
        with self._receiving() as port:
            assert [self._answers(port, raw) for raw in events()] == [200] * len(events())
            self._confirmed()

    @contextmanager
    def _receiving(self) -> Iterator[int]:
        port = free_port()
        process = _FORKS.Process(target=receive, args=(self.variables, port), daemon=True)
        self.process = process
        process.start()
        try:
            _until(lambda: _is_ready(port))
            yield port
        finally:
            process.kill()
            process.join()

    def _answers(self, port: int, raw: bytes) -> int | None:
        headers = {"X-Hub-Signature-256": sign(raw, SECRET)}
        url = f"http://127.0.0.1:{port}/webhook"
        try:
            return _HTTP.post(url, content=raw, headers=headers).status_code
        except httpx2.TransportError:
            assert self.has_died
            return None

    def _confirmed(self) -> None:
        """Wait for the confirmation, or for what shows that none will come."""
        _until(lambda: self.has_died or bool(self.texts()) or self._has_claimed_before())

    def _has_claimed_before(self) -> bool:
        # A process that died between the claim and the message: nobody sends a second one.
        return self.dies_at is not None and not self.is_counted and bool(self.confirmations())

    def confirmations(self) -> dict[str, Any]:
        return self.world.all_below(f"users/{CNPJ}/confirmations")

    def texts(self) -> list[Any]:
        return [row for row in self.fake.ledger() if row["template"] is None]

    def documents(self) -> dict[str, Any]:
        """Return every document without the instants at which it was written."""
        return {
            name: _without_own_instants(self.world.get(name.removeprefix(f"{self.world.root}/")))
            for name in self.world.names()
        }


@pytest.fixture(scope="module")
def whatsapp() -> Iterator[Fake]:
    with running(Hooked().state) as url, Fake(url) as fake:
        yield fake


def play(whatsapp: Fake, dies_at: int | None) -> Play:
    """Play the history with a Firestore of its own."""
    world = Hooked()
    world.laundromat(tokenSecret="WHATSAPP_TOKEN")
    world.under_way("a1", customer_id="c1")
    world.under_way("a2", customer_id="c2")
    whatsapp.reset(AS_OF)
    whatsapp.control("POST", "accounts", ACCOUNTS)
    # WhatsApp takes a free text only from whom has just been written to.
    sender = phone_of(1).removeprefix("+")
    whatsapp.happen("reply", number_id=NUMBER, sender=sender, text="SAIR")
    with serving(world.backend) as server:
        variables = {
            "GOOGLE_CLOUD_PROJECT": "test",
            "FIRESTORE_EMULATOR_HOST": server.host,
            # Nothing is recorded in BigQuery within the seconds of a play.
            "BIGQUERY_EMULATOR_HOST": "http://127.0.0.1:9",
            "BIGQUERY_STORAGE_EMULATOR_HOST": "127.0.0.1:9",
            "WHATSAPP_API_URL": whatsapp.url,
            "WHATSAPP_TOKEN": next(iter(world.tokens.values())),
            "VMHUB_APP_SECRETS": "ONE",
            "ONE": SECRET,
            "VMHUB_VERIFY_TOKEN": "verify-token",
            "VMHUB_PHONE_KEY": PHONE_SECRET.decode(),
        }
        one = Play(world, server, whatsapp, variables, dies_at)
        one.run()
        return one


@pytest.mark.parametrize("each", [4, pytest.param(1, marks=pytest.mark.large)])
def test_documents_do_not_depend_on_where_the_webhook_was_killed(each: int, whatsapp: Fake) -> None:
    undisturbed = play(whatsapp, None)
    assert len(undisturbed.texts()) == 1
    wanted = undisturbed.documents()
    assert {one["status"] for name, one in wanted.items() if "/sends/" in name} == {
        "DELIVERED",
        "FAILED",
    }
    assert any("/suppressions/" in name for name in wanted)
    assert undisturbed.steps > 20
    for step in range(0, undisturbed.steps, each):
        killed = play(whatsapp, step)
        assert killed.documents() == wanted, f"killed at step {step}"
        assert len(killed.texts()) <= 1, f"killed at step {step}"


def _without_own_instants(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_own_instants(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_own_instants(item) for item in value]
    if isinstance(value, datetime) and value != AS_OF:
        return "an instant"
    return value


def _is_ready(port: int) -> bool:
    try:
        return _HTTP.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
    except httpx2.TransportError:
        return False


def _until(is_true: Any) -> None:
    end = time.monotonic() + _SECONDS
    while not is_true():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.05)
