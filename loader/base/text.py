"""Text that comes from outside, made safe to show: for terminals, logs and tables."""

from __future__ import annotations

import re

__all__ = ["escaped_json", "safe_text"]

# Control characters, including escape sequences and line breaks, and characters that change the
# direction of a line. A text from outside must never begin a line of its own.
_UNSAFE = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff]")
_UNSAFE_LINES = re.compile(_UNSAFE.pattern.replace("\\x00-\\x1f", "\\x00-\\x09\\x0b-\\x1f"))


def safe_text(text: str, *, keeps_lines: bool = False) -> str:
    """Return a text with ``�`` for each character that a terminal or a log may act on.

    Args:
        text: A text from any source.
        keeps_lines: Keep line breaks, for a text of our own that has some.

    """
    return (_UNSAFE_LINES if keeps_lines else _UNSAFE).sub("\N{REPLACEMENT CHARACTER}", text)


def escaped_json(text: str) -> str:
    """Return JSON in which characters that a terminal may act on are escaped, as JSON can."""
    return _UNSAFE_LINES.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
