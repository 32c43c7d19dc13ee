"""Run bqemulator: ``python -m loader.local.bigquery_server PORTS_FILE [DATA_DIR]``.

The ports are chosen by the system and written to PORTS_FILE once the server answers. DuckDB's
spatial extension, without which bqemulator does not start, comes from a package instead of the
network and is installed below $HOME, which the stack points to a folder of its own.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from functools import wraps
from pathlib import Path
from typing import Any

import duckdb_extensions
from bqemulator.config import LogLevel, PersistenceMode, Settings
from bqemulator.server import EmulatorServer
from bqemulator.sql import catalog_schema
from bqemulator.sql.translator import SQLTranslator


def main(arguments: list[str]) -> None:
    """Serve until SIGTERM."""
    ports_file = Path(arguments[0])
    data_dir = Path(arguments[1]) if len(arguments) > 1 else None
    duckdb_extensions.import_extension("spatial")
    _keep_record_columns()
    _drop_comments()
    settings = Settings(
        rest_port=0,
        grpc_port=0,
        persistence_mode=PersistenceMode.PERSISTENT if data_dir else PersistenceMode.EPHEMERAL,
        data_dir=data_dir,
        log_level=LogLevel.WARNING,
        # Avro would be fetched from the network, and nothing here reads it.
        enable_format_extensions=False,
        # Every build replaces its tables; snapshots of the old ones would only grow.
        time_travel_retention_days=0,
        query_cache_ttl_seconds=0,
    )
    asyncio.run(_serve(EmulatorServer(settings), ports_file))


def _keep_record_columns() -> None:
    """Let ``select *`` keep columns of type RECORD.

    bqemulator 1.4.0 expands the star by a schema in which columns without a DuckDB type of the
    same name are missing, so that ARRAY<STRUCT<…>> columns vanish from the result.
    """
    to_duckdb = catalog_schema._safe_bq_to_duckdb  # noqa: SLF001

    def to_duckdb_or_unknown(bigquery_type: str) -> str:
        return to_duckdb(bigquery_type) or "UNKNOWN"

    setattr(catalog_schema, "_safe_bq_to_duckdb", to_duckdb_or_unknown)  # noqa: B010 - a patch


def _drop_comments() -> None:
    """Take comments out of a statement before it is translated.

    bqemulator 1.4.0 looks for decimal literals outside strings, but reads the apostrophe of a
    comment ("that one's") as the beginning of a string and so changes timestamps behind it.
    """
    translate = SQLTranslator.translate

    @wraps(translate)
    def translate_without_comments(
        self: SQLTranslator, bq_sql: str, *args: Any, **kwargs: Any
    ) -> Any:
        stripped = _STRING_OR_COMMENT.sub(lambda match: match[1] or " ", bq_sql)
        return translate(self, stripped, *args, **kwargs)

    setattr(SQLTranslator, "translate", translate_without_comments)  # noqa: B010 - a patch


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
