"""`make docs` writes the documentation into one file."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loader.dbt.project import Project


def test_make_docs_writes_one_file_without_credentials_or_a_connection(
    project: Project, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    subprocess.run(
        ["make", "docs", f"BIN={Path(sys.executable).parent}", "INSTALLED=", f"SITE={site}"],
        cwd=project.root,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            # Nothing answers here: a request would wait until the time limit.
            "BIGQUERY_EMULATOR_HOST": "http://127.0.0.1:1",
        },
        check=True,
        timeout=120,
    )

    assert [path.name for path in site.iterdir()] == ["index.html"]
    page = (site / "index.html").read_text(encoding="utf-8")
    for path in (project.root / "models").rglob("*.sql"):
        assert f'"model.vmhub_campaigns.{path.stem}"' in page
    assert "One row per customer id, with every fact" in page
    # The SQL is compiled, with the placeholder CNPJ.
    assert "`00000000000000_RAW`.`clientes`" in page
    # Scripts and styles are in the page itself.
    assert not re.findall(r"<script[^>]+src=|<link[^>]+stylesheet", page)
