"""Memory does not grow with the number of targets; `make bench-sync` measures it at a million."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from google.cloud.firestore_v1.types import BatchWriteRequest, BatchWriteResponse

from loader.base.environment import Environment
from loader.firestore.client import connect
from loader.firestore.targets import TargetStore
from loader.sync.model import Outcome, Target
from loader.sync.run import sync
from tests.faults.server import serving
from tests.loader.fakes import make_target
from tests.support import ALL_TRACKED, AS_OF, NUMERIC_CNPJ

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from loader.base.cnpj import Cnpj
    from tests.faults.backends import Call

_DATA = json.dumps({"message": "x" * 1_000})


class _Sink:
    """A Firestore that accepts every write and stores none."""

    def answer(self, call: Call) -> Iterator[bytes]:
        if call.method == "BatchWrite":
            count = len(BatchWriteRequest.pb().FromString(call.request).writes)
            reply = BatchWriteResponse.pb()(write_results=[{}] * count, status=[{}] * count)
            yield reply.SerializeToString()


@dataclass
class _Rows:
    """A campaign_targets whose rows are generated on every read."""

    count: int

    def published_at(self, cnpj: Cnpj) -> datetime | None:
        assert cnpj == NUMERIC_CNPJ
        return AS_OF

    def opted_out(self, cnpj: Cnpj) -> set[tuple[str, str]]:
        assert cnpj == NUMERIC_CNPJ
        return set()

    def targets(self, cnpj: Cnpj) -> _Rows:
        assert cnpj == NUMERIC_CNPJ
        return self

    def __iter__(self) -> Iterator[list[Target]]:
        for start in range(0, self.count, 500):
            numbers = range(start, min(start + 500, self.count))
            yield [make_target(f"customer {number}", data=f"{_DATA} ") for number in numbers]


def test_forty_thousand_rows_more_take_less_than_a_tenth_of_their_size() -> None:
    with serving(_Sink()) as server:
        _peak_bytes(server.host, 500)
        small, large = _peak_bytes(server.host, 4_000), _peak_bytes(server.host, 44_000)
    assert (large - small) / 40_000 < len(_DATA) / 10


@pytest.mark.large
@pytest.mark.timeout(3600)
def test_each_of_a_million_rows_has_its_outcome_within_300_mebibytes() -> None:
    with serving(_Sink()) as server:
        assert _peak_bytes(server.host, 1_000_000) < 300 * 2**20


def _peak_bytes(host: str, count: int) -> int:
    database = connect(Environment("test-sink", firestore_host=host))
    tracemalloc.start()
    try:
        with database.channel:
            report = sync(
                _Rows(count),
                TargetStore(database, NUMERIC_CNPJ, watermark=ALL_TRACKED),
                cnpj=NUMERIC_CNPJ,
                as_of=AS_OF,
                campaign_types=["BIRTHDAY"],
                max_attempts=3,
            )
        assert report.total(Outcome.CREATED) == count
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
