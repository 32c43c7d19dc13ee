"""audit-logs.sh adds the logs that are missing to the project's policy, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from loader.dbt.project import find_project

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = find_project().root / "deploy" / "cloud-run" / "audit-logs.sh"
# A project of which only the policy exists, in the file policy.json.
GCLOUD = """#!/usr/bin/env bash
case " $* " in
    *" get-iam-policy my-project --format json "*) cat "$POLICY" ;;
    *" set-iam-policy my-project "*) cp "$4" "$POLICY" && echo x >>"$POLICY.writes" ;;
    *) exit 64 ;;
esac
"""
BINDINGS = [{"role": "roles/owner", "members": ["user:owner@example.com"]}]
FIRESTORE = {
    "service": "datastore.googleapis.com",
    "auditLogConfigs": [{"logType": "DATA_WRITE"}],
}
SECRETS = {
    "service": "secretmanager.googleapis.com",
    "auditLogConfigs": [{"logType": "DATA_READ"}],
}


def _run(folder: Path, configs: list[dict[str, Any]] | None) -> tuple[list[dict[str, Any]], bool]:
    """Return the policy's logs after the script, and whether it wrote the policy."""
    policy = folder / "policy.json"
    known = {} if configs is None else {"auditConfigs": configs}
    policy.write_text(json.dumps({"bindings": BINDINGS, "etag": "BwX", "version": 1, **known}))
    (folder / "gcloud").write_text(GCLOUD)
    (folder / "gcloud").chmod(0o755)
    variables = {"PROJECT": "my-project", "POLICY": str(policy)}
    path = f"{folder}:{os.environ['PATH']}"
    subprocess.run([str(SCRIPT)], env={"PATH": path, **variables}, check=True, capture_output=True)
    written = json.loads(policy.read_text())
    assert written["bindings"] == BINDINGS
    assert written["etag"] == "BwX"
    return written.get("auditConfigs", []), (folder / "policy.json.writes").exists()


@pytest.mark.parametrize("configs", [None, []])
def test_a_project_without_logs_gets_them(
    configs: list[dict[str, Any]] | None, tmp_path: Path
) -> None:
    assert _run(tmp_path, configs) == ([FIRESTORE, SECRETS], True)


def test_logs_of_others_stay_and_exemptions_too(tmp_path: Path) -> None:
    other = {"service": "storage.googleapis.com", "auditLogConfigs": [{"logType": "DATA_READ"}]}
    read = {"logType": "DATA_READ", "exemptedMembers": ["user:somebody@example.com"]}
    some = {"service": "datastore.googleapis.com", "auditLogConfigs": [read]}
    both = {**some, "auditLogConfigs": [read, {"logType": "DATA_WRITE"}]}
    assert _run(tmp_path, [other, some]) == ([other, both, SECRETS], True)


@pytest.mark.parametrize(
    "configs",
    [
        [FIRESTORE, SECRETS],
        [
            {
                "service": "allServices",
                "auditLogConfigs": [{"logType": "DATA_READ"}, {"logType": "DATA_WRITE"}],
            }
        ],
    ],
)
def test_where_the_logs_are_on_nothing_is_written(
    configs: list[dict[str, Any]], tmp_path: Path
) -> None:
    assert _run(tmp_path, configs) == (configs, False)
