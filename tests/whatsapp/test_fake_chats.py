"""The page shows what stands on each phone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.whatsapp.calls import BIA, NUMBER, body_part, message

if TYPE_CHECKING:
    from tests.whatsapp.calls import Fake


def test_the_page_shows_each_chat_as_a_person_sees_it(fake: Fake) -> None:
    assert "Nenhuma mensagem ainda." in fake.http.get("/").text
    whole = message(BIA)
    parts = [body_part(first_name="<b>Bia</b>", visit_count="15")]
    fake.send(whole | {"template": whole["template"] | {"components": parts}})
    first = fake.send().json()["messages"][0]["id"]
    for status in ("read", "delivered", "sent"):
        fake.happen("status", message_id=first, status=status)
    fake.advance(60)
    fake.happen("reply", number_id=NUMBER, sender="5511990000001", text="Obrigada!")

    answer = fake.http.get("/")

    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    page = answer.text
    assert re.findall(r"<h2[^>]*>(.*?)</h2>", page) == ["+55 11 99000-0001", "+55 11 99000-0002"]
    texts = re.findall(r"<li class=\"(\S+)\">\s*<p>(.*?)</p>", page)
    assert texts == [
        ("business-side", "Oi, Ana! Já são 10 visitas. Responda SAIR para parar."),
        ("customer-side", "Obrigada!"),
        (
            "business-side",
            "Oi, &lt;b&gt;Bia&lt;/b&gt;! Já são 15 visitas. Responda SAIR para parar.",
        ),
    ]
    # 13:00 UTC in São Paulo.
    assert re.findall(r"<time[^>]*>(.*?)</time>", page) == [
        "23/11 10:00",
        "23/11 10:01",
        "23/11 10:00",
    ]
    assert re.findall(r"<span class=\"read\">(.*?)</span>", page) == ["✓✓"]
    assert page.count("↩ Parar promoções") == 2
    assert "<script" not in page


def test_the_stylesheet_is_served(fake: Fake) -> None:
    answer = fake.http.get("/chats.css")

    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    assert ".business-side" in answer.text


def test_a_status_shows_when_it_is_due(fake: Fake) -> None:
    fake.set(webhooks={"follow_up": [{"status": "read", "after_seconds": 60}]})
    fake.send()
    assert "✓✓" not in fake.http.get("/").text

    fake.advance(60)
    assert "✓✓" in fake.http.get("/").text
