"""The owner's page in a real browser, from phone to desktop."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import sync_playwright

from console.report.page import render
from tests.console.report.owner_rows import FIFTH_GROUPS, LAUNDROMAT, empty_figures, sample_figures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page, ViewportSize

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SIZES: dict[str, ViewportSize] = {
    "phone": {"width": 360, "height": 740},
    "tablet": {"width": 768, "height": 1024},
    "desk": {"width": 1280, "height": 900},
}
PAGES = {
    "a month": render(sample_figures(30)),
    "a day": render(sample_figures(1)),
    # With figures of seven digits and an unknown campaign.
    "a year": render(sample_figures(366, FIFTH_GROUPS, scale=97)),
    "nothing": render(empty_figures(replace(LAUNDROMAT, name="Lava<b>&" + "Lava" * 30 + "🧺"))),
}

# Every text of the page as a reader sees it: its place, its height and its background.
TEXTS = """
() => {
    const parts = (color) => color.match(/[0-9.]+/g).map(Number);
    const isSeen = (color) => parts(color).length < 4 || parts(color)[3] > 0;
    const light = (color) => {
        const [r, g, b] = parts(color).map((part) => {
            const share = part / 255;
            return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const texts = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const node = walker.currentNode, element = node.parentElement;
        if (!node.data.trim() || !element.checkVisibility()) continue;
        if (element.tagName === 'title') continue;
        const range = document.createRange();
        range.selectNodeContents(node);
        const svg = element.closest('svg'), style = getComputedStyle(element);
        const box = (svg || element.closest('li, td, th, dd, dt, section, header'))
            .getBoundingClientRect();
        const scale = svg ? box.width / svg.viewBox.baseVal.width : 1;
        let behind = element;
        while (behind.parentElement && !isSeen(getComputedStyle(behind).backgroundColor)) {
            behind = behind.parentElement;
        }
        const shades = [
            light(svg ? style.fill : style.color),
            light(getComputedStyle(behind).backgroundColor),
        ].sort();
        texts.push({
            text: node.data.trim(),
            svg: svg ? [...document.querySelectorAll('svg')].indexOf(svg) : null,
            at: (svg ? element : range).getBoundingClientRect().toJSON(),
            lines: svg ? [element.getBoundingClientRect()] : [...range.getClientRects()],
            within: box.toJSON(),
            pixels: parseFloat(style.fontSize) * scale,
            contrast: (shades[1] + 0.05) / (shades[0] + 0.05),
        });
    }
    return texts;
}
"""


@dataclass
class Opened:
    """A page in the browser, with its requests and its console errors."""

    page: Page
    url: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def texts(self) -> list[dict[str, Any]]:
        texts: list[dict[str, Any]] = self.page.evaluate(TEXTS)
        assert len(texts) > 10
        return texts

    def unfold(self, *, is_open: bool = True) -> None:
        self.page.evaluate(
            "is_open => document.querySelectorAll('details').forEach(item => item.open = is_open)",
            is_open,
        )


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = next((path for name in PROGRAMS if (path := shutil.which(name))), None)
    if found is None:
        reason = f"no browser: none of {', '.join(PROGRAMS)} is installed"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    # With a temporary profile, which playwright removes.
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=found, args=ARGUMENTS) as browser,
    ):
        yield browser


@pytest.fixture(scope="module", params=SIZES)
def size(request: pytest.FixtureRequest) -> ViewportSize:
    return SIZES[request.param]


@pytest.fixture(scope="module", params=PAGES)
def loaded(
    request: pytest.FixtureRequest,
    browser: Browser,
    size: ViewportSize,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Opened]:
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(PAGES[request.param], encoding="utf-8")
    with browser.new_page(viewport=size) as page:
        opened = Opened(page, file.as_uri())
        page.on("request", lambda asked: opened.requests.append(asked.url))
        page.on("console", lambda message: opened.complaints.append(message.text))
        page.on("pageerror", lambda error: opened.complaints.append(str(error)))
        page.goto(opened.url)
        yield opened


@pytest.fixture
def opened(loaded: Opened) -> Iterator[Opened]:
    yield loaded
    loaded.page.emulate_media(media="null", color_scheme="null")
    loaded.unfold(is_open=False)


def test_the_page_fits_asks_for_nothing_and_complains_of_nothing(opened: Opened) -> None:
    for _ in range(2):
        assert opened.page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
        opened.unfold()
    assert opened.requests == [opened.url]
    assert opened.complaints == []


def test_every_text_is_large_enough_and_where_it_belongs(opened: Opened) -> None:
    for _ in range(2):
        for item in opened.texts():
            at, within = item["at"], item["within"]
            assert item["pixels"] >= 11, item
            assert at["width"] > 0, item
            assert within["left"] - 1 <= at["left"], item
            assert at["right"] <= within["right"] + 1, item
            assert within["top"] - 1 <= at["top"], item
            assert at["bottom"] <= within["bottom"] + 1, item
        opened.unfold()


def test_no_text_covers_another(opened: Opened) -> None:
    opened.unfold()
    lines = [(item["text"], line) for item in opened.texts() for line in item["lines"]]
    lines.sort(key=lambda item: float(item[1]["top"]))
    for number, (text, one) in enumerate(lines):
        for other_text, other in lines[number + 1 :]:
            # Neighbouring lines of a text share the space between them.
            if other["top"] > one["bottom"] - 5:
                break
            shared = min(one["right"], other["right"]) - max(one["left"], other["left"])
            assert shared <= 1, (text, other_text)


def test_every_text_stands_out_by_day_and_by_night(opened: Opened) -> None:
    for scheme in ("light", "dark"):
        opened.page.emulate_media(color_scheme=scheme)
        for item in opened.texts():
            assert item["contrast"] >= 4.5, (scheme, item)


def test_the_big_numbers_are_seen_whole(opened: Opened) -> None:
    tiles = opened.page.locator(".tiles strong")
    is_empty = opened.page.locator("#vazio").count() == 1
    assert tiles.count() == (0 if is_empty else 8)
    for tile in tiles.all():
        assert tile.is_visible()
        assert tile.evaluate("item => item.getClientRects().length") == 1
        box = tile.bounding_box()
        assert box is not None
        assert box["height"] < 40, "it takes one line"


def test_on_paper_the_tables_are_there_too(opened: Opened) -> None:
    if not opened.page.evaluate("CSS.supports('selector(::details-content)')"):
        pytest.skip("this browser cannot unfold what is printed")
    opened.page.emulate_media(media="print")
    for table in opened.page.locator("details table").all():
        assert table.evaluate("item => item.checkVisibility({contentVisibilityAuto: true})")
        box = table.bounding_box()
        assert box is not None
        assert box["height"] > 20
