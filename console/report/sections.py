"""The page's sections about campaigns, tiers, vouchers, purchases and failures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from console.report.charts import Bar, bars
from console.report.figures import Sums
from console.report.parts import Chart, Table
from console.report.words import (
    FAILURES,
    campaign_name,
    counted,
    lift_words,
    money,
    number,
    percent,
    variant_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from console.report.figures import Campaign, OwnerFigures

__all__ = [
    "CampaignCard",
    "Failure",
    "LiftCard",
    "campaign_cards",
    "failure_chart",
    "failures",
    "lift_cards",
    "purchases",
    "tiers",
    "vouchers",
]
# The first steps of the funnel count customers; from this index on they count messages.
_MESSAGE_STEPS = 2


@dataclass(frozen=True)
class CampaignCard:
    """The results of one campaign's messages."""

    name: str
    funnel: Chart
    notes: tuple[str, ...]


@dataclass(frozen=True)
class LiftCard:
    """One campaign compared with its control group."""

    name: str
    words: str
    chart: Chart


@dataclass(frozen=True)
class Failure:
    """One reason for which messages were not sent."""

    name: str
    count: str
    why: str
    advice: str


def campaign_cards(figures: OwnerFigures) -> tuple[CampaignCard, ...]:
    """Return the campaigns with any activity in the period."""
    return tuple(_card(campaign) for campaign in figures.campaigns if campaign.sums != Sums())


def tiers(figures: OwnerFigures) -> Table:
    """Return the messages by tier and stage."""
    return Table(
        "por-faixa",
        ("Grupo", "Enviadas", "Entregues", "Lidas", "Respostas"),
        tuple(
            (name, *map(number, _course(sums)))
            for name, sums in _groups(figures)
            if any(_course(sums))
        ),
        ("Total", *map(number, _course(figures.totals))),
        phone_columns="1fr 1fr 1fr 1fr",
    )


def vouchers(figures: OwnerFigures) -> Chart | None:
    """Return the use of voucher codes by tier and stage; None: there are none."""
    groups = [(name, sums) for name, sums in _groups(figures) if sums.vouchers_sent]
    table = Table(
        "cupons",
        ("Grupo", "Enviados", "Usados", "Taxa", "Receita"),
        tuple(_voucher_row(name, sums) for name, sums in groups),
        _voucher_row("Total", figures.totals),
        phone_columns="1fr 1fr 1fr 2fr",
    )
    content = [
        Bar(
            name,
            sums.vouchers_redeemed / sums.vouchers_sent,
            f"{number(sums.vouchers_redeemed)} de {number(sums.vouchers_sent)}",
            series=2,
        )
        for name, sums in groups
    ]
    return Chart(bars("Cupons usados", content, whole=1), table) if groups else None


def purchases(figures: OwnerFigures) -> Chart:
    """Return purchases and revenue by campaign."""
    campaigns = [campaign for campaign in figures.campaigns if campaign.sums.sent]
    content = [
        Bar(
            campaign_name(campaign.campaign_type),
            float(campaign.sums.revenue_brl),
            money(campaign.sums.revenue_brl),
            series=2,
        )
        for campaign in campaigns
    ]
    table = Table(
        "compras",
        ("Campanha", "Mensagens com compra", "Compras", "Receita", "Custo"),
        tuple(
            _purchase_row(campaign_name(campaign.campaign_type), campaign.sums)
            for campaign in figures.campaigns
            if campaign.sums.sent or campaign.sums.purchases
        ),
        _purchase_row("Total", figures.totals),
        phone_columns="1fr 1fr 1.5fr 1.5fr",
    )
    return Chart(bars("Receita creditada", content) if content else None, table)


def lift_cards(figures: OwnerFigures) -> tuple[LiftCard, ...]:
    """Return the campaigns that have had a control group."""
    cards = []
    for campaign in figures.campaigns:
        lift = campaign.lift
        if lift is None:
            continue
        groups = (
            ("Receberam", lift.treated, lift.treated_converted),
            ("Não receberam", lift.held_out, lift.held_out_converted),
        )
        table = Table(
            f"controle-{campaign.campaign_type.lower()}",
            ("Grupo", "Clientes", "Compraram", "Taxa"),
            tuple((name, number(of), number(did), percent(did, of)) for name, of, did in groups),
        )
        content = [
            Bar(name, did / of if of else 0, percent(did, of), series=series)
            for series, (name, of, did) in enumerate(groups)
        ]
        name = campaign_name(campaign.campaign_type)
        cards.append(
            LiftCard(
                name,
                lift_words(lift),
                Chart(bars(f"Clientes que compraram: {name}", content, whole=1), table),
            )
        )
    return tuple(cards)


