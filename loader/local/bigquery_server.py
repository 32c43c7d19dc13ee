"""Run bqemulator: ``python -m loader.local.bigquery_server PORTS_FILE [--data-dir …]``.

The ports are chosen by the system and written to PORTS_FILE once the server answers. DuckDB's
spatial extension, without which bqemulator does not start, comes from a package instead of the
network and is installed below $HOME, which the stack points to a folder of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import re
import signal
import sqlite3
import sys
import tempfile
from functools import wraps
from pathlib import Path
from typing import Any

import duckdb
import duckdb_extension_spatial
from bqemulator.catalog.duckdb_repository import DuckDBCatalogRepository
from bqemulator.catalog.memory_repository import MemoryCatalogRepository
from bqemulator.config import LogLevel, PersistenceMode, Settings
from bqemulator.grpc_api import read_servicer
from bqemulator.jobs import executor
from bqemulator.scripting import interpreter
from bqemulator.server import EmulatorServer
from bqemulator.sql import catalog_schema, table_rewriter
from bqemulator.sql.translator import SQLTranslator
from bqemulator.storage.sql_identifiers import quoted_table_ref

from loader.local.translations import KeptTranslations, remembered, rewritten_once
from loader.local.trees import keep_trees

_BATCH_BYTES = 1024 * 1024


def main(arguments: list[str]) -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ports_file", type=Path)
    parser.add_argument("--data-dir", type=Path, help="where its tables are kept; none: in memory")
    parser.add_argument("--translations", type=Path, help="the file of translations; none: no file")
    given = parser.parse_args(arguments)
    data_dir = given.data_dir
    _install_spatial()
    _keep_record_columns()
    _keep_trees_and_translations(given.translations)
    _drop_comments()
    _add_columns()
    _send_small_batches()
    # bqemulator's syntax trees are full of reference cycles: with Python's default thresholds a
    # third of the time went into garbage collection.
    gc.freeze()
    gc.set_threshold(200_000, 20, 20)
    # bqemulator's own folder below /tmp would belong to the first user of a machine.
    with tempfile.TemporaryDirectory(prefix="vmhub-uploads-") as uploads:
        settings = Settings(
            upload_staging_dir=Path(uploads),
            rest_port=0,
            grpc_port=0,
            persistence_mode=PersistenceMode.PERSISTENT if data_dir else PersistenceMode.EPHEMERAL,
            data_dir=data_dir,
            log_level=LogLevel.WARNING,
            # The Avro extension would be downloaded, and nothing here needs it.
            enable_format_extensions=False,
            # Every build replaces its tables; snapshots of old ones would only use memory.
            time_travel_retention_days=0,
            query_cache_ttl_seconds=0,
        )
        asyncio.run(_serve(EmulatorServer(settings), given.ports_file))


def _install_spatial() -> None:
    folder = Path(duckdb_extension_spatial.__file__).parent / "extensions"
    file = folder / f"v{duckdb.__version__}" / "spatial.duckdb_extension"
    # DuckDB takes no parameter here, and a home folder can have an apostrophe in its name.
    duckdb.execute("install '" + str(file).replace("'", "''") + "'")


def _keep_record_columns() -> None:
    """Let ``select *`` keep columns of type RECORD.

    bqemulator 1.4.0 expands the star with a schema that lacks columns without a DuckDB type of the
    same name. So ARRAY<STRUCT<…>> columns are missing in the result.
    """
    to_duckdb = catalog_schema._safe_bq_to_duckdb  # noqa: SLF001

    def to_duckdb_or_unknown(bigquery_type: str) -> str:
        return to_duckdb(bigquery_type) or "UNKNOWN"

    setattr(catalog_schema, "_safe_bq_to_duckdb", to_duckdb_or_unknown)  # noqa: B010 - a patch


def _keep_trees_and_translations(file: Path | None) -> None:
    """Parse a text once, and translate a statement once for all laundromats and hours.

    `_drop_comments` comes before the translation.
    """
    keep_trees()
    try:
        translations = KeptTranslations(file)
    except sqlite3.Error as error:
        sys.exit(f"{file} cannot be used ({error}): end all local stacks and delete {file}*")
    translate = remembered(SQLTranslator.translate, translations)
    setattr(SQLTranslator, "translate", translate)  # noqa: B010 - a patch
    rewrite = rewritten_once(table_rewriter.rewrite_table_refs, translations)
    for module in (executor, interpreter):
        setattr(module, "rewrite_table_refs", rewrite)  # noqa: B010 - a patch


def _drop_comments() -> None:
    """Remove comments from a statement before it is translated.

    bqemulator 1.4.0 rewrites decimal literals outside strings. But it takes an apostrophe in a
    comment ("that one's") as the start of a string, and then changes timestamps behind it.
    """
    translate = SQLTranslator.translate

    @wraps(translate)
    def translate_without_comments(
        self: SQLTranslator, bq_sql: str, *args: Any, **kwargs: Any
    ) -> Any:
        stripped = _STRING_OR_COMMENT.sub(lambda match: match[1] or " ", bq_sql)
        return translate(self, stripped, *args, **kwargs)

    setattr(SQLTranslator, "translate", translate_without_comments)  # noqa: B010 - a patch


def _add_columns() -> None:
    """Let an update of a table's schema add its new columns.

    bqemulator 1.4.0 only updates the schema that it reports, not the table.
    """
    for repository in (DuckDBCatalogRepository, MemoryCatalogRepository):
        setattr(repository, "update_table", _with_columns(repository.update_table))  # noqa: B010


def _with_columns(update_table: Any) -> Any:
    @wraps(update_table)
    def update_table_and_columns(self: Any, table: Any) -> Any:
        path = (table.project_id, table.dataset_id, table.table_id)
        # The repository keeps a copy of itself without an engine; that copy changes nothing here.
        known = self.get_table(*path) if self._engine else None
        if known is not None:
            # After CREATE OR REPLACE the table already has these columns.
            known_names = {column.name for column in known.schema_.fields}
            for column in table.schema_.fields:
                if column.name not in known_names:
                    type_ = catalog_schema._safe_bq_to_duckdb(column.type)  # noqa: SLF001
                    self._engine.execute(
                        f"ALTER TABLE {quoted_table_ref(*path)} "
                        f'ADD COLUMN IF NOT EXISTS "{column.name}" {type_}'
                    )
        return update_table(self, table)

    return update_table_and_columns


def _send_small_batches() -> None:
    """Let the Storage Read API send batches of about a megabyte, as BigQuery does.

    bqemulator 1.4.0 sends 65,536 rows per message, so a reader's memory would not stay flat.
    """
    get_stream_data = getattr(read_servicer, "get_stream_data")  # noqa: B009 - a patch

    def get_stream_data_in_small_batches(*args: Any) -> _SmallBatches | None:
        table = get_stream_data(*args)
        return None if table is None else _SmallBatches(table)

    setattr(read_servicer, "get_stream_data", get_stream_data_in_small_batches)  # noqa: B010


class _SmallBatches:
    """The part of a table that bqemulator's read service uses."""

    def __init__(self, table: Any) -> None:
        self._table = table
        self.schema = table.schema

    def to_batches(self, max_chunksize: int) -> Any:
        rows = self._table.num_rows
        bytes_a_row = max(1, self._table.nbytes // max(1, rows))
        return self._table.to_batches(
            max_chunksize=min(max_chunksize, max(1, _BATCH_BYTES // bytes_a_row))
        )


_STRING_OR_COMMENT = re.compile(
    r"""('{3}.*?'{3}|"{3}.*?"{3}|'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`[^`]*`)"""
    r"""|--[^\n]*|\#[^\n]*|/\*.*?\*/""",
    re.DOTALL,
)


async def _serve(server: EmulatorServer, ports_file: Path) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await server.start()
    host, grpc_port = server.grpc_endpoint.rsplit(":", 1)
    ports = {"host": host, "rest": server.rest_port, "grpc": int(grpc_port)}
    unfinished = ports_file.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(ports), encoding="utf-8")
    unfinished.rename(ports_file)
    try:
        await stopped.wait()
    finally:
        await server.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
