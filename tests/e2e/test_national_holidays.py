"""The macro of national holidays is what the package says today."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loader.dbt.project import Project


def test_the_macro_of_holidays_is_made_from_the_package(project: Project) -> None:
    made = subprocess.run(
        [sys.executable, project.root / "seeds" / "national_holidays.py"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    macro = project.root / "macros" / "clock" / "is_national_holiday.sql"
    assert made == macro.read_text(encoding="utf-8")
    assert '"12-25"' in made
