"""Renders what is kept of a person as one self-contained HTML document; reads nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined

from console.report import words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["KeptData", "KeptPart", "render"]

_FIRST_YEAR = 1900
_NAMELESS = "Sua lavanderia"

# Names of columns and fields in words; others are shown as they are.
_WORDS = {
    "nome": "Nome",
    "name": "Nome",
    "cpf": "CPF",
    "cpfCliente": "CPF",
    "telefone": "Telefone",
    "phone": "Telefone",
    "email": "E-mail",
    "genero": "Gênero",
    "dataNascimento": "Nascimento",
    "born_on": "Nascimento",
    "dataCadastro": "Cadastro em",
    "registered_at": "Cadastro em",
    "primeiraCompra": "Primeira compra",
    "data": "Data ou conteúdo",
    "valor": "Valor (R$)",
    "tipoPagamento": "Pagamento",
    "cupom": "Cupom",
    "status": "Situação",
    "id": "Código do cliente",
    "user_id": "Código do cliente",
    "customer_id": "Código do cliente",
    "customerId": "Código do cliente",
    "campaign_type": "Campanha",
    "campaignType": "Campanha",
    "sent_at": "Enviada em",
    "delivered_at": "Entregue em",
    "deliveredAt": "Entregue em",
    "read_at": "Lida em",
    "readAt": "Lida em",
    "replied_at": "Respondida em",
    "repliedAt": "Respondida em",
    "message_content": "Texto",
    "voucher_code": "Cupom",
    "opted_out_at": "Pediu em",
    "optedOutAt": "Pediu em",
    "resumed_at": "Voltou a aceitar em",
    "resumedAt": "Voltou a aceitar em",
    "source": "Origem",
    "last_purchase_on": "Última compra",
    "loyalty_visits": "Visitas no período",
    "loyalty_spent_brl": "Gasto no período (R$)",
    "whatsapp_user_id": "Código da pessoa no WhatsApp",
    "userId": "Código da pessoa no WhatsApp",
    "message_id": "Código da mensagem no WhatsApp",
    "messageId": "Código da mensagem no WhatsApp",
}


@dataclass(frozen=True)
class KeptPart:
    """Rows of one table, or documents of one kind."""

    title: str
    where: str
    rows: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class KeptData:
    """Everything that is kept of a person."""

    name: str
    """The laundromat's."""
    cnpj: str
    customer_id: str
    at: datetime
    timezone: str
    parts: Sequence[KeptPart]


class _Section(NamedTuple):
    title: str
    where: str
    size: str
    entries: list[list[tuple[str, str]]]


def render(kept: KeptData) -> str:
    """Return the page in Brazilian Portuguese; the same data give the same text."""
    environment = Environment(
        loader=PackageLoader("console.privacy", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    zone = ZoneInfo(kept.timezone)
    return environment.get_template("page.html.jinja").render(
        name=kept.name.strip() or _NAMELESS,
        cnpj=words.cnpj_text(kept.cnpj),
        customer_id=kept.customer_id,
        exported_at=words.minute(kept.at.astimezone(zone)),
        sections=[
            _Section(
                part.title,
                part.where,
                words.counted(len(part.rows), "registro", "registros"),
                [list(_entry(row, zone)) for row in part.rows],
            )
            for part in kept.parts
        ],
    )


def _entry(row: Mapping[str, Any], zone: ZoneInfo) -> Iterable[tuple[str, str]]:
    for name, value in row.items():
        if value is not None and value != []:
            yield _WORDS.get(name, name), _text(value, zone)


def _text(value: Any, zone: ZoneInfo) -> str:
    match value:
        case bool():
            return "sim" if value else "não"
        case datetime() if value.year < _FIRST_YEAR:
            # A welcome's cycle begins with the beginning of time.
            return "desde sempre"
        case datetime():
            return words.minute(value.astimezone(zone))
        case date():
            return value.strftime("%d/%m/%Y")
        case Decimal() | float():
            return f"{value:.2f}".replace(".", ",")
        case dict():
            pairs = (f"{name}: {_text(item, zone)}" for name, item in value.items())
            return "; ".join(pairs)
        case list():
            return " | ".join(_text(item, zone) for item in value)
    return str(value)
