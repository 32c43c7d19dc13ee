"""The owner's page: its content, its wording, and that it names no customer."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

import matplotlib as mpl
import pytest

from console.report import words
from console.report.figures import Lift, Period, Rows, Sums, figures_of, group_name
from console.report.page import render
from console.report.page_file import write_page
from loader.base.errors import ConfigurationError, RunError
from tests.console.report.owner_rows import (
    FIFTH_GROUPS,
    LAST_ON,
    LAUNDROMAT,
    conversion_row,
    empty_figures,
    lift_row,
    performance_row,
    sample_figures,
    voucher_row,
)

PEOPLE = ("Ana Exemplo", "+5511900000001", "11900000001", "529.982.247-25", "52998224725")


class Page(HTMLParser):
    """The content of a page: its tables by id, its elements, its text."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self._table: list[list[str]] | None = None
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        attributes = dict(attrs)
        self.ids.extend(value for name, value in attrs if name == "id" and value)
        if tag == "table":
            self._table = self.tables.setdefault(attributes["id"] or "", [])
        elif tag == "tr" and self._table is not None:
            self._table.append([])
        elif tag in {"th", "td"} and self._table is not None:
            self._table[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self._table = None

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._table and self._table[-1]:
            self._table[-1][-1] += data.strip()

    def column(self, table: str, heading: str) -> tuple[list[Decimal], Decimal]:
        """Return a column's figures and its total."""
        headings, *rows, total = self.tables[table]
        values = [read_number(row[headings.index(heading)]) for row in (*rows, total)]
        return values[:-1], values[-1]


def read_number(text: str) -> Decimal:
    return Decimal(text.removeprefix("R$\u00a0").replace(".", "").replace(",", "."))


# Words and formats


def test_numbers_are_written_as_in_brazil() -> None:
    assert words.number(1234567) == "1.234.567"
    assert words.money(Decimal("1234.56")) == "R$\u00a01.234,56"
    assert words.money(Decimal("-0.5")) == "-R$\u00a00,50"
    assert words.percent(1, 8) == "12,5%"
    assert words.percent(1, 1) == "100%"
    assert words.percent(0, 0) == "—"
    assert words.counted(1, "compra", "compras") == "1 compra"
    assert words.counted(1000, "compra", "compras") == "1.000 compras"


def test_dates_and_cnpjs_are_written_as_in_brazil() -> None:
    assert words.day(date(2026, 3, 1)) == "01/03/2026"
    assert words.day_and_month(date(2026, 3, 1)) == "01/03"
    assert words.month(date(2026, 9, 1)) == "set/26"
    assert words.minute(datetime(2026, 3, 1, 9, 5, tzinfo=UTC)) == "01/03/2026 às 09:05"
    assert words.cnpj_text("12ABC34501DE35") == "12.ABC.345/01DE-35"


def test_campaigns_and_tiers_have_names_and_unknown_ones_their_own() -> None:
    assert [words.campaign_name(name) for name in ("BIRTHDAY", "WELCOME", "NATAL_2026")] == [
        "Aniversário",
        "Boas-vindas",
        "Natal 2026",
    ]
    assert [words.variant_name(name) for name in ("GOLD", "STAGE_2", "UNKNOWN", "VIP")] == [
        "Ouro",
        "Etapa 2",
        "Sem registro",
        "Vip",
    ]


def lift(**values: object) -> Lift:
    row = lift_row("LOYALTY", **values)
    del row["campaign_type"]
    return Lift(**row)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            {},
            (
                "De cada 100 clientes que receberam, 32 compraram; dos que não receberam, 20. "
                "A diferença está entre +2,3 e +19,9 pontos. Quem recebe a mensagem compra mais."
            ),
        ),
        (
            {"lift_low": -0.2, "lift_high": -0.051, "verdict": "FEWER_PURCHASES"},
            (
                "De cada 100 clientes que receberam, 32 compraram; dos que não receberam, 20. "
                "A diferença está entre −20 e −5,1 pontos. "  # noqa: RUF001 - minus signs
                "Quem recebe a mensagem compra menos: vale rever esta campanha."
            ),
        ),
        (
            {"held_out": 12, "verdict": "TOO_FEW_TO_TELL"},
            "Ainda é cedo para dizer: poucos clientes no grupo de controle (12).",
        ),
        (
            {"treated": 3, "verdict": "TOO_FEW_TO_TELL"},
            "Ainda é cedo para dizer: poucos clientes receberam a mensagem (3).",
        ),
        (
            {"held_out": 0, "held_out_rate": None, "lift_low": None, "lift_high": None},
            "Ainda é cedo para dizer: poucos clientes no grupo de controle (0).",
        ),
    ],
)
def test_what_a_control_group_says_is_said_in_words(
    values: dict[str, object], expected: str
) -> None:
    assert words.lift_words(lift(**values)) == expected