def failures(sums: Sums) -> tuple[Failure, ...]:
    """Return why messages were not sent, most frequent first."""
    counts = sums.failures()
    return tuple(
        Failure(FAILURES[name].name, number(count), FAILURES[name].why, FAILURES[name].advice)
        for name, count in sorted(counts.items(), key=lambda item: -item[1])
        if count
    )


def failure_chart(sums: Sums) -> Chart:
    """Return the failures by reason."""
    counts = [
        (FAILURES[name].name, count)
        for name, count in sorted(sums.failures().items(), key=lambda item: -item[1])
        if count
    ]
    table = Table(
        "falhas",
        ("Motivo", "Mensagens", "Das tentativas"),
        tuple((name, number(count), percent(count, sums.attempts)) for name, count in counts),
        ("Total", number(sums.failed), percent(sums.failed, sums.attempts)),
    )
    content = [Bar(name, count, number(count), series=1) for name, count in counts]
    return Chart(bars("Mensagens que falharam", content), table)


def _card(campaign: Campaign) -> CampaignCard:
    name, sums = campaign_name(campaign.campaign_type), campaign.sums
    steps = (
        ("Candidatos", sums.candidates),
        ("Selecionados", sums.targets),
        ("Enviadas", sums.sent),
        ("Entregues", sums.delivered),
        ("Lidas (ao menos)", sums.read),
        ("Responderam", sums.replied),
    )
    shares = ("", "", "", *(percent(count, sums.sent) for _, count in steps[3:]))
    content = [
        Bar(
            step,
            count,
            f"{number(count)} ({share})" if share and sums.sent else number(count),
            series=0 if place < _MESSAGE_STEPS else 2,
        )
        for place, ((step, count), share) in enumerate(zip(steps, shares, strict=True))
    ]
    table = Table(
        f"funil-{campaign.campaign_type.lower()}",
        ("Etapa", "Quantos", "Das enviadas"),
        tuple(
            (step, number(count), share) for (step, count), share in zip(steps, shares, strict=True)
        ),
    )
    most = max(count for _, count in steps) or 1
    chart = Chart(bars(f"Funil de {name}", content, whole=most), table)
    return CampaignCard(name, chart, tuple(_notes(sums)))


def _notes(sums: Sums) -> Iterable[str]:
    if sums.purchases:
        bought = counted(sums.purchases, "compra creditada", "compras creditadas")
        yield f"{bought}: {money(sums.revenue_brl)}."
    if sums.billed:
        billed = counted(sums.billed, "mensagem cobrada", "mensagens cobradas")
        yield f"{billed} pelo WhatsApp: {money(sums.cost_brl)}."
    if sums.failed:
        yield f"{counted(sums.failed, 'mensagem falhou', 'mensagens falharam')}."
    if sums.held_out:
        held_out = counted(sums.held_out, "cliente ficou", "clientes ficaram")
        yield f"{held_out} no grupo de controle, sem mensagem."


def _groups(figures: OwnerFigures) -> list[tuple[str, Sums]]:
    """Return tiers and stages with their campaign's name, or only the name if there are none."""
    groups = []
    for campaign in figures.campaigns:
        name = campaign_name(campaign.campaign_type)
        is_single = len(campaign.variants) == 1 and campaign.variants[0].template_variant in {
            "DEFAULT",
            "UNKNOWN",
        }
        for variant in campaign.variants:
            of = name if is_single else f"{name} · {variant_name(variant.template_variant)}"
            groups.append((of, variant.sums))
    return groups


def _voucher_row(name: str, sums: Sums) -> tuple[str, ...]:
    sent, redeemed = sums.vouchers_sent, sums.vouchers_redeemed
    revenue = money(sums.voucher_revenue_brl)
    return name, number(sent), number(redeemed), percent(redeemed, sent), revenue


def _purchase_row(name: str, sums: Sums) -> tuple[str, ...]:
    revenue, cost = money(sums.revenue_brl), money(sums.cost_brl)
    return name, number(sums.converted), number(sums.purchases), revenue, cost


def _course(sums: Sums) -> tuple[int, ...]:
    return sums.sent, sums.delivered, sums.read, sums.replied
