"""All of BigQuery: Google's types and errors stay in here."""

import sys
from importlib.abc import MetaPathFinder


class _NoPandas(MetaPathFinder):
    """Makes pandas look as if it were not installed.

    Google's clients and pyarrow import it when they can, and dbt-bigquery installs it. Nothing here
    uses data frames, and without them a process starts with a quarter less CPU for these clients.
    (None in ``sys.modules`` would do for Google's clients, but pyarrow's compiled code takes it for
    the module.)
    """

    def find_spec(self, fullname: str, _path: object = None, _target: object = None) -> None:
        if fullname == "pandas":
            message = "pandas is left out, see loader.bigquery"
            raise ModuleNotFoundError(message, name=fullname)


sys.meta_path.insert(0, _NoPandas())
