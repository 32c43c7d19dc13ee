"""Who comes first: BIRTHDAY, WELCOME, LOYALTY, REACTIVATION; laundromats take turns."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from whatsapp.targets import Waiting

__all__ = ["WaitingLine"]

_RANKS = {"BIRTHDAY": 0, "WELCOME": 1, "LOYALTY": 2, "REACTIVATION": 3}
# A campaign that an analyst has added: after BIRTHDAY and WELCOME, before REACTIVATION.
_OTHER_RANK = 2

Turn = deque["Waiting"]


class WaitingLine:
    """The waiting targets of one portfolio, in sending order."""

    def __init__(self) -> None:
        """Begin empty."""
        self._lines: dict[int, deque[tuple[str, Turn]]] = {}
        self._size = 0

    def __len__(self) -> int:
        """Return how many wait."""
        return self._size

    def fill(self, waiting: Iterable[Waiting]) -> None:
        """Replace all by what waits now."""
        turns: dict[tuple[int, str], Turn] = {}
        self._size = 0
        for target in waiting:
            key = (_RANKS.get(target.campaign_type, _OTHER_RANK), target.cnpj)
            turns.setdefault(key, deque()).append(target)
            self._size += 1
        before = {rank: [cnpj for cnpj, _ in line] for rank, line in self._lines.items()}
        self._lines = {}
        for rank in sorted({rank for rank, _ in turns}):
            cnpjs = {cnpj for known, cnpj in turns if known == rank}
            # The laundromats keep their order, so that none loses its turn.
            kept = [cnpj for cnpj in before.get(rank, []) if cnpj in cnpjs]
            order = kept + sorted(cnpjs.difference(kept))
            self._lines[rank] = deque((cnpj, turns[rank, cnpj]) for cnpj in order)

    def take(self, may_go: Callable[[Waiting], bool]) -> Waiting | None:
        """Take the first target that may go now; None: none may.

        Only the first few targets of each laundromat and campaign are tried: what holds them back
        usually holds back those behind them, too. The others are tried in the next round.
        """
        for rank in sorted(self._lines):
            line = self._lines[rank]
            for _ in range(len(line)):
                _, turn = line[0]
                line.rotate(-1)
                if not turn:
                    continue
                for _ in range(min(len(turn), _LOOKED_AT)):
                    if may_go(turn[0]):
                        self._size -= 1
                        return turn.popleft()
                    turn.rotate(-1)
        return None


# More than one, since a campaign may use several templates: a paused one must not hold up the rest.
_LOOKED_AT = 8
