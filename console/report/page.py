"""Renders figures as one self-contained HTML document; reads and writes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from console.report import sections, words
from console.report.timeline import timeline

if TYPE_CHECKING:
    from console.report.figures import OwnerFigures, Sums

__all__ = ["render"]

_NAMELESS = "Sua lavanderia"


class _Tile(NamedTuple):
    figure: str
    name: str
    note: str = ""
    is_wide: bool = False


def render(figures: OwnerFigures) -> str:
    """Return the page in Brazilian Portuguese; the same figures give the same text."""
    environment = Environment(
        loader=PackageLoader("console.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    laundromat, period, totals = figures.laundromat, figures.period, figures.totals
    days = len(figures.days)
    return environment.get_template("page.html.jinja").render(
        name=laundromat.name.strip() or _NAMELESS,
        cnpj=words.cnpj_text(laundromat.cnpj),
        period=_period_text(figures),
        built_at=words.minute(laundromat.built_at),
        is_empty=figures.is_empty,
        summary=_summary(figures),
        tiles=_tiles(totals),
        timeline=timeline(figures) if totals.sent else None,
        campaigns=sections.campaign_cards(figures),
        tiers=sections.tiers(figures) if totals.sent else None,
        vouchers=sections.vouchers(figures),
        untraced=_untraced(totals),
        purchases=sections.purchases(figures) if totals.sent or totals.purchases else None,
        lifts=sections.lift_cards(figures),
        failures=sections.failures(totals),
        failure_chart=sections.failure_chart(totals) if totals.failed else None,
        conversion_days=words.counted(laundromat.conversion_days, "dia", "dias"),
        last_on=words.day(period.last_on),
        days=words.counted(days, "dia", "dias"),
    )


def _period_text(figures: OwnerFigures) -> str:
    first_on, last_on = figures.period.first_on, figures.period.last_on
    if first_on == last_on:
        return words.day(last_on)
    return f"{words.day(first_on)} a {words.day(last_on)}"


def _summary(figures: OwnerFigures) -> str:
    totals = figures.totals
    if not totals.attempts:
        return "Nenhuma mensagem saiu neste período."
    sent = words.counted(totals.sent, "mensagem enviada", "mensagens enviadas")
    read = words.counted(totals.read, "foi lida", "foram lidas")
    bought = words.counted(totals.purchases, "compra veio", "compras vieram")
    return (
        f"{sent}; ao menos {read}. Até "
        f"{words.counted(figures.laundromat.conversion_days, 'dia', 'dias')} depois da mensagem, "
        f"{bought} de quem a recebeu: {words.money(totals.revenue_brl)}."
    )


def _tiles(totals: Sums) -> tuple[_Tile, ...]:
    def of_sent(count: int) -> str:
        return f"{words.percent(count, totals.sent)} das enviadas" if totals.sent else ""

    return (
        _Tile(words.number(totals.sent), "mensagens enviadas"),
        _Tile(words.number(totals.delivered), "entregues", of_sent(totals.delivered)),
        _Tile(words.number(totals.read), "lidas, ao menos", of_sent(totals.read)),
        _Tile(words.number(totals.replied), "responderam", of_sent(totals.replied)),
        _Tile(words.number(totals.failed), "falharam"),
        _Tile(words.number(totals.purchases), "compras creditadas"),
        _Tile(words.money(totals.revenue_brl), "receita creditada", is_wide=True),
        _Tile(words.money(totals.cost_brl), "custo das mensagens", _billed(totals), is_wide=True),
    )


def _billed(totals: Sums) -> str:
    """Return how many messages are in the cost, and how many cannot be."""
    known = words.counted(totals.billed, "mensagem cobrada", "mensagens cobradas")
    if not totals.unpriced:
        return f"{known} pelo WhatsApp"
    unpriced = words.counted(totals.unpriced, "entregue sem preço", "entregues sem preço")
    return f"{known} pelo WhatsApp; {unpriced} conhecido"


def _untraced(totals: Sums) -> str:
    if not totals.vouchers_untraced:
        return ""
    used = words.counted(totals.vouchers_untraced, "cupom foi usado", "cupons foram usados")
    return (
        f"Além disso, {used} sem registro de envio: {words.money(totals.untraced_revenue_brl)}. "
        "Não entram nas contas acima."
    )
