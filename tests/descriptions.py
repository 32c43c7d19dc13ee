"""Finds gaps in dbt's documentation: names without description, descriptions without unit."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tests.googlesql import struct_fields, type_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loader.dbt.project import Project
    from tests.googlesql import Analysis

_PACKAGE = "vmhub_campaigns"
_SIGNATURE = re.compile(r"{%-?\s*(?:macro|test)\s+\w+\((.*?)\)\s*-?%}", re.DOTALL)
_ARGUMENT = re.compile(r"(\w+)\s*(?:=\s*(?:\"[^\"]*\"|'[^']*'|[^,]*))?(?:,|$)")
_VAR = re.compile(r"\s+(\w+):")
# The unit in a column's name, and the word that its description must then have.
_UNITS = {
    r".*_brl|.*(^|_)(amount|spent|valor)(_.*)?": "BRL",
    r".*_days|days_.*": "days",
    r".*_hours?": "hour",
    r".*_seconds": "seconds",
}
_PERSONAL = {"name", "phone", "cpf", "born_on", "nome", "telefone", "cpfCliente", "placeholders"}


def missing_descriptions(project: Project, analysis: Analysis) -> list[str]:
    """Return the problems, one line each; empty when everything is described.

    A column's description must say what its type does not: UTC for an instant, the time zone of a
    date, the currency of an amount, the unit of a duration.
    """
    manifest = analysis.manifest
    own = [node for node in manifest["nodes"].values() if node["package_name"] == _PACKAGE]
    return [
        *_relations(own, list(manifest["sources"].values()), analysis),
        *_macros(manifest["macros"].values()),
        *_others(manifest, own),
        *_vars(project),
    ]


def _relations(
    own: list[dict[str, Any]], sources: list[dict[str, Any]], analysis: Analysis
) -> Iterator[str]:
    for node in own:
        if node["resource_type"] == "model":
            columns = dict(analysis.columns[node["name"]])
            # In an inlined model, a struct is described as a whole.
            if node["config"]["materialized"] == "table":
                for column, type_ in list(columns.items()):
                    fields = struct_fields(type_)
                    columns |= {f"{column}.{name}": field for name, field in fields.items()}
            yield from _relation(node, {name: type_name(type_) for name, type_ in columns.items()})
            if not node["group"]:
                yield f"{node['name']} is in no group"
        elif node["resource_type"] == "seed":
            yield from _relation(node, dict.fromkeys(node["config"]["column_types"], "STRING"))
    for source in sources:
        if not source["source_description"]:
            yield f"source {source['source_name']} has no description"
        declared = {name: column["data_type"] for name, column in source["columns"].items()}
        yield from _relation(source, declared)


def _relation(node: dict[str, Any], columns: dict[str, str]) -> Iterator[str]:
    name = node["name"]
    if not re.match(r"One row( per|, )", node["description"]):
        yield f"{name}: the description does not begin with the grain, 'One row per …'"
    if _PERSONAL & set(columns) and "personal_data" not in node["tags"]:
        yield f"{name} has personal data and no such tag"
    described = {column: entry["description"] for column, entry in node["columns"].items()}
    for column in described:
        if column not in columns:
            yield f"{name}.{column} is described and does not exist"
    for column, type_ in columns.items():
        problem = _column_problem(column, type_, described.get(column, ""))
        if problem:
            yield f"{name}.{column} {problem}"


def _column_problem(column: str, type_: str, text: str) -> str:
    if not text:
        return "has no description"
    if type_ == "TIMESTAMP" and "UTC" not in text:
        return "does not say UTC"
    if type_ == "DATE" and not re.search("time zone|business day", text):
        return "does not say whose day it is"
    for pattern, unit in _UNITS.items():
        if re.fullmatch(pattern, column) and unit not in text:
            return f"does not say {unit}"
    return ""


def _macros(macros: Any) -> Iterator[str]:
    for macro in macros:
        if macro["package_name"] != _PACKAGE:
            continue
        if not macro["description"]:
            yield f"macro {macro['name']} has no description"
        [signature] = _SIGNATURE.findall(macro["macro_sql"])
        arguments = _ARGUMENT.findall(signature.strip())
        described = [item["name"] for item in macro["arguments"] if item["description"]]
        if described != arguments:
            yield f"macro {macro['name']} takes {arguments} and describes {described}"


def _others(manifest: dict[str, Any], own: list[dict[str, Any]]) -> Iterator[str]:
    for node in own:
        # A generic test's description is its macro's.
        is_singular = node["resource_type"] == "test" and "test_metadata" not in node
        if is_singular and not node["description"]:
            yield f"test {node['name']} has no description"
    for group in manifest["groups"].values():
        if not group["description"] or not group["owner"]["name"] or not group["owner"]["email"]:
            yield f"group {group['name']} has no description, or no owner with an address"
    for exposure in manifest["exposures"].values():
        owner = exposure["owner"]
        if not all((exposure["description"], exposure["label"], owner["name"], owner["email"])):
            yield f"exposure {exposure['name']} lacks a description, a label or an owner"


def _vars(project: Project) -> Iterator[str]:
    """Find the vars without a comment above them in dbt_project.yml.

    Settings that every campaign has are described at the first campaign.
    """
    variables = project.variables()
    suffixes = "|".join(re.escape(name) for name in variables["campaigns"])
    text = (project.root / "dbt_project.yml").read_text(encoding="utf-8")
    described: set[str] = set()
    above = ""
    for line in text.splitlines():
        found = _VAR.match(line)
        if found and found[1] in variables:
            common = re.sub(f"^({suffixes})_", "", found[1])
            if above.lstrip().startswith("#"):
                described.add(common)
            elif common not in described:
                yield f"var {found[1]} has no comment above it"
        above = line
