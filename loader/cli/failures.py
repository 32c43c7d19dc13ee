"""How a build that failed is shown to the person who started it."""

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
    """Show on stderr all that is known of a failed build in the block, and end the command.

    BigQuery's message can quote a row. A person who may build may also read the rows; what collects
    logs, as it does with ``--log-format json``, gets the text that quotes none.

    Raises:
        typer.Exit: The build failed, and was shown.
        BuildError: It failed, and logs are collected.

    """
    try:
        yield
    except BuildError as error:
        if log_format is not LogFormat.TEXT:
            raise
        # Not through the log: its lines are what is kept and sent on.
        typer.echo(f"vmhub: ERROR: {error.in_full}", err=True)
        raise typer.Exit(error.exit_code) from error
