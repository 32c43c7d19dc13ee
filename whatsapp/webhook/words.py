"""The words with which people opt out. Pure; docs/webhook.md.

Only a message with nothing else counts: "vou sair agora" is not an opt-out.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whatsapp.webhook.items import InboundMessage

__all__ = ["is_opt_out", "plain_words"]

_WORDS = frozenset(
    {"sair", "parar", "pare", "stop", "cancelar", "remover", "descadastrar", "parar promocoes"}
)
_POLITE_BEFORE = ("por favor",)
_POLITE_AFTER = ("por favor", "obrigado", "obrigada")
_NOT_LETTERS = re.compile(r"[^a-z0-9]+")
_LONGEST = 200


def plain_words(text: str) -> str:
    """Return a text in lower case, without accents, punctuation and symbols."""
    plain = unicodedata.normalize("NFKD", text[:_LONGEST].casefold())
    letters = "".join(sign for sign in plain if not unicodedata.combining(sign))
    return _NOT_LETTERS.sub(" ", letters).strip()


def is_opt_out(message: InboundMessage) -> bool:
    """Return whether a person opts out, in words or by the button."""
    told = [message.text] if not message.is_button else [message.text, message.payload]
    return any(_asks(text) for text in told if text is not None and len(text) <= _LONGEST)


def _asks(text: str) -> bool:
    words = plain_words(text)
    for polite in _POLITE_BEFORE:
        words = words.removeprefix(f"{polite} ")
    is_shorter = True
    while is_shorter:
        # "sair, por favor, obrigado"
        before = words
        for polite in _POLITE_AFTER:
            words = words.removesuffix(f" {polite}")
        is_shorter = words != before
    return words in _WORDS
