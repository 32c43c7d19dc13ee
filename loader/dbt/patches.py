"""What is patched in dbt: what it does anew in every build of a process, and what it may ask for.

dbt is made for one command a process. `vmhub run` gives one process hundreds of builds of the same
project, and these things were a third of what they cost. Each patch leaves the result as it
is, which tests/loader/dbt/test_patches.py holds beside dbt's own. The boundary is the exception: a
request that crosses it is not sent (loader/dbt/boundary.py).
"""

from __future__ import annotations

import re
from functools import cache, wraps
from typing import TYPE_CHECKING, Any

from loader.dbt.boundary import guarded

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["apply_patches"]

# Code of templates to keep: those of a project and of dbt's own macros are some 700.
_MOST_TEMPLATES = 4096

# Possessive: a comment ends where it ends, whatever follows.
_SPACE = r"(?>\s|--[^\n]*\n|/\*.*?\*/)*+"
_BEGINNING = re.compile(
    rf"(?P<space>\s*){_SPACE}(?P<word>with\b(?:\s+recursive\b)?\s*|select\b)",
    re.IGNORECASE | re.DOTALL,
)


def apply_patches() -> None:
    """Patch dbt in this process; before each command."""
    from dbt.adapters.base import impl  # noqa: PLC0415 - dbt takes seconds to import

    _patch_once()
    # Each adapter that is made adds its flags to a list that all share.
    flags = impl.DEFAULT_BASE_BEHAVIOR_FLAGS
    flags[:] = {flag["name"]: flag for flag in flags}.values()


@cache
def _patch_once() -> None:
    from dbt import compilation  # noqa: PLC0415
    from dbt.adapters.bigquery import connections  # noqa: PLC0415
    from dbt_common.behavior_flags import BehaviorFlagRendered  # noqa: PLC0415
    from dbt_common.clients import jinja  # noqa: PLC0415

    # dbt looks the function up there when it opens a connection.
    name = "create_bigquery_client"
    setattr(connections, name, guarded(getattr(connections, name)))

    # The whole call stack is looked through for each flag of an adapter, to name a source that is
    # shown only when a flag without one is off.
    source = staticmethod(lambda: "dbt.adapters")
    setattr(BehaviorFlagRendered, "_default_source", source)  # noqa: B010 - a patch

    # Each node is compiled from Jinja to Python for each laundromat.
    environment = jinja.MacroFuzzEnvironment
    setattr(environment, "compile", _compiled_once(environment.compile))  # noqa: B010

    # The whole SQL is parsed to find its first word.
    injecting = _injecting(compilation.inject_ctes_into_sql)
    setattr(compilation, "inject_ctes_into_sql", injecting)  # noqa: B010


def _injecting(inject: Callable[[str, Any], str]) -> Callable[[str, Any], str]:
    """Wrap dbt's injection of ephemeral models, which it is left to where SQL is not as usual."""

    @wraps(inject)
    def injecting(sql: str, ctes: Any) -> str:
        beginning = _BEGINNING.match(sql)
        # Of several statements it takes the first.
        if not ctes or beginning is None or ";" in sql:
            return inject(sql, ctes)
        injected = ", ".join(cte.sql for cte in ctes)
        if beginning["word"].lower() == "select":
            at = beginning.end("space")
            return f"{sql[:at]}with{injected} {sql[at:]}"
        at = beginning.end()
        return f"{sql[:at]}{injected}, {sql[at:]}"

    return injecting


def _compiled_once(compile_: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap Jinja's compilation: environments of one kind differ only in what is undefined."""
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
