"""A fake WhatsApp with one account, whose clock stands still, and a receiver of its webhooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.whatsapp.calls import ACCOUNTS, NOW, Fake
from tests.whatsapp.receiver import Receiver
from whatsapp.fake.server import running
from whatsapp.fake.state import FakeState

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def fake_server() -> Iterator[Fake]:
    with running(FakeState()) as url, Fake(url) as fake:
        yield fake


@pytest.fixture
def fake(fake_server: Fake) -> Fake:
    fake_server.reset(NOW)
    fake_server.control("POST", "accounts", ACCOUNTS)
    fake_server.approve_templates()
    return fake_server


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver
