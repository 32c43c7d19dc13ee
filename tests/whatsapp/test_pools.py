"""Requests are spread over small pools, and every place is given back."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from tests.whatsapp.sending.virtual_time import run_in_virtual_time
from whatsapp.pools import SpreadTransport


class Pool(httpx2.AsyncBaseTransport):
    """Answers after a second; remembers how many requests it had at a time."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.under_way = self.most = self.served = 0
        self.is_closed = False

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(1)
        finally:
            self.under_way -= 1
        if request.url.path == "/refused":
            message = "nobody is there"
            raise httpx2.ConnectError(message)
        self.served += 1
        return httpx2.Response(200, stream=httpx2.ByteStream(b"ok"))

    async def aclose(self) -> None:
        self.is_closed = True


def spread(pools: list[Pool]) -> SpreadTransport:
    def new_pool(size: int) -> Pool:
        pools.append(Pool(size))
        return pools[-1]

    return SpreadTransport(new_pool, connections=6, size=2)


def test_few_requests_stay_in_one_pool_and_many_fill_all() -> None:
    pools: list[Pool] = []

    async def play() -> None:
        async with httpx2.AsyncClient(transport=spread(pools), base_url="http://fake") as client:
            for _ in range(5):
                assert (await client.get("/")).content == b"ok"
            assert [pool.served for pool in pools] == [5, 0, 0]
            await asyncio.gather(*(client.get("/") for _ in range(6)))
            assert [pool.most for pool in pools] == [2, 2, 2]
            # What has no place waits in the pool itself, and none is left out.
            await asyncio.gather(*(client.get("/") for _ in range(9)))
            assert [pool.most for pool in pools] == [3, 3, 3]
            assert sum(pool.served for pool in pools) == 20

    run_in_virtual_time(play())
    assert all(pool.is_closed and pool.size == 2 for pool in pools)


def test_a_failed_and_a_cancelled_request_give_their_place_back() -> None:
    pools: list[Pool] = []

    async def play() -> None:
        async with httpx2.AsyncClient(transport=spread(pools), base_url="http://fake") as client:
            for _ in range(4):
                with pytest.raises(httpx2.ConnectError):
                    await client.get("/refused")
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(client.get("/"), 0.5)
            for _ in range(4):
                await client.get("/")
            assert [pool.served for pool in pools] == [4, 0, 0]

    run_in_virtual_time(play())


def test_a_response_keeps_its_place_until_it_is_closed() -> None:
    pools: list[Pool] = []

    async def play() -> None:
        transport = spread(pools)
        async with httpx2.AsyncClient(transport=transport, base_url="http://fake") as client:
            async with client.stream("GET", "/"), client.stream("GET", "/"):
                await client.get("/")
            await client.get("/")
            assert [pool.served for pool in pools] == [3, 1, 0]

    run_in_virtual_time(play())
