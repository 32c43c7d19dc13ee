"""Decides which fault, if any, a call gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from whatsapp.fake.phones import same_person

if TYPE_CHECKING:
    from whatsapp.fake.config import Fault, FaultRule

__all__ = ["Faults"]


@dataclass
class _Active:
    rule: FaultRule
    calls: int = 0
    hits: int = 0


class Faults:
    """The rules in the order in which they were added; the first that fits decides."""

    def __init__(self) -> None:
        """Begin without rules."""
        self._rules: list[_Active] = []

    def add(self, rule: FaultRule) -> None:
        """Add a rule behind those that are there."""
        self._rules.append(_Active(rule))

    def clear(self) -> None:
        """Forget every rule."""
        self._rules.clear()

    def meet(self, number_id: str, to: str | None) -> Fault | None:
        """Count a call, and return its fault, if any.

        Args:
            number_id: The number that sends.
            to: Digits of the recipient; None while the request is unread or cannot be read.

        """
        met: Fault | None = None
        for active in self._rules:
            rule = active.rule
            if rule.number_id not in {None, number_id}:
                continue
            if rule.to is not None and (to is None or same_person(rule.to) != same_person(to)):
                continue
            active.calls += 1
            if rule.call not in {None, active.calls} or active.hits == rule.times:
                continue
            if met is None:
                active.hits += 1
                met = rule.fault
        return met
