"""The dbt project on disk, and what it declares: source tables and default settings.

The source tables are declared once, in models/sources/. Their creation, their checks and the
GoogleSQL analysis all read that declaration.
"""

from __future__ import annotations

import copy
import csv
import os
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

import yaml

from loader.base.errors import ConfigurationError
from loader.bigquery.declaration import Column, SourceTable

__all__ = ["Project", "find_project"]


@dataclass(frozen=True)
class Project:
    """A checkout of this repository; its declarations are read once, when first needed."""

    root: Path

    @property
    def state_dir(self) -> Path:
        """Return the folder for files that commands create: dbt's files and local stacks."""
        return self.root / ".vmhub"

    def variables(self) -> dict[str, Any]:
        """Return the `vars` of dbt_project.yml.

        They include `settings`, a map of every setting to its default, and `setting_rules`, the
        allowed values of settings. Each setting is also a var of its own.
        """
        return copy.deepcopy(self._variables)

    @cached_property
    def _variables(self) -> dict[str, Any]:
        variables = _read_yaml(self.root / "dbt_project.yml")["vars"]
        assert isinstance(variables, dict)
        return variables

    def campaign_types(self) -> tuple[str, ...]:
        """Return the types of the project's campaigns, such as BIRTHDAY."""
        return tuple(name.upper() for name in self._variables["campaigns"])

    def text_variants(self) -> frozenset[str]:
        """Return the variants of all texts: tiers, stages and DEFAULT."""
        path = self.root / "seeds" / "message_templates.csv"
        with path.open(encoding="utf-8", newline="") as lines:
            return frozenset(row["variant"] for row in csv.DictReader(lines))

    def source_tables(self) -> tuple[SourceTable, ...]:
        """Return every declared source table in file order."""
        return self._source_tables

    @cached_property
    def _source_tables(self) -> tuple[SourceTable, ...]:
        tables: list[SourceTable] = []
        for path in sorted((self.root / "models" / "sources").glob("*.yml")):
            for source in _read_yaml(path)["sources"]:
                suffix = source["schema"].rsplit("_", 1)[-1]
                tables.extend(_source_table(suffix, table) for table in source["tables"])
        return tuple(tables)

    def tenant_tables(self) -> tuple[SourceTable, ...]:
        """Return the tables that each laundromat has, in {CNPJ}_RAW and {CNPJ}_CAMPAIGN."""
        return tuple(table for table in self.source_tables() if not table.is_shared)

    def ops_tables(self) -> dict[str, SourceTable]:
        """Return the tables of VMHUB_OPS, by name."""
        return {table.name: table for table in self.source_tables() if table.is_shared}

    def seeds_version(self) -> str:
        """Return a digest of the seeds; it changes whenever they are edited."""
        digest = blake2b(digest_size=16)
        for path in sorted((self.root / "seeds").glob("*.csv")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
        return digest.hexdigest()

    def owned_tables(self) -> tuple[SourceTable, ...]:
        """Return the tables that the campaign system itself writes, in {CNPJ}_CAMPAIGN."""
        return tuple(table for table in self.source_tables() if table.dataset_suffix == "CAMPAIGN")


def find_project(start: Path | None = None) -> Project:
    """Return the project that contains ``start``, or the one that contains this package.

    Args:
        start: A folder in a checkout; default: $DBT_PROJECT_DIR, else the current folder.

    Raises:
        ConfigurationError: None of them is a checkout of this repository.

    """
    named = start or Path(os.environ.get("DBT_PROJECT_DIR") or Path.cwd())
    package = Path(__file__).resolve().parent
    for folder in (named.resolve(), *named.resolve().parents, *package.parents):
        if (folder / "dbt_project.yml").is_file() and (folder / "models" / "sources").is_dir():
            return Project(folder)
    message = f"no dbt project at or above {named}"
    raise ConfigurationError(message, hint="run vmhub in a clone, or set DBT_PROJECT_DIR to one")


def _read_yaml(path: Path) -> dict[str, Any]:
    # Use the C parser if it is installed: a build reads a dozen files.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = path.read_text(encoding="utf-8")
    content = yaml.load(text, Loader=loader)  # noqa: S506 # nosec B506 # a safe loader
    assert isinstance(content, dict)
    return content


def _source_table(suffix: str, declared: dict[str, Any]) -> SourceTable:
    meta = declared.get("config", {}).get("meta", {})
    return SourceTable(
        dataset_suffix=suffix,
        name=declared["name"],
        description=declared["description"].strip(),
        columns=tuple(
            Column(column["name"], column["data_type"], column["description"].strip())
            for column in declared["columns"]
        ),
        partition_by=meta.get("partition_by"),
        cluster_by=tuple(meta.get("cluster_by", ())),
    )
