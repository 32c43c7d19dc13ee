"""firestore.rules, as Google's emulator applies them to people who are signed in."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from tests.support import ALPHANUMERIC_CNPJ, NUMERIC_CNPJ

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loader.dbt.project import Project

OURS, THEIRS = NUMERIC_CNPJ, ALPHANUMERIC_CNPJ
PROJECT = "rules-of-firestore"
OK, FORBIDDEN = 200, 403


def _part(content: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


def signed_in(uid: str | None) -> dict[str, str]:
    """Return the headers of a person: the emulator believes tokens without a signature."""
    if uid is None:
        return {}
    claims = {"sub": uid, "user_id": uid, "aud": PROJECT, "iat": 0, "exp": 4_000_000_000}
    claims["iss"] = f"https://securetoken.google.com/{PROJECT}"
    return {"Authorization": f"Bearer {_part({'alg': 'none', 'typ': 'JWT'})}.{_part(claims)}."}


OWNER = {"Authorization": "Bearer owner"}
TEXT = {"fields": {"name": {"stringValue": "Ana Exemplo"}}}


@pytest.fixture(scope="module")
def firestore(project: Project, google_firestore: str) -> Iterator[httpx2.Client]:
    """The emulator with our rules, and two laundromats of one member each."""
    rules = (project.root / "firestore.rules").read_text(encoding="utf-8")
    host = f"http://{google_firestore}"
    documents = f"{host}/v1/projects/{PROJECT}/databases/(default)/documents/"
    # The emulator compiles rules slowly the first time.
    with httpx2.Client(base_url=documents, trust_env=False, timeout=60) as client:
        client.put(
            f"{host}/emulator/v1/projects/{PROJECT}:securityRules",
            json={"rules": {"files": [{"name": "firestore.rules", "content": rules}]}},
        ).raise_for_status()
        for cnpj, uid in ((OURS, "maria"), (THEIRS, "joao")):
            for path in (
                f"users/{cnpj}",
                f"users/{cnpj}/members/{uid}",
                f"users/{cnpj}/campaigns/BIRTHDAY/targets/c1",
                f"users/{cnpj}/sends/a1",
                f"users/{cnpj}/suppressions/s1",
                f"users/{cnpj}/operations/run",
            ):
                client.patch(path, json=TEXT, headers=OWNER).raise_for_status()
        yield client


TARGETS = f"users/{OURS}/campaigns/BIRTHDAY/targets"


@pytest.mark.parametrize(
    ("uid", "path", "status"),
    [
        ("maria", f"{TARGETS}/c1", OK),
        ("maria", TARGETS, OK),
        ("maria", f"users/{OURS}/members/maria", OK),
        ("maria", f"users/{THEIRS}/campaigns/BIRTHDAY/targets/c1", FORBIDDEN),
        ("maria", f"users/{THEIRS}/campaigns/BIRTHDAY/targets", FORBIDDEN),
        ("maria", f"users/{THEIRS}/members/joao", FORBIDDEN),
        ("maria", f"users/{OURS}/members", FORBIDDEN),
        ("maria", f"users/{OURS}", FORBIDDEN),
        ("maria", f"users/{OURS}/sends/a1", FORBIDDEN),
        ("maria", f"users/{OURS}/suppressions/s1", FORBIDDEN),
        ("maria", f"users/{OURS}/operations/run", FORBIDDEN),
        ("maria", "portfolios/1001/operations/send", FORBIDDEN),
        ("joao", f"{TARGETS}/c1", FORBIDDEN),
        ("nobody", f"{TARGETS}/c1", FORBIDDEN),
        (None, f"{TARGETS}/c1", FORBIDDEN),
        (None, f"users/{OURS}/members/maria", FORBIDDEN),
    ],
)
def test_members_read_the_targets_of_their_own_laundromat_and_nothing_else(
    firestore: httpx2.Client, uid: str | None, path: str, status: int
) -> None:
    assert firestore.get(path, headers=signed_in(uid)).status_code == status


@pytest.mark.parametrize(
    "path",
    [
        f"{TARGETS}/c1",
        f"{TARGETS}/new",
        f"users/{OURS}",
        f"users/{OURS}/members/maria",
        f"users/{OURS}/suppressions/new",
        f"users/{OURS}/operations/run",
        "unmatched/new",
    ],
)
def test_nobody_writes_from_a_browser(firestore: httpx2.Client, path: str) -> None:
    headers = signed_in("maria")
    assert firestore.patch(path, json=TEXT, headers=headers).status_code == FORBIDDEN
    assert firestore.delete(path, headers=headers).status_code == FORBIDDEN


def test_no_query_over_all_laundromats_is_answered(firestore: httpx2.Client) -> None:
    query = {"structuredQuery": {"from": [{"collectionId": "targets", "allDescendants": True}]}}
    asked = firestore.post(
        str(firestore.base_url).rstrip("/") + ":runQuery", json=query, headers=signed_in("maria")
    )
    assert asked.status_code == FORBIDDEN