def test_a_difference_that_may_be_none_is_not_called_one() -> None:
    text = words.lift_words(lift(lift_low=-0.04, verdict="NO_CLEAR_DIFFERENCE"))
    assert text.endswith("Ainda não dá para afirmar que a mensagem muda as compras.")


# The figures


def test_figures_add_up_over_days_tiers_and_campaigns() -> None:
    figures = sample_figures(30, FIFTH_GROUPS)
    assert figures.totals == Sums.total(campaign.sums for campaign in figures.campaigns)
    for campaign in figures.campaigns:
        assert campaign.sums == Sums.total(variant.sums for variant in campaign.variants)
    assert len(figures.days) == 30
    assert figures.totals.sent == sum(day.sent for day in figures.days)
    assert figures.totals.read == sum(day.read for day in figures.days)
    assert figures.totals.failed == sum(figures.totals.failures().values())


def test_failures_that_do_not_add_up_are_an_error() -> None:
    row = {**performance_row(failed_sender=1), "failed": 2}
    with pytest.raises(RunError, match="failures do not add up"):
        figures_of(LAUNDROMAT, Period.ending(LAST_ON, 1), Rows(performance=[row]))


def test_a_campaign_that_only_had_a_control_group_is_there_too() -> None:
    figures = figures_of(LAUNDROMAT, Period.ending(LAST_ON, 7), Rows(lift=[lift_row("LOYALTY")]))
    page = Page(render(figures))
    assert "Quem recebe a mensagem compra mais" in page.text
    assert "Nenhuma mensagem saiu neste período." in page.text
    assert page.tables.keys() == {"controle-loyalty"}


# The page


@pytest.mark.parametrize("days", [1, 2, 30, 92, 93, 365, 366])
def test_totals_and_tables_show_the_same_figures(days: int) -> None:
    figures = sample_figures(days, FIFTH_GROUPS)
    totals = figures.totals
    page = Page(render(figures))

    for heading, expected in (("Enviadas", totals.sent), ("Lidas", totals.read)):
        for table in ("por-dia", "por-faixa"):
            values, total = page.column(table, heading)
            assert sum(values) == total == expected
    values, total = page.column("compras", "Receita")
    assert sum(values) == total == totals.revenue_brl
    values, total = page.column("cupons", "Usados")
    assert sum(values) == total == totals.vouchers_redeemed
    values, total = page.column("falhas", "Mensagens")
    assert sum(values) == total == totals.failed
    for campaign in figures.campaigns:
        rows = {row[0]: row[1] for row in page.tables[f"funil-{campaign.campaign_type.lower()}"]}
        assert read_number(rows["Candidatos"]) == campaign.sums.candidates
        assert read_number(rows["Responderam"]) == campaign.sums.replied
    for figure in (totals.sent, totals.delivered, totals.failed, totals.purchases):
        assert f"<strong>{words.number(figure)}</strong>" in render(figures)


