"""deploy/roles: what is in it is granted, what is not is revoked or shown."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

from loader.dbt.project import find_project

if TYPE_CHECKING:
    from pathlib import Path

ROOT = find_project().root
PROJECT, CNPJ, OTHER = "my-project", "12ABC34501DE35", "11222333000181"
AT = f"@{PROJECT}.iam.gserviceaccount.com"
PEOPLE = {"OWNERS": "group:owners@example.com", "AUDITORS": "group:auditors@example.com"}

# gcloud and bq in one: they keep bindings "kind name<TAB>role<TAB>member<TAB>condition" in a file.
GOOGLE = """
import os, re, sys
from pathlib import Path
state, words = Path(os.environ["STATE"]), sys.argv[1:]
lines = state.read_text().splitlines()
option = lambda name: words[words.index(name) + 1]
text = " ".join(words)
def show(place):
    return ["\\t".join(line.split("\\t")[1:]) for line in lines if line.split("\\t")[0] == place]
def change(place, is_added, role, member):
    kept = [x for x in lines if is_added or x.split("\\t")[:3] != [place, role, member]]
    kept += [f"{place}\\t{role}\\t{member}\\t"] * is_added
    state.write_text("\\n".join(kept) + "\\n")
if " describe " in text:
    name = option("describe").split("@")[0]
    sys.exit(0 if "secrets" in words else name not in os.environ["ACCOUNTS"])
if words[0] == "--project_id":
    change_of = r"^(GRANT|REVOKE) `(.*)` ON SCHEMA `.*`.`(.*)` (?:TO|FROM) '(.*)'"
    if found := re.search(change_of, words[-1]):
        change(f"dataset {found[3]}", found[1] == "GRANT", found[2], found[4])
    else:
        name = re.search("object_name = '(.*?)'", words[-1])[1]
        rows = [row.rstrip("\\t").replace("\\t", ",") for row in show(f"dataset {name}")]
        print("\\n".join(["privilege_type,grantee", *rows]))
else:
    ends = "-iam-policy", "-policy-binding"
    at = next(i for i, word in enumerate(words) if word.endswith(ends))
    kind = {"projects": "project", "iam": "account", "run": "job"}.get(words[0], "secret")
    place = f"{kind} {words[at + 1].split('@')[0]}"
    if words[at].startswith("get"):
        print("\\n".join(show(place)))
    else:
        change(place, words[at].startswith("add"), option("--role"), option("--member"))
