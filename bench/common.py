"""What the benches share: the machine they ran on, and how figures are printed and kept."""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["machine", "write_json"]


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        "google-cloud-firestore": version("google-cloud-firestore"),
        "grpcio": version("grpcio"),
        "load_before": round(os.getloadavg()[0], 1),
    }


def write_json(figures: dict[str, Any], path: Path | None) -> None:
    """Print figures as one JSON object, and keep them in a file where one is named."""
    text = json.dumps(figures, indent=1, ensure_ascii=False) + "\n"
    sys.stdout.write(text)
    if path:
        path.write_text(text, encoding="utf-8")
