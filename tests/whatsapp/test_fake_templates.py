"""The fake takes the templates that WhatsApp takes."""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.whatsapp.calls import BODY, NUMBER, WABA, creation

if TYPE_CHECKING:
    from loader.dbt.project import Project
    from tests.whatsapp.calls import Fake

NEW = "vmhub_new_v1"


def body_component(text: str, **examples: str) -> dict[str, Any]:
    named = [{"param_name": name, "example": value} for name, value in examples.items()]
    return {"type": "BODY", "text": text, "example": {"body_text_named_params": named}}


def create(fake: Fake, **changes: Any) -> Any:
    return fake.api("POST", f"{WABA}/message_templates", creation(name=NEW) | changes)


def test_a_template_is_created_pending_and_listed(fake: Fake) -> None:
    fake.set(review="PENDING")

    made = create(fake).json()

    assert made == {"id": made["id"], "status": "PENDING", "category": "MARKETING"}
    (listed,) = fake.api("GET", f"{WABA}/message_templates?name={NEW}").json()["data"]
    assert listed == creation(name=NEW) | {"id": made["id"], "status": "PENDING"}
    read = fake.api("GET", f"{made['id']}?fields=status,category,health_status").json()
    assert (read["status"], read["health_status"]["can_send_message"]) == ("PENDING", "BLOCKED")


@pytest.mark.parametrize(
    ("changes", "subcode"),
    [
        ({"components": [body_component("{{a}}, tudo bem?", a="x")]}, 2388299),
        ({"components": [body_component("Tudo bem, {{a}}", a="x")]}, 2388299),
        ({"components": [body_component("Tudo bem, {{a}} ", a="x")]}, 2388299),
        ({"components": [body_component("Oi, {{a}}!")]}, 2388043),
        ({"components": [body_component("Oi, {{a}}!", b="x")]}, 2388043),
        ({"components": [body_component("Oi, {{1}}!", a="x")]}, 2388072),
        ({"components": [body_component("Oi, {{A b}}!", a="x")]}, 2388072),
        ({"components": [body_component("Oi, {{a}!", a="x")]}, 2388072),
        ({"components": [body_component("Oi." + "x" * 1022)]}, 2388040),
        ({"components": [{"type": "FOOTER", "text": "SAIR"}]}, 2388072),
        ({"name": "vmhub_test_v1"}, 2388024),
        ({"name": "Com Espaço"}, None),
        ({"language": "portuguese"}, None),
        ({"category": "PROMOTION"}, None),
        ({"unknown": 1}, None),
        ({"message_send_ttl_seconds": 43_199}, None),
        ({"message_send_ttl_seconds": 2_592_001}, None),
        ({"message_send_ttl_seconds": -1}, None),
        ({"components": [{"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY"}]}]}, None),
    ],
)
def test_a_template_that_whatsapp_would_refuse_is_refused(
    fake: Fake, changes: dict[str, Any], subcode: int | None
) -> None:
    answer = create(fake, **changes)

    assert fake.error(answer) == (400, 100)
    assert answer.json()["error"].get("error_subcode") == subcode


def test_positional_parameters_have_no_names(fake: Fake) -> None:
    text = "Oi, {{1}}! São {{2}} visitas."
    part = {"type": "BODY", "text": text, "example": {"body_text": [["Ana", "10"]]}}
    made = create(fake, parameter_format="POSITIONAL", components=[part])
    assert made.status_code == 200

    parameters: list[dict[str, str]] = [{"type": "text", "text": text} for text in ("Ana", "10")]
    template = {
        "name": NEW,
        "language": {"code": "pt_BR"},
        "components": [{"type": "body", "parameters": parameters}],
    }
    request = {
        "messaging_product": "whatsapp",
        "to": "+5511990000001",
        "type": "template",
        "template": template,
    }
    assert fake.send(request).status_code == 200
    assert [row["text"] for row in fake.ledger()] == ["Oi, Ana! São 10 visitas."]
    parameters[0]["parameter_name"] = "first_name"
    assert fake.error(fake.send(request)) == (400, 100)


def test_every_text_of_the_project_is_taken_and_sent(fake: Fake, project: Project) -> None:
    with (project.root / "seeds" / "message_templates.csv").open(encoding="utf-8") as opened:
        texts = list(csv.DictReader(opened))
    assert len(texts) == 8

    for text in texts:
        names = re.findall(r"\{(\w+)\}", text["body"])
        body = re.sub(r"\{(\w+)\}", r"{{\1}}", text["body"])
        part = body_component(body, **dict.fromkeys(names, "exemplo"))
        made = create(fake, name=text["template_name"], components=[part])
        assert made.json().get("status") == "APPROVED", text["template_name"]


def test_templates_are_listed_in_pages(fake: Fake) -> None:
    for n in range(30):
        assert create(fake, name=f"vmhub_page_{n}").status_code == 200

    path: str | None = f"{WABA}/message_templates?limit=12&fields=name,status"
    rows: list[dict[str, str]] = []
    sizes: list[int] = []
    while path is not None:
        page = fake.api("GET", path).json()
        sizes.append(len(page["data"]))
        rows += page["data"]
        after = page["paging"]["cursors"]["after"]
        has_more = "next" in page["paging"]
        path = (
            f"{WABA}/message_templates?limit=12&fields=name,status&after={after}"
            if has_more
            else None
        )

    assert sizes == [12, 12, 8]
    assert len({row["name"] for row in rows}) == 32
    assert {frozenset(row) for row in rows} == {frozenset({"id", "name", "status"})}


def test_templates_of_another_account_are_not_shown(fake: Fake) -> None:
    create(fake)

    assert fake.api("GET", f"3002/message_templates?name={NEW}").json()["data"] == []
    assert fake.error(fake.api("GET", f"{WABA}/message_templates", token="x")) == (401, 190)
    assert fake.error(fake.api("GET", "3999/message_templates")) == (403, 10)
    assert BODY in str(fake.api("GET", f"{WABA}/message_templates").json())
    assert fake.api("GET", f"{NUMBER}?fields=health_status").json()["health_status"][
        "can_send_message"
    ] == ("AVAILABLE")
