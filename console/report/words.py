"""Numbers and reasons in the words of a laundromat's owner: Brazilian Portuguese."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from datetime import date, datetime
    from decimal import Decimal

    from console.report.figures import Lift

__all__ = [
    "FAILURES",
    "FailureWords",
    "campaign_name",
    "cnpj_text",
    "counted",
    "day",
    "day_and_month",
    "lift_words",
    "minute",
    "money",
    "month",
    "number",
    "percent",
    "variant_name",
]

_NOTHING = "—"
_MONTHS = ("jan", "fev", "mar", "abr", "mai", "jun", "jul", "ago", "set", "out", "nov", "dez")
_CAMPAIGNS = {
    "BIRTHDAY": "Aniversário",
    "WELCOME": "Boas-vindas",
    "REACTIVATION": "Reativação",
    "LOYALTY": "Fidelidade",
    "OTHER": "Outras",
}
_VARIANTS = {
    "BRONZE": "Bronze",
    "SILVER": "Prata",
    "GOLD": "Ouro",
    "DEFAULT": "Padrão",
    "OTHER": "Outros",
    "UNKNOWN": "Sem registro",
}


class FailureWords(NamedTuple):
    """Why messages were not sent, and what an owner can do about it."""

    name: str
    why: str
    advice: str


FAILURES = {
    "unreachable": FailureWords(
        "Número não recebe WhatsApp",
        "O telefone do cadastro está errado ou não tem WhatsApp.",
        "Na próxima visita, confirme o número com o cliente e corrija o cadastro.",
    ),
    "opted_out": FailureWords(
        "Cliente não quer receber",
        "A pessoa bloqueou a lavanderia ou pediu para não receber mensagens.",
        "Nada a fazer: o pedido é respeitado. Não escreva de outro número.",
    ),
    "deferred": FailureWords(
        "WhatsApp segurou a mensagem",
        "O WhatsApp limita quantas mensagens de lojas cada pessoa recebe.",
        "Nada a fazer agora: ela volta para a fila mais tarde.",
    ),
    "temporary": FailureWords(
        "Falha passageira",
        "O WhatsApp ou a internet falhou por um momento.",
        "Nada a fazer: a mensagem é tentada de novo sozinha.",
    ),
    "content": FailureWords(
        "Texto recusado",
        "O WhatsApp recusou o texto da mensagem.",
        "Fale com o suporte: o modelo do texto precisa ser revisto.",
    ),
    "sender": FailureWords(
        "Problema na conta do WhatsApp",
        "A conta que envia tem um problema de acesso, pagamento, limite ou bloqueio.",
        "Veja os avisos no Gerenciador do WhatsApp e fale com o suporte.",
    ),
    "unknown": FailureWords(
        "Motivo não informado",
        "O WhatsApp não disse por quê.",
        "Se aparecer muitas vezes, fale com o suporte.",
    ),
}


def number(value: int) -> str:
    """Return a whole number as in 1.234."""
    return _brazilian(f"{value:,}")


def money(value: Decimal) -> str:
    """Return an amount in reais as in R$ 1.234,56, without a place for a line break."""
    sign = "-" if value < 0 else ""
    return f"{sign}R$\u00a0{_brazilian(f'{abs(value):,.2f}')}"


def percent(part: int, whole: int) -> str:
    """Return a share as in 12,5%; a dash when the whole is 0."""
    return f"{_tenths(100 * part / whole)}%" if whole else _NOTHING


def day(value: date) -> str:
    """Return a date as in 23/11/2026."""
    return f"{value:%d/%m/%Y}"


def day_and_month(value: date) -> str:
    """Return a date as in 23/11."""
    return f"{value:%d/%m}"


def month(value: date) -> str:
    """Return a month as in nov/26."""
    return f"{_MONTHS[value.month - 1]}/{value:%y}"


def minute(value: datetime) -> str:
    """Return an instant as in 23/11/2026 às 10:00."""
    return f"{day(value)} às {value:%H:%M}"


def counted(value: int, one: str, many: str) -> str:
    """Return a number with its noun: 1 compra, 2 compras."""
    return f"{number(value)} {one if value == 1 else many}"


def cnpj_text(cnpj: str) -> str:
    """Return a CNPJ as people write it: 12.ABC.345/01DE-35."""
    return f"{cnpj[:2]}.{cnpj[2:5]}.{cnpj[5:8]}/{cnpj[8:12]}-{cnpj[12:]}"


def campaign_name(campaign_type: str) -> str:
    """Return a campaign's name; an unknown campaign is named by its type."""
    return _CAMPAIGNS.get(campaign_type) or _title(campaign_type)


def variant_name(template_variant: str) -> str:
    """Return the name of a tier or stage; an unknown one stays as it is written."""
    if template_variant.startswith("STAGE_"):
        return f"Etapa {template_variant.removeprefix('STAGE_')}"
    return _VARIANTS.get(template_variant) or _title(template_variant)


def lift_words(lift: Lift) -> str:
    """Return what the control group shows about a campaign."""
    rates = lift.treated_rate, lift.held_out_rate, lift.lift_low, lift.lift_high
    if lift.verdict == "TOO_FEW_TO_TELL" or None in rates:
        few = (
            f"poucos clientes no grupo de controle ({number(lift.held_out)})"
            if lift.held_out <= lift.treated
            else f"poucos clientes receberam a mensagem ({number(lift.treated)})"
        )
        return f"Ainda é cedo para dizer: {few}."
    treated, held_out, low, high = (100 * (rate or 0) for rate in rates)
    return (
        f"De cada 100 clientes que receberam, {_tenths(treated)} compraram; "
        f"dos que não receberam, {_tenths(held_out)}. "
        f"A diferença está entre {_signed(low)} e {_signed(high)} pontos. {_conclusion(lift)}"
    )


def _conclusion(lift: Lift) -> str:
    match lift.verdict:
        case "MORE_PURCHASES":
            return "Quem recebe a mensagem compra mais."
        case "FEWER_PURCHASES":
            return "Quem recebe a mensagem compra menos: vale rever esta campanha."
        case _:
            return "Ainda não dá para afirmar que a mensagem muda as compras."


def _tenths(value: float) -> str:
    return _brazilian(f"{value:,.1f}").removesuffix(",0")


def _signed(value: float) -> str:
    text = _tenths(abs(value))
    return text if text == "0" else f"{'+' if value > 0 else '−'}{text}"  # noqa: RUF001 - a minus


def _brazilian(text: str) -> str:
    return text.translate(str.maketrans(",.", ".,"))


def _title(name: str) -> str:
    return " ".join(word.capitalize() for word in name.split("_") if word)
