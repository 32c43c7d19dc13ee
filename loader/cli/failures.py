"""Shows a failed build to the person who started it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from loader.base.logs import LogFormat
from loader.dbt.build import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["build_errors_in_full"]


@contextmanager
def build_errors_in_full(log_format: LogFormat) -> Iterator[None]:
    """If a build in the block fails, show everything about it on stderr, and end the command.

    BigQuery's message can quote a row. A person who may build may also read the rows. But with
    ``--log-format json`` logs are collected, so the log gets the text that quotes no row.

    Raises:
        typer.Exit: The build failed, and was shown.
        BuildError: The build failed, and logs are collected.

    """
    try:
        yield
    except BuildError as error:
        if log_format is not LogFormat.TEXT:
            raise
        # Not through the log, whose lines are kept and sent to other places.
        typer.echo(f"vmhub: ERROR: {error.in_full}", err=True)
        raise typer.Exit(error.exit_code) from error
