"""The HTTP side: who may post, how much, and what is answered."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from tests.whatsapp.sending.connections import rpc_error
from tests.whatsapp.sending.virtual_time import run_in_virtual_time
from tests.whatsapp.webhook.world import SECRET, Hooked, body, inbound, status
from whatsapp.fake.payloads import sign
from whatsapp.webhook.app import Bounds
from whatsapp.webhook.signature import is_signed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import httpx2

    from whatsapp.webhook.process import Service

    Play = Callable[[Service, httpx2.AsyncClient], Awaitable[None]]


@pytest.fixture
def world() -> Hooked:
    world = Hooked()
    world.laundromat()
    world.sent()
    return world


def play(world: Hooked, steps: Play, **made: Any) -> None:
    async def run() -> None:
        service = await world.service(**made)
        async with world.http(service) as client:
            await steps(service, client)

    run_in_virtual_time(run())


def told(world: Hooked) -> bytes:
    return json.dumps(body(statuses=[status("delivered", world.began)])).encode()


# The handshake


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({}, (200, "12345")),
        ({"hub.verify_token": "wrong"}, (403, "")),
        ({"hub.verify_token": "ç"}, (403, "")),
        ({"hub.verify_token": None}, (403, "")),
        ({"hub.mode": "unsubscribe"}, (400, "")),
        ({"hub.challenge": None}, (400, "")),
    ],
)
def test_the_handshake(
    world: Hooked, changes: dict[str, str | None], answer: tuple[int, str]
) -> None:
    query = {
        "hub.mode": "subscribe",
        "hub.verify_token": "verify-token",
        "hub.challenge": "12345",
    } | changes

    async def steps(_service: Service, client: httpx2.AsyncClient) -> None:
        asked = {name: value for name, value in query.items() if value is not None}
        found = await client.get("/webhook", params=asked)
        assert (found.status_code, found.text) == answer
        assert found.headers.get("content-type", "text/plain").startswith("text/plain")

    play(world, steps)


# Signatures


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "sha256=",
        "sha256=00",
        "sha1=" + "0" * 40,
        "sha256=" + "0" * 64,
        "SHA512=" + "0" * 128,
        "é",
    ],
)
def test_what_is_not_signed_changes_nothing_and_is_counted(
    world: Hooked, header: str | None
) -> None:
    before = world.send()

    async def steps(service: Service, client: httpx2.AsyncClient) -> None:
        headers = [(b"X-Hub-Signature-256", header.encode())] if header is not None else []
        found = await client.post("/webhook", content=told(world), headers=headers)
        assert found.status_code == 401
        assert service.counts()["answers"] == {"401": 1}

    play(world, steps)
    assert world.send() == before


def test_a_body_that_was_changed_or_cut_or_signed_twice_is_refused(world: Hooked) -> None:
    raw = told(world)
    right = sign(raw, SECRET)

    async def steps(_service: Service, client: httpx2.AsyncClient) -> None:
        name = "X-Hub-Signature-256"
        for content in (raw + b" ", raw[:-1], raw.replace(b"delivered", b"read")):
            found = await client.post("/webhook", content=content, headers={name: right})
            assert found.status_code == 401
        twice = [(name, right), (name, sign(raw, "another"))]
        assert (await client.post("/webhook", content=raw, headers=twice)).status_code == 401

    play(world, steps)
    assert world.send()["status"] == "SENDING"


def test_the_header_may_be_written_in_any_case(world: Hooked) -> None:
    raw = told(world)
    right = sign(raw, SECRET)
    for header in (right, right.upper(), f" {right} ", "sha256=" + right[7:].upper()):
        assert is_signed(raw, header.encode(), [SECRET])
        assert is_signed(raw, header.encode(), ["old", SECRET])
        assert not is_signed(raw, header.encode(), ["old"])
    assert not is_signed(raw, right.encode(), [])


def test_secrets_are_rotated_without_a_restart(world: Hooked) -> None:
    world.app_secrets["TWO"] = "old-secret"

    async def steps(_service: Service, client: httpx2.AsyncClient) -> None:
        async def post(secret: str) -> int:
            headers = {"X-Hub-Signature-256": sign(told(world), secret)}
            found = await client.post("/webhook", content=told(world), headers=headers)
            return found.status_code

        assert [await post(SECRET), await post("old-secret"), await post("new")] == [200, 200, 401]
        await asyncio.sleep(31)
        world.app_secrets["TWO"] = "new"
        # Within seconds, not only when the kept one is read anew.
        assert await post("new") == 200
        assert await post("old-secret") == 401

    play(world, steps, names=("ONE", "TWO"))


def test_wrong_signatures_do_not_ask_for_the_secrets_all_the_time(world: Hooked) -> None:
    async def steps(service: Service, client: httpx2.AsyncClient) -> None:
        headers = {"X-Hub-Signature-256": "sha256=" + "0" * 64}
        await client.post("/webhook", content=b"{}", headers=headers)
        del world.app_secrets["ONE"]
        for _ in range(5):
            found = await client.post("/webhook", content=b"{}", headers=headers)
            assert found.status_code == 401
        assert service.counts()["answers"] == {"401": 6}

    play(world, steps)


def test_without_its_secret_nothing_is_refused_for_good(world: Hooked) -> None:
    del world.app_secrets["ONE"]

    async def steps(_service: Service, client: httpx2.AsyncClient) -> None:
        headers = {"X-Hub-Signature-256": sign(told(world), SECRET)}
        found = await client.post("/webhook", content=told(world), headers=headers)
        assert found.status_code == 500
        assert (await client.get("/readyz")).status_code == 503

    play(world, steps)


# Bounds


def test_a_body_of_ten_megabytes_is_not_read(world: Hooked) -> None:
    read = 0

    async def parts() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(10):
            read += 1
            yield b"x" * 1024 * 1024

    async def steps(service: Service, client: httpx2.AsyncClient) -> None:
        found = await client.post("/webhook", content=b"x" * 10 * 1024 * 1024)
        assert found.status_code == 413
        assert found.headers["connection"] == "close"
        # Without a content-length it is counted as it comes.
        assert (await client.post("/webhook", content=parts())).status_code == 413
        assert service.counts()["answers"] == {"413": 2}

    play(world, steps)


def test_a_body_of_three_megabytes_is_taken(world: Hooked) -> None:
    raw = told(world)
    raw += b" " * (3 * 1024 * 1024 - len(raw))

    async def steps(_service: Service, client: httpx2.AsyncClient) -> None:
        headers = {"X-Hub-Signature-256": sign(raw, SECRET)}
        assert (await client.post("/webhook", content=raw, headers=headers)).status_code == 200

    play(world, steps)
    assert world.send()["status"] == "DELIVERED"


def test_a_body_that_comes_too_slowly_is_given_up(world: Hooked) -> None:
    async def steps(service: Service, _client: httpx2.AsyncClient) -> None:
        answer: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            await asyncio.sleep(3)
            return {"type": "http.request", "body": b"x", "more_body": True}

        async def send(message: dict[str, Any]) -> None:
            answer.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/webhook",
            "headers": [],
            "query_string": b"",
        }
        await service.app.starlette()(scope, receive, send)  # type: ignore[arg-type]
        assert answer[0]["status"] == 408

    play(world, steps)


def test_beyond_so_many_at_a_time_meta_is_told_to_come_again(world: Hooked) -> None:
    raw = told(world)
    headers = {"X-Hub-Signature-256": sign(raw, SECRET)}

    async def slow(_what: str, moment: str) -> None:
        if moment == "before":
            await asyncio.sleep(1)

    async def steps(_service: Service, client: httpx2.AsyncClient) -> None:
        world.hook_channel.hook = slow
        found = await asyncio.gather(
            *(client.post("/webhook", content=raw, headers=headers) for _ in range(5))
        )
        assert sorted(answer.status_code for answer in found) == [200, 200, 503, 503, 503]
        busy = next(answer for answer in found if answer.status_code == 503)
        assert busy.headers["retry-after"] == "1"

    play(world, steps, bounds=Bounds(at_a_time=2))


def test_what_takes_too_long_is_to_come_again(world: Hooked) -> None:
    async def stuck(_what: str, _moment: str) -> None:
        await asyncio.sleep(3600)

    async def steps(_service: Service, client: httpx2.AsyncClient) -> None:
        world.hook_channel.hook = stuck
        headers = {"X-Hub-Signature-256": sign(told(world), SECRET)}
        found = await client.post("/webhook", content=told(world), headers=headers)
        assert found.status_code == 500
        assert world.now() - world.began < timedelta(seconds=30)

    play(world, steps)


# Health


def test_health_and_readiness(world: Hooked) -> None:
    async def down(_what: str, _moment: str) -> None:
        raise rpc_error(grpc.StatusCode.UNAVAILABLE)

    async def steps(_service: Service, client: httpx2.AsyncClient) -> None:
        assert (await client.get("/readyz")).status_code == 200
        world.hook_channel.hook = down
        assert (await client.get("/healthz")).status_code == 200
        # Whoever asks all the time makes nobody ask Firestore all the time.
        assert (await client.get("/readyz")).status_code == 200
        await asyncio.sleep(2)
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/elsewhere")).status_code == 404
        assert (await client.put("/webhook")).status_code == 405

    play(world, steps)


# What cannot be read

GOOD = {"timestamp": "1795000000", "id": "wamid.1", "status": "delivered"}
BAD_STATUSES: list[Any] = [
    None,
    "status",
    [],
    {},
    GOOD | {"status": "arrived"},
    GOOD | {"status": 5},
    GOOD | {"timestamp": "yesterday"},
    GOOD | {"timestamp": "99999999999999999999"},
    GOOD | {"timestamp": None},
    GOOD | {"id": ""},
    GOOD | {"id": "x" * 300},
    GOOD | {"id": {"a": 1}},
]
BAD_BODIES = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"\xff\xfe",
    b'{"entry": 5}',
    b'{"entry": [5]}',
    b'{"entry": [{"changes": [5]}]}',
    b'{"entry": [{"changes": [{"value": []}]}]}',
    b'{"entry": [{"changes": [{"field": "messages", "value": {"statuses": 5}}]}]}',
    b'{"entry": [{"changes": [{"field": "messages", "value": {"statuses": [{}]}}]}]}',
    b"[" * 100_000,
]


@pytest.mark.parametrize("bad", BAD_STATUSES)
def test_an_item_that_cannot_be_read_is_kept_and_holds_nobody_back(world: Hooked, bad: Any) -> None:
    async def steps(service: Service, _client: httpx2.AsyncClient) -> None:
        both = body(statuses=[bad, status("delivered", world.began), bad])
        assert await world.posted(service, both) == [200]
        assert service.counts()["items"]["rejected"] == 2
        for row in service.log._rows["webhook_rejects"]:  # noqa: SLF001
            assert row["kind"] == "status"
            assert row["reason"]
            assert row["phone_number_id"] == "5001"
            assert "wamid" not in str(row)

    play(world, steps)
    assert world.send()["status"] == "DELIVERED"


@pytest.mark.parametrize("raw", BAD_BODIES)
def test_a_signed_body_that_nobody_can_read_is_kept_as_a_reject(world: Hooked, raw: bytes) -> None:
    async def steps(service: Service, _client: httpx2.AsyncClient) -> None:
        assert await world.posted(service, raw) == [200]
        assert service.counts()["items"]["rejected"] == 1

    play(world, steps)


def test_what_a_frozen_webhook_writes_late_has_the_time_at_which_it_is_written() -> None:
    world = Hooked()
    world.laundromat()
    target = world.under_way()
    began = world.began
    post = body(statuses=[status("delivered", began)], messages=[inbound("SAIR", began)])
    paused = {
        "event": "PAUSED",
        "message_template_name": "vmhub_test_v1",
        "message_template_language": "pt_BR",
    }
    news = {"field": "message_template_status_update", "value": paused}
    post["entry"][0]["changes"].append(news)

    async def freeze(method: str, moment: str) -> None:
        if (method, moment) == ("Commit", "before"):
            # Its own clock was read; hours pass before anything is written.
            world.began += timedelta(hours=9)

    async def play() -> list[int]:
        service = await world.service()
        world.hook_channel.hook = freeze
        return await world.posted(service, post, rest=False)

    assert run_in_virtual_time(play()) == [200]
    (suppression,) = world.suppressions()
    (stored_news,) = world.all_below("portfolios/1001/news").values()
    for written in (world.get(target), world.send(), suppression, stored_news):
        assert written["updatedAt"] >= began + timedelta(hours=9)


def test_an_unforeseen_error_is_logged_without_its_text_and_comes_again(
    world: Hooked, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(what: str, _moment: str) -> None:
        if what == "BatchGetDocuments":
            message = "Ana +5511990000001"
            raise KeyError(message)

    async def steps(service: Service, _client: httpx2.AsyncClient) -> None:
        world.hook_channel.hook = broken
        assert await world.posted(service, told(world)) == [500]

    play(world, steps)
    assert "KeyError" in caplog.text
    assert "Ana" not in caplog.text