def test_what_messages_cost_stands_beside_what_they_brought() -> None:
    rows = Rows(
        performance=[
            performance_row(sent=9, attempts=9, delivered=8, billed=6, unpriced=2),
            performance_row(campaign_type="LOYALTY", template_variant="GOLD", sent=1, attempts=1),
        ],
        conversions=[conversion_row("BIRTHDAY", "DEFAULT", 3, "81.00")],
    )
    page = Page(render(figures_of(LAUNDROMAT, Period.ending(LAST_ON, 30), rows)))
    birthday, loyalty, total = page.tables["compras"][1:]
    assert birthday[3:] == ["R$\u00a081,00", "R$\u00a02,10"]
    assert loyalty[3:] == ["R$\u00a00,00", "R$\u00a00,00"]
    assert total[3:] == birthday[3:]
    assert "6 mensagens cobradas pelo WhatsApp; 2 entregues sem preço conhecido" in page.text
    assert "6 mensagens cobradas pelo WhatsApp: R$\u00a02,10." in page.text


def test_the_header_says_who_when_and_as_of_when() -> None:
    text = " ".join(Page(render(sample_figures(30))).text.split())
    assert "Lavanderia Ipê Amarelo CNPJ12.ABC.345/01DE-35" in text
    assert "Período25/10/2026 a 23/11/2026 (30 dias)" in text
    assert "Calculado em23/11/2026 às 10:00" in text


def test_many_days_are_drawn_by_week_and_every_day_is_in_one() -> None:
    year = Page(render(sample_figures(365)))
    headings, first, *rest, total = year.tables["por-dia"]
    assert headings[0] == "Semana"
    assert first[0] == "24/11 a 30/11/2025"
    assert rest[-1][0].endswith("a 23/11/2026")
    assert (len(rest) + 1, total[0]) == (52, "Total")


def test_a_laundromat_without_messages_gets_a_friendly_page() -> None:
    page = Page(render(empty_figures()))
    assert "Ainda não há mensagens neste período" in page.text
    assert (page.tables, page.tags.count("svg")) == ({}, 0)


def test_a_day_on_which_all_failed_says_why_and_what_to_do() -> None:
    row = performance_row(attempts=2, failed_unreachable=1, failed_sender=1)
    figures = figures_of(LAUNDROMAT, Period.ending(LAST_ON, 1), Rows(performance=[row]))
    page = Page(render(figures))
    assert page.tables["falhas"][-1] == ["Total", "2", "100%"]
    assert "confirme o número com o cliente" in page.text
    assert "Gerenciador do WhatsApp" in page.text
    assert "Falha passageira" not in page.text


def test_codes_that_no_message_is_known_of_are_told_apart() -> None:
    untraced = voucher_row(
        "LOYALTY", None, vouchers_untraced=1, untraced_revenue_brl=Decimal("18.5")
    )
    figures = figures_of(
        LAUNDROMAT,
        Period.ending(LAST_ON, 1),
        Rows(performance=[performance_row(sent=1, attempts=1)], vouchers=[untraced]),
    )
    page = Page(render(figures))
    assert "1 cupom foi usado sem registro de envio: R$\u00a018,50" in page.text
    assert "cupons" not in page.tables


@pytest.mark.parametrize(
    "name", ['<script>alert("1")</script>', "Lava & <Bem> 'já' 🧺", "{{ cnpj }}"]
)
def test_a_name_is_shown_as_it_is_written_and_does_nothing(name: str) -> None:
    for figures in (empty_figures(), sample_figures(3)):
        laundromat = replace(figures.laundromat, name=name)
        page = Page(render(replace(figures, laundromat=laundromat)))
        assert page.text.count(name) == 2
        assert "script" not in page.tags


def test_a_laundromat_without_a_name_is_addressed_all_the_same() -> None:
    page = render(empty_figures(replace(LAUNDROMAT, name="  ")))
    assert "<h1>Sua lavanderia</h1>" in page


