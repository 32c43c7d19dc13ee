"""Writes the page atomically: a reader sees the whole new page or the old one."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from loader.base.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["write_page"]


def write_page(path: Path, page: str) -> int:
    """Write a page, in place of an older one; return its size in bytes.

    Raises:
        ConfigurationError: The path cannot be written.

    """
    content = page.encode()
    # In the same folder: a rename across file systems is a copy, and a reader could see half of it.
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
