"""`vmhub webhook` as a process: the fake's signed POSTs, kill -9, SIGTERM, and a rude client."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from loader.local.servers import free_port
from loader.local.whatsapp import WHATSAPP_SECRETS
from loader.operations.status.alerts import conditions
from loader.operations.status.facts import Limits
from loader.operations.status.queries import read_facts
from tests.support import NUMERIC_CNPJ, official_client
from tests.whatsapp.calls import ANA, NOW, NUMBER, TOKEN, message
from whatsapp.fake.payloads import sign

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loader.base.environment import Environment
    from loader.services import Services
    from tests.whatsapp.calls import Fake

CNPJ = str(NUMERIC_CNPJ)
SECRET = WHATSAPP_SECRETS["WHATSAPP_APP_SECRET"]
PORT = free_port()


@pytest.fixture
def documents(environment: Environment) -> Any:
    client = official_client(environment)
    user = client.document("users", CNPJ)
    account = {
        "phoneNumberId": NUMBER,
        "wabaId": "3001",
        "portfolioId": "1001",
        "tokenSecret": "WHATSAPP_TOKEN",
        "enabled": True,
    }
    user.set({"active": True, "name": "Lava Bem", "whatsapp": account})
    entry = {"attempt": 1, "attemptId": "a1", "at": NOW, "status": "SENDING"}
    send = {"campaignType": "BIRTHDAY", "customerId": "c1", "cycleKey": "2026", "attempt": 1}
    client.document("users", CNPJ, "sends", "a1").set(send | {"at": NOW, "status": "UNKNOWN"})
    target = client.document("users", CNPJ, "campaigns", "BIRTHDAY", "targets", "c1")
    target.set(
        {"status": "PENDING", "attempts": 0, "cycleKey": "2026", "attemptLog": [entry]},
    )
    return client


@contextmanager
def webhook(environment: Environment, fake: Fake) -> Iterator[subprocess.Popen[str]]:
    variables = environment.variables() | WHATSAPP_SECRETS
    variables |= {"WHATSAPP_API_URL": fake.url, "WHATSAPP_TOKEN": TOKEN}
    command = [sys.executable, "-m", "loader", "webhook", "--port", str(PORT)]
    command += ["--as-of", NOW.isoformat(), "--json"]
    with subprocess.Popen(
        command,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            while not is_up():
                assert process.poll() is None, process.communicate()[1]
                time.sleep(0.05)
            yield process
        finally:
            process.kill()


def is_up() -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{PORT}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def test_from_signed_posts_to_documents_through_the_end_of_the_process(
    environment: Environment, services: Services, documents: Any, fake: Fake
) -> None:
    fake.set(
        webhooks={
            "url": f"http://127.0.0.1:{PORT}/webhook",
            "app_secret": SECRET,
            "follow_up": [{"status": "sent"}, {"status": "delivered"}, {"status": "read"}],
            "batch_size": 2,
            "shuffles": True,
            "doubles_percent": 100,
        }
    )
    data = f"v1.{CNPJ}.a1"
    assert fake.send(message(biz_opaque_callback_data=data)).status_code == 200
    fake.happen("reply", number_id=NUMBER, sender=ANA.removeprefix("+"), text="SAIR")
    with webhook(environment, fake) as process:
        # Nobody knows how much of the POST was done when it dies.
        with connected(b"{}", length=1_000):
            process.send_signal(signal.SIGKILL)
            process.wait(10)
        assert {one["status"] for one in fake.deliver()} == {None}
    with webhook(environment, fake) as process:
        fake.advance(10)
        assert {one["status"] for one in fake.deliver()} == {200}
        fake.set(webhooks=fake.settings["webhooks"] | {"doubles_percent": 0})
        fake.happen("raw", waba_id="3001", field="messages", value={"statuses": [{"id": "x"}]})
        assert {one["status"] for one in fake.deliver()} == {200}
        paused = {"template_id": fake.template_id(), "status": "PAUSED"}
        fake.happen("template_status", **paused)
        assert {one["status"] for one in fake.deliver()} == {200}
        fake.set(webhooks=fake.settings["webhooks"] | {"app_secret": "wrong"})
        fake.happen("reply", number_id=NUMBER, sender="5511990000009", text="SAIR")
        assert {one["status"] for one in fake.deliver()} == {401}
        rude()
        # On SIGTERM what is under way is taken to its end.
        raw = json.dumps({"entry": []}).encode()
        with connected(raw[:5], length=len(raw), signature=sign(raw, SECRET)) as connection:
            time.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            connection.sendall(raw[5:])
            assert connection.recv(1_000).startswith(b"HTTP/1.1 200")
        out, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    counts = json.loads(out)
    assert counts["answers"]["200"] >= 3
    assert counts["answers"]["401"] >= 1
    assert counts["items"]["rejected"] == 1
    assert counts["confirmations"]["sent"] == 1
    for text in (out, err):
        assert "99000" not in text

    check_documents(documents, fake)
    check_rows(services)


def check_documents(documents: Any, fake: Fake) -> None:
    send = documents.document("users", CNPJ, "sends", "a1").get().to_dict()
    assert (send["status"], send["pricing"]["billable"]) == ("READ", True)
    target = documents.document("users", CNPJ, "campaigns", "BIRTHDAY", "targets", "c1").get()
    assert target.to_dict()["status"] == "DELIVERED"
    assert target.to_dict()["attempts"] == 1
    suppressed = list(documents.collection("users", CNPJ, "suppressions").stream())
    assert [one.to_dict()["phone"] for one in suppressed] == [ANA]
    texts = [row["text"] for row in fake.ledger(f"?to={ANA[1:]}") if row["template"] is None]
    assert len(texts) == 1
    assert "Lava Bem" in texts[0]


def check_rows(services: Services) -> None:
    rejects = services.warehouse.query(
        "select kind, reason from `VMHUB_OPS.webhook_rejects`", doing="reading rejects"
    )
    assert [tuple(row.values()) for row in rejects] == [
        ("status", "metadata.phone_number_id is missing")
    ]
    as_of = NOW + timedelta(hours=1)
    facts = read_facts(services.warehouse, [], [], as_of=as_of)
    alerts = conditions(facts, Limits()).wrong
    assert "whatsapp:template:3001:vmhub_test_v1 pt_BR" in alerts
    assert facts.webhook is not None
    assert facts.webhook.rejected == 1


def rude() -> None:
    """Ask for what no server should give."""
    with connected(b"x" * 100_000, length=10 * 1024 * 1024) as connection:
        assert connection.recv(1_000).startswith(b"HTTP/1.1 413")
    with socket.create_connection(("127.0.0.1", PORT), timeout=10) as connection:
        connection.sendall(b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\n\r\n")
        assert connection.recv(1_000).startswith(b"HTTP/1.1 400")
    assert is_up()


@contextmanager
def connected(part: bytes, *, length: int, signature: str = "") -> Iterator[socket.socket]:
    """Begin a POST, and send a part of its body."""
    with socket.create_connection(("127.0.0.1", PORT), timeout=10) as connection:
        head = (
            "POST /webhook HTTP/1.1\r\nHost: hook\r\n"
            f"Content-Length: {length}\r\nX-Hub-Signature-256: {signature}\r\n\r\n"
        )
        connection.sendall(head.encode() + part)
        yield connection
