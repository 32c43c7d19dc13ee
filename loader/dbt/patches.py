"""Patches of dbt: they save repeated work, and keep requests inside the boundary.

dbt is made for one command per process. `vmhub run` does hundreds of builds of the same project in
one process, and the work saved here was 40 % of their cost (DECISIONS.md). These patches change no
result: tests/loader/dbt/test_patches.py compares each with dbt's own function. The boundary is the
exception: a request that crosses it is not sent (loader/dbt/boundary.py).
"""

from __future__ import annotations

import re
import sys
from functools import cache, wraps
from typing import TYPE_CHECKING, Any

from loader.dbt.boundary import guarded

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["apply_patches"]

# How many compiled templates to keep; a project and dbt's own macros have about 700.
_MOST_TEMPLATES = 4096

# Possessive quantifiers: a comment is never matched again with another end.
_SPACE = r"(?>\s|--[^\n]*\n|/\*.*?\*/)*+"
# Strings and comments, in which a semicolon ends nothing.
_QUOTED = re.compile(
    r"'{3}.*?'{3}|\"{3}.*?\"{3}|'(?:[^'\\]|\\.)*+'|\"(?:[^\"\\]|\\.)*+\"|--[^\n]*|/\*.*?\*/",
    re.DOTALL,
)
_BEGINNING = re.compile(
    rf"(?P<space>\s*){_SPACE}(?P<word>with\b(?:\s+recursive\b)?\s*|select\b)",
    re.IGNORECASE | re.DOTALL,
)


def apply_patches() -> None:
    """Patch dbt in this process; before each command."""
    from dbt.adapters.base import impl  # noqa: PLC0415 - dbt takes seconds to import

    _patch_once()
    # Each adapter that is made adds its flags to a list that all share, and looks through the whole
    # call stack for each flag there: each build would be slower than the one before.
    flags = impl.DEFAULT_BASE_BEHAVIOR_FLAGS
    flags[:] = {flag["name"]: flag for flag in flags}.values()


@cache
def _patch_once() -> None:
    from dbt import compilation  # noqa: PLC0415
    from dbt.adapters.bigquery import connections  # noqa: PLC0415
    from dbt_common import behavior_flags  # noqa: PLC0415
    from dbt_common.clients import jinja  # noqa: PLC0415

    # dbt looks the function up there when it opens a connection.
    name = "create_bigquery_client"
    setattr(connections, name, guarded(getattr(connections, name)))

    # Each node is compiled from Jinja to Python for each laundromat.
    environment = jinja.MacroFuzzEnvironment
    setattr(environment, "compile", _compiled_once(environment.compile))  # noqa: B010 - a patch

    # dbt parses the whole SQL to find its first word.
    injecting = _injecting(compilation.inject_ctes_into_sql)
    setattr(compilation, "inject_ctes_into_sql", injecting)  # noqa: B010

    # For the name of one module, dbt reads the source files of the whole call stack, for each flag
    # of each command.
    flag = behavior_flags.BehaviorFlagRendered
    name = "_default_source"
    setattr(flag, name, staticmethod(_naming_caller(getattr(flag, name), behavior_flags.__name__)))


def _naming_caller(look: Callable[[], str], own: str) -> Callable[[], str]:
    """Replace dbt's search for the module that calls the module of this name."""

    @wraps(look)
    def naming() -> str:
        frame = sys._getframe(1)  # noqa: SLF001 - inspect offers it only with the whole stack
        while frame.f_back is not None and frame.f_globals["__name__"] == own:
            frame = frame.f_back
        return str(frame.f_globals["__name__"])

    return naming


def _injecting(inject: Callable[[str, Any], str]) -> Callable[[str, Any], str]:
    """Wrap dbt's injection of ephemeral models; unusual SQL is left to dbt's own function."""

    @wraps(inject)
    def injecting(sql: str, ctes: Any) -> str:
        beginning = _BEGINNING.match(sql)
        # If there are several statements, dbt's own function uses the first.
        if not ctes or beginning is None or ";" in _QUOTED.sub("", sql):
            return inject(sql, ctes)
        injected = ", ".join(cte.sql for cte in ctes)
        if beginning["word"].lower() == "select":
            at = beginning.end("space")
            return f"{sql[:at]}with{injected} {sql[at:]}"
        at = beginning.end()
        return f"{sql[:at]}{injected}, {sql[at:]}"

    return injecting


def _compiled_once(compile_: Callable[..., Any]) -> Callable[..., Any]:
    """Cache Jinja's compilation: environments of one kind differ only in undefined names."""
    codes: dict[tuple[type, str], Any] = {}

    def compiled(environment: Any, source: Any, *args: Any, **options: Any) -> Any:
        if args or options or not isinstance(source, str):
            return compile_(environment, source, *args, **options)
        key = (type(environment), source)
        if (code := codes.get(key)) is None:
            code = compile_(environment, source)
            if len(codes) >= _MOST_TEMPLATES:
                codes.clear()
            codes[key] = code
        return code

    return compiled
