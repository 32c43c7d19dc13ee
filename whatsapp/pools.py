"""Many small pools of connections instead of a large one.

For every request, httpx2's pool asks the system for each idle connection whether it is still open.
With 64 calls under way for one number this took a third of the sender's CPU time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

__all__ = ["SpreadTransport"]


class _Counted(httpx2.AsyncByteStream):
    """A response's body; calls ``ended`` when it has been read or given up."""

    def __init__(self, body: httpx2.AsyncByteStream, ended: Callable[[], None]) -> None:
        self._body, self._ended = body, ended

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._body.__aiter__()

    async def aclose(self) -> None:
        try:
            await self._body.aclose()
        finally:
            self._ended()


class SpreadTransport(httpx2.AsyncBaseTransport):
    """Sends each request through the first pool with a free place, so few connections stay open."""

    def __init__(
        self, new_pool: Callable[[int], httpx2.AsyncBaseTransport], *, connections: int, size: int
    ) -> None:
        """Make the pools.

        Args:
            new_pool: Returns a pool of the given number of connections.
            connections: How many calls may be under way.
            size: Connections of one pool.

        """
        self._size = size
        self._pools = [new_pool(size) for _ in range(-(-connections // size))]
        self._under_way = [0] * len(self._pools)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request; the pool's place is taken until the response is closed."""
        number = self._free()
        self._under_way[number] += 1
        is_over = False

        def ended() -> None:
            nonlocal is_over
            if not is_over:
                is_over = True
                self._under_way[number] -= 1

        try:
            response = await self._pools[number].handle_async_request(request)
        except BaseException:
            ended()
            raise
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Counted(response.stream, ended)
        return response

    def _free(self) -> int:
        for number, count in enumerate(self._under_way):
            if count < self._size:
                return number
        # No pool has a free place: the request waits in the least busy one.
        return min(range(len(self._pools)), key=self._under_way.__getitem__)

    async def aclose(self) -> None:
        """Close all connections."""
        for pool in self._pools:
            await pool.aclose()
