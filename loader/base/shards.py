"""Which part of the fleet a process serves, so that several machines can share it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

from loader.base.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Shard", "stable_hash"]

# The variables that hold a task's index and the number of tasks: Cloud Run jobs
# (https://cloud.google.com/run/docs/container-contract#jobs-env-vars), and indexed jobs of
# Kubernetes. Kubernetes sets only the index; JOB_COMPLETIONS is set by hand (docs/operations.md).
_VARIABLES = (
    ("CLOUD_RUN_TASK_INDEX", "CLOUD_RUN_TASK_COUNT"),
    ("JOB_COMPLETION_INDEX", "JOB_COMPLETIONS"),
)


@dataclass(frozen=True)
class Shard:
    """One of ``count`` parts, by a stable hash: a laundromat is always in the same part."""

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str, *, source: str = "--shard") -> Shard:
        """Return the shard that a text such as 0/3 names.

        Raises:
            ConfigurationError: The text is not a shard.

        """
        match = re.fullmatch(r"(\d{1,4})/(\d{1,4})", text, re.ASCII)
        shard = cls(int(match[1]), int(match[2])) if match else None
        if shard is None or shard.index >= shard.count:
            message = f"{source} is '{text}'"
            raise ConfigurationError(message, hint="the first of three is 0/3, the last is 2/3")
        return shard

    @classmethod
    def from_variables(cls, variables: Mapping[str, str]) -> Shard:
        """Return the shard that Cloud Run or Kubernetes gave this process; default: everything.

        Raises:
            ConfigurationError: The number of tasks is missing; each task would serve everything.

        """
        for index, count in _VARIABLES:
            if index not in variables:
                continue
            if count not in variables:
                message = f"{index} is set and {count} is not"
                raise ConfigurationError(message, hint=f"set {count} to the number of tasks")
            text = f"{variables[index]}/{variables[count]}"
            return cls.parse(text, source=f"{index}/{count}")
        return cls()

    def has(self, cnpj: str) -> bool:
        """Return whether a laundromat is in this shard."""
        return stable_hash(cnpj) % self.count == self.index

    def __str__(self) -> str:
        """Return it as 0/3."""
        return f"{self.index}/{self.count}"


def stable_hash(text: str) -> int:
    """Return a number that is the same on every machine and in every version of Python."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
