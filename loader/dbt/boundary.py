"""Limits a build's requests to BigQuery to the datasets of one laundromat.

Models, tests, hooks, `run_query` in macros and dbt's own look-ups all use the same BigQuery client.
Its requests are checked here, just before they are sent. IAM is a second barrier behind this one
(docs/real-project.md).
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

from loader.bigquery.declaration import OPS_DATASET
from loader.dbt.statements import statement_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from loader.base.cnpj import Cnpj

__all__ = ["REFUSED", "Boundary", "bounded", "guarded"]

REFUSED = "Refused before it was sent"
"""The beginning of the error for a refused request; the error quotes no row."""

_DATASET_IN_PATH = re.compile(r"/datasets/([^/?]+)")


@dataclass(frozen=True)
class Boundary:
    """The boundary of one build."""

    cnpj: Cnpj
    project: str
    writes: str
    """The dataset that is built."""
    ops_readers: frozenset[str] = frozenset()
    """The dbt nodes that may read the laundromat's own rows of VMHUB_OPS."""

    def statement_problem(self, sql: str, node: str = "") -> str:
        """Return what is wrong with a node's statement; empty if nothing is."""
        return statement_problem(
            sql,
            cnpj=self.cnpj,
            project=self.project,
            writes=self.writes,
            may_read_ops=node in self.ops_readers,
        )

    def request_problem(self, path: str, data: Any, node: str = "") -> str:
        """Return what is wrong with a request to BigQuery's REST API; empty if nothing is.

        Args:
            path: Such as ``/projects/p/datasets/d/tables/t``.
            data: The JSON body.
            node: The dbt node that makes the request.

        """
        content: dict[str, Any] = data if isinstance(data, dict) else {}
        if path.endswith("/queries"):
            return self._query_problem(content, node)
        if path.endswith("/jobs"):
            configuration = content.get("configuration") or {}
            if "query" in configuration:
                return self._query_problem(configuration["query"], node)
            named = [
                part.get("datasetId", "")
                for job in ("copy", "extract", "load")
                for part in _table_references(configuration.get(job) or {})
            ]
        else:
            named = _DATASET_IN_PATH.findall(path)
            if path.endswith("/datasets"):
                named += [(content.get("datasetReference") or {}).get("datasetId", "")] * bool(
                    content
                )
        foreign = [name for name in named if not self._is_own(name)]
        return f"it asks for dataset {foreign[0]}" if foreign else ""

    def _query_problem(self, query: dict[str, Any], node: str) -> str:
        if query.get("useLegacySql"):
            return "it is legacy SQL"
        for part in ("destinationTable", "defaultDataset"):
            name = (query.get(part) or {}).get("datasetId")
            if name and not self._is_own(name):
                return f"its {part} is in dataset {name}"
        return self.statement_problem(str(query.get("query")), node)

    def _is_own(self, dataset: str) -> bool:
        # BigQuery keeps results in datasets with a random name that begins with an underscore.
        own = {f"{self.cnpj}_{suffix}" for suffix in ("RAW", "CAMPAIGN", "PREVIEW")}
        return dataset in own or dataset.startswith("_") or dataset == OPS_DATASET


class _Current:
    """The boundary of the build that this process runs; dbt's threads share it."""

    boundary: Boundary | None = None


@contextmanager
def bounded(boundary: Boundary) -> Iterator[None]:
    """Limit dbt's requests to a boundary within the block; outside of one, all are refused."""
    before, _Current.boundary = _Current.boundary, boundary
    try:
        yield
    finally:
        _Current.boundary = before


def guarded(create: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Wrap dbt's function that makes a BigQuery client, so that its requests are checked."""

    @wraps(create)
    def create_guarded(credentials: Any) -> Any:
        client = create(credentials)
        connection = client._connection  # noqa: SLF001 - all requests but uploads go through it
        send, load = connection.api_request, client.load_table_from_file

        def checked_request(**request: Any) -> Any:
            _check(request.get("path", ""), request.get("data"))
            return send(**request)

        def checked_load(file: Any, destination: Any, *args: Any, **options: Any) -> Any:
            _check(f"/datasets/{destination.dataset_id}", None)
            return load(file, destination, *args, **options)

        connection.api_request = checked_request
        client.load_table_from_file = checked_load
        return client

    return create_guarded


def _check(path: str, data: Any) -> None:
    """Raise an error of dbt if a request crosses the boundary; dbt reports it like any other."""
    from dbt_common.events.contextvars import get_node_info  # noqa: PLC0415
    from dbt_common.exceptions import DbtRuntimeError  # noqa: PLC0415

    boundary = _Current.boundary
    problem = (
        boundary.request_problem(path, data, str((get_node_info() or {}).get("unique_id")))
        if boundary is not None
        else "no laundromat is being built"
    )
    if problem:
        whose = f"laundromat {boundary.cnpj}" if boundary else "any laundromat"
        message = f"{REFUSED}: {problem}, beyond what a build of {whose} may touch"
        raise DbtRuntimeError(message)


def _table_references(configuration: Any) -> Iterator[dict[str, Any]]:
    """Yield every map with a dataset's name in a job's configuration."""
    if isinstance(configuration, dict):
        if "datasetId" in configuration:
            yield configuration
        for value in configuration.values():
            yield from _table_references(value)
    elif isinstance(configuration, list):
        for value in configuration:
            yield from _table_references(value)
