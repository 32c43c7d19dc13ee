"""Ask for known vulnerabilities of the locked packages, and say what was not asked.

pip-audit ends with "No known vulnerabilities found" and 0 also when the service knew none of the
packages, as a mirror of PyPI without its vulnerability data does. Here every package that was not
looked up is counted, and REQUIRED=1 makes that a failure.

    python tools/known_vulnerabilities.py requirements.lock
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any, NamedTuple

__all__ = ["Judgement", "judge"]


class Judgement(NamedTuple):
    """What pip-audit's report of one lock says."""

    lines: tuple[str, ...]
    """For people."""

    is_vulnerable: bool
    """Whether a package has a known vulnerability."""

    is_complete: bool
    """Whether every package was looked up."""


def judge(lock: str, report: dict[str, Any] | None) -> Judgement:
    """Judge a report in pip-audit's JSON; None if there is none."""
    packages = [] if report is None else report["dependencies"]
    found = [
        f"{package['name']} {package['version']}: {vulnerability['id']}"
        f", fixed in {', '.join(vulnerability['fix_versions']) or 'no version yet'}"
        for package in packages
        for vulnerability in package.get("vulns", ())
    ]
    asked = sum("vulns" in package for package in packages)
    is_complete = bool(packages) and asked == len(packages)
    if is_complete:
        answer = f"{lock}: {asked} packages were looked up, {len(found)} known vulnerabilities"
    elif asked:
        answer = f"{lock}: NOT COMPLETE: only {asked} of {len(packages)} packages were looked up"
    else:
        answer = f"{lock}: NOT CHECKED: no vulnerability service answered. Repeat with a network"
    return Judgement((*found, answer), bool(found), is_complete)


def _report(lock: str) -> dict[str, Any] | None:
    # The lock is complete and has hashes, so pip does not need to resolve or download anything.
    command = [sys.executable, "-m", "pip_audit", "--requirement", lock, "--require-hashes"]
    options = ["--disable-pip", "--format", "json", "--progress-spinner", "off", "--timeout", "15"]
    ended = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    try:
        report = json.loads(ended.stdout)
    except ValueError:
        # The last line of a traceback says what failed.
        print(*ended.stderr.strip().splitlines()[-1:], sep="\n", file=sys.stderr)
        return None
    assert isinstance(report, dict)
    return report


def _main() -> int:
    judgements = [judge(lock, _report(lock)) for lock in sys.argv[1:]]
    for judgement in judgements:
        print(*judgement.lines, sep="\n")
    is_required = os.environ.get("REQUIRED", "") not in {"", "0"}
    is_incomplete = not judgements or not all(each.is_complete for each in judgements)
    is_vulnerable = any(each.is_vulnerable for each in judgements)
    return int(is_vulnerable or (is_required and is_incomplete))


if __name__ == "__main__":
    sys.exit(_main())
