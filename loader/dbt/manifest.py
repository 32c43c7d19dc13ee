"""dbt's parse of the project, made once and used for every laundromat.

Parsing takes seconds, and dbt parses again whenever ``--vars`` change. But only two vars, the CNPJ
and the side, change the result of a parse: the names of the relations. So the project is parsed
once, for the placeholder CNPJ, and each build gets a copy with the names of its own relations. A
copy is needed since dbt stores compiled SQL in the nodes: a manifest that is used twice would run
one laundromat's SQL for the next one.
"""

from __future__ import annotations

import pickle
import re
from typing import TYPE_CHECKING, Any

from loader.base.errors import RunError

if TYPE_CHECKING:
    from loader.dbt.spec import BuildSpec

__all__ = ["check_no_literals", "check_relations", "manifest_for", "ops_readers"]

_PLACEHOLDER = "00000000000000"
# Shared by all laundromats; the models that read it filter by CNPJ.
_SHARED_DATASETS = frozenset({"VMHUB_OPS"})
_DATASET = re.compile(r"\b(?!0{14})[0-9A-Z]{12}[0-9]{2}_(?:RAW|CAMPAIGN|PREVIEW)\b")


def manifest_for(parsed: Any, spec: BuildSpec, database: str) -> Any:
    """Return a copy of a parsed manifest whose relations are those of one build.

    Args:
        parsed: dbt's manifest for the placeholder CNPJ; not changed.
        spec: The build.
        database: The Google Cloud project.

    Raises:
        RunError: A relation would belong to another laundromat.

    """
    # Not by copy.copy: dbt's own way of copying a manifest (1.11, 1.12) mixes up its lookup tables.
    manifest = object.__new__(type(parsed))
    manifest.__dict__.update(parsed.__dict__)
    # Twice as fast as copy.deepcopy, which was a twentieth of an hourly build.
    copied = pickle.loads(pickle.dumps((parsed.nodes, parsed.sources)))  # noqa: S301 # nosec B301 # ours
    manifest.nodes, manifest.sources = copied
    for node in manifest.nodes.values():
        if node.schema == f"{_PLACEHOLDER}_CAMPAIGN":
            node.schema = spec.dataset
            node.alias = f"{node.alias}{spec.side.table_suffix}"
        _place(node, database, node.alias)
    for source in manifest.sources.values():
        source.schema = source.schema.replace(_PLACEHOLDER, spec.cnpj)
        _place(source, database, source.identifier)
    check_relations(manifest, spec)
    return manifest


def check_no_literals(parsed: Any) -> None:
    """Raise a RunError when the SQL of a model or a macro names a laundromat's dataset literally.

    dbt does not know such a name as a relation, so the check of relations would not find it.
    """
    found = [
        f"{unit.original_file_path} names {match[0]}"
        for unit, sql in (
            *((node, node.raw_code) for node in parsed.nodes.values()),
            *((node, str(node.config.get("pre-hook"))) for node in parsed.nodes.values()),
            *((node, str(node.config.get("post-hook"))) for node in parsed.nodes.values()),
            *((macro, macro.macro_sql) for macro in parsed.macros.values()),
        )
        if (match := _DATASET.search(sql or ""))
    ]
    if found:
        message = f"every laundromat would use one laundromat's tables: {'; '.join(found)}"
        raise RunError(message, hint="name tables by ref() and source() alone")


def check_relations(manifest: Any, spec: BuildSpec) -> None:
    """Raise a RunError unless a build writes to its own dataset only and reads its own tables."""
    readable = {f"{spec.cnpj}_RAW", f"{spec.cnpj}_CAMPAIGN", *_SHARED_DATASETS}
    foreign = [
        f"{node.unique_id} is in {node.schema}"
        for node, allowed in (
            *((node, {spec.dataset}) for node in manifest.nodes.values()),
            *((source, readable) for source in manifest.sources.values()),
        )
        if node.schema not in allowed or not _is_named_after(node)
    ]
    if foreign:
        message = f"a build of {spec.cnpj} would touch others' tables: {'; '.join(foreign)}"
        raise RunError(
            message, hint="models take their dataset from macros/dbt/generate_schema_name.sql alone"
        )


def ops_readers(manifest: Any) -> frozenset[str]:
    """Return the ids of the nodes that read VMHUB_OPS by source()."""
    shared = {id_ for id_, source in manifest.sources.items() if source.schema in _SHARED_DATASETS}
    return frozenset(
        id_
        for id_, node in manifest.nodes.items()
        if not shared.isdisjoint(getattr(node, "depends_on_nodes", ()))
    )


def _place(node: Any, database: str, name: str) -> None:
    node.database = database
    if node.relation_name is not None:
        node.relation_name = f"`{database}`.`{node.schema}`.`{name}`"


def _is_named_after(node: Any) -> bool:
    """Return whether a relation's full name is in the node's own dataset."""
    return node.relation_name is None or node.relation_name.split("`")[3] == node.schema
