"""Logs on stderr, as text for people or JSON for collectors."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from enum import StrEnum

from loader.base.text import safe_text

__all__ = ["LogFormat", "configure_logs"]


class LogFormat(StrEnum):
    """How log records look."""

    TEXT = "text"
    JSON = "json"


class _JsonFormatter(logging.Formatter):
    """One JSON object a record, in the field names Cloud Logging reads."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        return json.dumps(
            {
                "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
                "severity": record.levelname,
                "message": safe_text(record.getMessage()),
                "logger": record.name,
            },
            ensure_ascii=False,
        )


class _TextFormatter(logging.Formatter):
    """One line per record, whatever it contains."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        return f"vmhub: {record.levelname}: {safe_text(record.getMessage())}"


def configure_logs(log_format: LogFormat) -> None:
    """Send this package's logs to stderr; other packages' from warnings up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if log_format is LogFormat.JSON else _TextFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for package in ("console", "loader", "whatsapp"):
        logging.getLogger(package).setLevel(logging.INFO)
