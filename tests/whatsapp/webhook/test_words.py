"""Which words are an opt-out, and which are only words."""

from __future__ import annotations

import pytest

from tests.support import AS_OF
from whatsapp.webhook.items import InboundMessage, Person
from whatsapp.webhook.words import is_opt_out


def said(text: str | None, *, payload: str | None = None, is_button: bool = False) -> bool:
    person = Person("5511990000001")
    message = InboundMessage(
        "5001", "in.1", AS_OF, person, None, text, payload, is_button=is_button
    )
    return is_opt_out(message)


@pytest.mark.parametrize(
    "text",
    [
        "SAIR",
        "sair",
        "Sair.",
        " sair ! ",
        "“SAIR”",
        "SAIR 🙏",
        "\uff33\uff21\uff29\uff32",
        "parar",
        "Pare!",
        "STOP",
        "cancelar",
        "remover",
        "descadastrar",
        "Parar promoções",
        "PARAR PROMOCOES",
        "parar promoc\u0327o\u0303es",
        "sair, por favor",
        "Por favor, sair",
        "sair obrigado",
        "Parar, por favor. Obrigada!",
        "\nsair\n",
    ],
)
def test_the_whole_message_asks_to_be_left_alone(text: str) -> None:
    assert said(text)


@pytest.mark.parametrize(
    "text",
    [
        "vou sair agora",
        "sair de casa",
        "não quero parar",
        "pare de chover",
        "posso cancelar a lavagem?",
        "cancelar lavagem",
        "sairr",
        "por favor",
        "obrigado",
        "",
        "   ",
        "🙏",
        "promoções",
        "quero promoções",
        "sair " * 100,
        "nao sair",
        "stopp",
        "não pare",
    ],
)
def test_other_words_are_an_answer(text: str) -> None:
    assert not said(text)


def test_a_button_asks_by_its_payload_or_by_its_text() -> None:
    assert said("Parar promoções", payload="x", is_button=True)
    assert said("Chega", payload="PARAR", is_button=True)
    assert not said("Quero", payload="YES", is_button=True)
    assert not said(None)
    # Whoever writes cannot say what a payload says.
    assert not said("oi", payload="SAIR")
