"""Writes the page so that whoever opens it sees all of it or the one before."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from loader.base.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["write_page"]


def write_page(path: Path, page: str) -> int:
    """Write a page in place of what the path names; return its bytes.

    Raises:
        ConfigurationError: The path cannot be written.

    """
    content = page.encode()
    # Beside it: a rename across file systems is a copy that can be seen half done.
    unfinished = path.parent / f".{path.name}.{uuid.uuid4().hex}"
    try:
        try:
            unfinished.write_bytes(content)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        message = f"cannot write {path}: {error.strerror}"
        raise ConfigurationError(
            message, hint="give --out a file in a folder that you may write to"
        ) from error
    return len(content)
