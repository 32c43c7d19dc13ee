"""Reads the settings that are typed after --set as a person means them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from loader.base.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["parse_changes"]


class _Loader(yaml.SafeLoader):
    """YAML in which plain values are read as in JSON.

    YAML 1.1 reads 010 as 8, 0x10 as 16, 1:30 as 90 and `no` as false. Here 010 is 10, and the
    others are texts, so a setting that needs a number or a boolean refuses them.
    """

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - yaml's

    def decimal(self, node: yaml.ScalarNode) -> int:
        """Return a whole number in base 10, also with leading zeros."""
        return int(self.construct_scalar(node))

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - yaml's
        """Return a map, or raise YAML's error if it has a key twice."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if len(set(map(str, keys))) != len(keys):
            raise yaml.constructor.ConstructorError(None, None, "a key is given twice")
        return super().construct_mapping(node, deep=deep)


_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"(?:null|~|)$"), [*"n~", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"(?:true|false)$"), [*"tf"])
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+\.[0-9]+$"), [*"-+0123456789"]
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"[-+]?[0-9]+$"), [*"-+0123456789"]
)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.decimal)


def parse_changes(texts: Iterable[str]) -> dict[str, Any]:
    """Return the settings of ``NAME=VALUE`` texts by name, each value read as YAML.

    Raises:
        ConfigurationError: A name is missing or given twice, or a value is not valid YAML.

    """
    changes: dict[str, Any] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or not separator:
            message = "the value of --set is not NAME=VALUE"
            raise ConfigurationError(
                message,
                hint="write it as loyalty_min_visits=8 or 'reactivation_stage_days=[20, 40]'",
            )
        if name in changes:
            message = f"--set {name} is given twice"
            raise ConfigurationError(message, hint="give each setting once")
        try:
            changes[name] = yaml.load(value, Loader=_Loader)  # noqa: S506 # nosec B506 # a safe loader
        except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
            message = f"--set {name} has a value that is not valid YAML, or a map with a key twice"
            raise ConfigurationError(
                message, hint="write numbers, [20, 40] or {BRONZE: 10, SILVER: 15}"
            ) from error
    return changes