def test_the_page_is_one_file_without_scripts_or_anything_to_load() -> None:
    content = render(sample_figures(30))
    page = Page(content)
    assert not {"script", "link", "img", "iframe", "object", "use", "image"} & set(page.tags)
    assert not re.findall(r"https?:|url\(|@import|\bsrc=|\bhref=|\son[a-z]+=", content)
    assert len(page.ids) == len(set(page.ids))


def test_every_chart_has_words_and_a_table() -> None:
    content = render(sample_figures(30))
    drawings = re.findall(r"<svg[^>]*>", content)
    assert drawings
    assert all(re.search(r' role="img" aria-label="[^"]{20,}"', drawing) for drawing in drawings)
    assert content.count("</svg></figure>\n<details>") == len(drawings)
    assert len(re.findall(r"<svg[^>]*><title>[^<]+</title>", content)) == len(drawings)


def test_the_same_figures_give_the_same_bytes_whatever_a_matplotlibrc_says() -> None:
    content = render(sample_figures(30))
    with mpl.rc_context({"font.size": 30, "lines.linewidth": 9, "svg.fonttype": "path"}):
        assert render(sample_figures(30)) == content
    assert "dc:date" not in content


def test_matplotlib_is_loaded_by_the_report_alone() -> None:
    code = "import loader.services, sys; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# Nobody is named


@pytest.mark.parametrize(
    "text", [*PEOPLE, "MARIA_SILVA", "A11900000001", "VIP <b>", "a", "", "ana@example.com"]
)
def test_what_is_no_campaign_tier_or_stage_of_the_project_is_not_shown(text: str) -> None:
    assert group_name(text, LAUNDROMAT.names) == "OTHER"


@pytest.mark.parametrize("name", ["BIRTHDAY", "GOLD", "STAGE_12"])
def test_what_names_a_campaign_or_stage_is_kept(name: str) -> None:
    assert group_name(name, LAUNDROMAT.names) == name


def test_no_person_that_an_older_system_wrote_anywhere_gets_in() -> None:
    rows = Rows(
        performance=[
            performance_row(LAST_ON, person, other, sent=1, attempts=1, candidates=1)
            for person in PEOPLE
            for other in PEOPLE
        ],
        conversions=[conversion_row(person, person, 1, "10") for person in PEOPLE],
        vouchers=[voucher_row(person, person, vouchers_sent=1) for person in PEOPLE],
        lift=[lift_row(PEOPLE[0])],
    )
    figures = figures_of(LAUNDROMAT, Period.ending(LAST_ON, 1), rows)
    content = render(figures)
    assert figures.totals.sent == len(PEOPLE) ** 2
    assert [campaign.campaign_type for campaign in figures.campaigns] == ["OTHER"]
    for person in PEOPLE:
        assert person not in content
        assert person not in repr(figures)


# The file


def test_a_page_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_page(path, "before")
    assert write_page(path, "depois: é") == len("depois: é".encode())
    assert path.read_text(encoding="utf-8") == "depois: é"
    assert [item.name for item in tmp_path.iterdir()] == ["report.html"]


def test_a_path_that_cannot_be_written_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for path, reason in (
        (tmp_path / "missing" / "report.html", "No such file or directory"),
        (tmp_path / "folder", "Is a directory"),
        (Path("/"), ""),
    ):
        with pytest.raises(ConfigurationError, match=f"cannot write {re.escape(str(path))}") as it:
            write_page(path, "page")
        assert reason in it.value.message
    assert [item.name for item in tmp_path.iterdir()] == ["folder"]


def test_revenue_of_reduced_and_missing_amounts_is_still_a_sum() -> None:
    rows = Rows(
        performance=[performance_row(sent=2, attempts=2)],
        conversions=[
            conversion_row("BIRTHDAY", "DEFAULT", 1, "-5.50"),
            {**conversion_row("BIRTHDAY", None, 1, "0"), "revenue_brl": None},
        ],
    )
    figures = figures_of(LAUNDROMAT, Period.ending(LAST_ON, 1), rows)
    assert figures.totals.revenue_brl == Decimal("-5.50")
    assert "-R$\u00a05,50" in render(figures)