"""


class Cloud:
    """A project of which only the bindings exist."""

    def __init__(self, folder: Path, accounts: str = "") -> None:
        self.state = folder / "state"
        self.state.write_text("")
        script = folder / "google.py"
        script.write_text(GOOGLE)
        # A shebang cannot name a path with a space.
        command = shlex.join([sys.executable, "-IS", str(script)])
        for name in ("gcloud", "bq"):
            (folder / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
            (folder / name).chmod(0o755)
        self.variables = {
            "PATH": f"{folder}:{os.environ['PATH']}",
            "STATE": str(self.state),
            "ACCOUNTS": accounts,
            "PROJECT": PROJECT,
            "TOKENS": "token-a",
            **PEOPLE,
        }

    def grant(self, *arguments: str) -> tuple[int, list[str]]:
        """Run grant.sh; return its exit code and lines."""
        done = subprocess.run(
            [str(ROOT / "deploy" / "cloud-run" / "grant.sh"), *arguments],
            env=self.variables,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.stderr == ""
        return done.returncode, done.stdout.splitlines()

    def bindings(self) -> set[tuple[str, ...]]:
        """Return (place, role, member) of each binding."""
        lines = self.state.read_text().splitlines()
        return {tuple(line.split("\t")[:3]) for line in lines if line}

    def plant(self, place: str, role: str, member: str, condition: str = "") -> None:
        """Add a binding."""
        with self.state.open("a") as file:
            file.write(f"{place}\t{role}\t{member}\t{condition}\n")


def test_what_is_declared_is_granted_once_and_then_nothing_differs(tmp_path: Path) -> None:
    cloud = Cloud(tmp_path)
    assert cloud.grant("--check", CNPJ)[0] == 3
    assert cloud.bindings() == set()
    code, lines = cloud.grant(CNPJ)
    assert (code, {line.split(":")[0] for line in lines}) == (0, {"missing"})
    granted = cloud.bindings()
    assert len(granted) == len(lines)
    send = f"serviceAccount:vmhub-send{AT}"
    assert {(place, role) for place, role, member in granted if member == send} == {
        ("project my-project", "roles/datastore.user"),
        ("dataset VMHUB_OPS", "roles/bigquery.dataEditor"),
        ("secret vmhub-phone-key", "roles/secretmanager.secretAccessor"),
        ("secret token-a", "roles/secretmanager.secretAccessor"),
    }
    assert {(place, role) for place, role, member in granted if member == PEOPLE["AUDITORS"]} == {
        ("project my-project", "roles/bigquery.jobUser"),
        ("dataset VMHUB_OPS", "roles/bigquery.dataViewer"),
    }
    # No group of operators was named.
    assert {member for *_, member in granted if member.startswith("group:")} == {*PEOPLE.values()}
    assert cloud.grant("--check", CNPJ) == (0, ["As in deploy/roles."])
    assert cloud.grant(CNPJ) == (0, [])
    assert cloud.bindings() == granted


def test_what_a_service_account_has_beyond_that_is_shown_and_revoked(tmp_path: Path) -> None:
    cloud = Cloud(tmp_path)
    cloud.grant(CNPJ)
    granted = cloud.bindings()
    said = []
    for place, role, account, condition in (
        ("project my-project", "roles/bigquery.admin", "run", ""),
        ("project my-project", "roles/editor", "run", "until-monday"),
        ("project my-project", "roles/bigquery.jobUser", "send", ""),
        ("project my-project", "roles/datastore.user", "of-last-year", ""),
        ("dataset VMHUB_OPS", "roles/bigquery.dataOwner", "webhook", ""),
        (f"dataset {CNPJ}_CAMPAIGN", "roles/bigquery.dataViewer", "alert", ""),
        (f"dataset {CNPJ}_CAMPAIGN", "roles/bigquery.dataEditor", OTHER.lower(), ""),
        ("secret vmhub-app-secret", "roles/secretmanager.secretAccessor", "send", ""),
    ):
        member = f"serviceAccount:vmhub-{account}{AT}"
        cloud.plant(place, role, member, condition)
        suffix = f", if {condition}" if condition else ""
        said.append(f"not in deploy/roles: {role} on {place} for {member}{suffix}")
    code, lines = cloud.grant("--check", CNPJ)
    assert (code, sorted(lines)) == (3, sorted(said))
    assert cloud.bindings() > granted
    cloud.grant(CNPJ)
    assert cloud.bindings() == granted


def test_a_role_that_holds_under_a_condition_only_is_missing(tmp_path: Path) -> None:
    cloud = Cloud(tmp_path)
    member = f"serviceAccount:vmhub-run{AT}"
    cloud.plant("project my-project", "roles/datastore.user", member, "until-monday")
    _, lines = cloud.grant("--check", CNPJ)
    assert f"missing: roles/datastore.user on project my-project for {member}" in lines


def test_roles_of_people_are_shown_and_others_accounts_are_none_of_ours(tmp_path: Path) -> None:
    cloud = Cloud(tmp_path)
    cloud.grant(CNPJ)
    others = f"serviceAccount:backup{AT}", "serviceAccount:vmhub-run@other.iam.gserviceaccount.com"
    for member in (*others, "user:a@example.com", PEOPLE["AUDITORS"]):
        cloud.plant("project my-project", "roles/viewer", member)
    granted = cloud.bindings()
    said = "not in deploy/roles: roles/viewer on project my-project for group:auditors@example.com"
    assert cloud.grant("--check", CNPJ) == (3, [said])
    assert cloud.grant(CNPJ) == (0, [said])
    assert cloud.bindings() == granted


def test_where_a_laundromat_has_its_own_account_the_run_loses_its_datasets(tmp_path: Path) -> None:
    cloud = Cloud(tmp_path)
    cloud.grant(CNPJ, OTHER)
    cloud.variables["ACCOUNTS"] = f"vmhub-{CNPJ.lower()}"
    cloud.grant(CNPJ, OTHER)
    run, own = f"serviceAccount:vmhub-run{AT}", f"serviceAccount:vmhub-{CNPJ.lower()}{AT}"
    reached = {(place, who) for place, _, who in cloud.bindings() if place.startswith("dataset")}
    assert {place for place, who in reached if who == run} == {
        *("dataset VMHUB_OPS", f"dataset {OTHER}_RAW", f"dataset {OTHER}_CAMPAIGN")
    }
    assert {place for place, who in reached if who == own} == {
        *("dataset VMHUB_OPS", f"dataset {CNPJ}_RAW", f"dataset {CNPJ}_CAMPAIGN")
    }
    acts = (f"account vmhub-{CNPJ.lower()}", "roles/iam.serviceAccountTokenCreator", run)
    assert acts in cloud.bindings()
    assert cloud.grant("--check", CNPJ, OTHER) == (0, ["As in deploy/roles."])
    # To repeat it for one of them takes nothing from the others.
    assert cloud.grant("--check", OTHER) == (0, ["As in deploy/roles."])
