"""The report's charts: drawn by matplotlib for the width of a phone, as SVG inside the page.

One unit of a drawing is one CSS pixel on a phone 360 pixels wide, so a text of size 13 is 13 pixels
high there. Texts stay texts, colours are the page's CSS variables, and the same figures always give
the same bytes.
"""

from __future__ import annotations

import io
import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from xml.etree import ElementTree as ET

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle

from console.report.words import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

__all__ = ["WIDTH", "Bar", "Line", "bars", "lines"]

WIDTH = 312
"""The width of a phone of 360 pixels without the margins."""

# Hide the message that matplotlib builds its font cache.
logging.getLogger("matplotlib").setLevel(logging.ERROR)

_POINTS_PER_INCH = 72
_SVG = "http://www.w3.org/2000/svg"
_KEPT = ("x", "y", "d")
_FONT_SIZE = 13
_SMALL = 12
_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": _FONT_SIZE,
    "svg.fonttype": "none",
    "svg.hashsalt": "vmhub",
    # A campaign's name can contain TeX syntax.
    "text.parse_math": False,
}
# matplotlib does not take CSS variables, so a placeholder colour stands for each.
_VARIABLES = {
    "#000001": "var(--ink)",
    "#000002": "var(--muted)",
    "#000003": "var(--rule)",
    "#000004": "var(--blue)",
    "#000005": "var(--orange)",
    "#000006": "var(--green)",
}
_INK, _MUTED, _RULE, *_SERIES = _VARIABLES
_ROW_HEIGHT = 34
_BASELINE, _BAR_TOP, _BAR_HEIGHT = 14, 20, 8
# More than the width of a letter in any font of a phone.
_LETTER, _BOLD_LETTER = 8, 9

_LINES_HEIGHT = 196
_PLOT_TOP, _PLOT_BOTTOM, _PLOT_RIGHT = 44, 166, WIDTH - 4
# Dashes as well as colours, so that lines differ in black and white, too.
_LINE_STYLES: tuple[tuple[float, str], ...] = ((2.2, "-"), (1.8, "--"), (1.8, ":"))
_LEGEND_AT = (2, 90, 188)
# Up to this many points, each gets a marker.
_MARKED_POINTS = 14
_DOT_RADIUS = 2.6
_GRID_STEPS = (1, 2, 5)
_GRID_LINES = 4


@dataclass(frozen=True)
class Bar:
    """A bar with its label and its figure."""

    label: str
    value: float
    text: str
    series: int = 0
    """Its colour."""


@dataclass(frozen=True)
class Line:
    """One series with a value for each label."""

    label: str
    values: tuple[int, ...]


def bars(title: str, content: Sequence[Bar], *, whole: float | None = None) -> Markup:
    """Return horizontal bars, each below its label.

    Args:
        title: What a screen reader says first; the labels and figures follow.
        content: From top to bottom.
        whole: The value of a bar as wide as the chart, drawn behind each bar; default: the largest
            value, and nothing is drawn behind.

    """
    height = _ROW_HEIGHT * len(content)
    widest = whole or max((bar.value for bar in content), default=0) or 1
    with _Drawing(height) as drawing:
        for row, bar in enumerate(content):
            top = row * _ROW_HEIGHT
            room = (WIDTH - _BOLD_LETTER * (len(bar.text) + 1)) // _LETTER
            drawing.text(0, top + _BASELINE, _shortened(bar.label, room))
            drawing.text(WIDTH, top + _BASELINE, bar.text, ha="right", weight="bold")
            drawing.bar(top + _BAR_TOP, WIDTH if whole else 2, _RULE)
            length = WIDTH * max(bar.value, 0) / widest
            drawing.bar(top + _BAR_TOP, length, _SERIES[bar.series])
    return drawing.markup(title, "; ".join(f"{bar.label}: {bar.text}" for bar in content))


def lines(
    title: str,
    content: Sequence[Line],
    ticks: Sequence[tuple[int, str]],
    *,
    description: str,
) -> Markup:
    """Return lines over time, from zero up.

    Args:
        title: What a screen reader says first.
        content: Up to three series of one length, at least two values each.
        ticks: Positions on the time axis and their labels.
        description: What a screen reader says next.

    """
    top, right, bottom = _PLOT_TOP, _PLOT_RIGHT, _PLOT_BOTTOM
    last = len(content[0].values) - 1
    step, count = _grid(max(max(line.values) for line in content))
    left = 6 + _LETTER * len(number(step * count))
    scale = (bottom - top) / (step * count)
    with _Drawing(_LINES_HEIGHT) as drawing:
        for level in range(0, step * count + 1, step):
            height = bottom - level * scale
            drawing.line((left, right), (height, height), _RULE if level else _MUTED, 1, "-")
            drawing.text(left - 6, height + 4, number(level), color=_MUTED, ha="right", size=_SMALL)
        for position, label in ticks:
            across = left + (right - left) * position / last
            drawing.line((across, across), (bottom, bottom + 4), _MUTED, 1, "-")
            ha = "left" if position == 0 else "right" if position == last else "center"
            drawing.text(across, bottom + 19, label, color=_MUTED, ha=ha, size=_SMALL)
        for line, at, color, (width, style) in zip(
            content, _LEGEND_AT, _SERIES, _LINE_STYLES, strict=False
        ):
            drawing.line((at, at + 18), (12, 12), color, width, style)
            drawing.text(at + 23, 16, line.label, size=_SMALL)
            across_all = [left + (right - left) * place / last for place in range(last + 1)]
            down_all = [bottom - value * scale for value in line.values]
            drawing.line(across_all, down_all, color, width, style)
            if last < _MARKED_POINTS:
                for across, down in zip(across_all, down_all, strict=True):
                    drawing.dot(across, down, color)
    return drawing.markup(title, description)


class _Drawing:
    """A canvas in pixels, y downwards, with our own style instead of a user's matplotlibrc."""

    def __init__(self, height: int) -> None:
        self._height = height
        self._context = mpl.rc_context()

    def __enter__(self) -> Self:
        self._context.__enter__()
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        self._figure = Figure(
            figsize=(WIDTH / _POINTS_PER_INCH, self._height / _POINTS_PER_INCH),
            dpi=_POINTS_PER_INCH,
            frameon=False,
        )
        self._axes: Axes = self._figure.add_axes((0, 0, 1, 1), frameon=False)
        self._axes.set_xlim(0, WIDTH)
        self._axes.set_ylim(self._height, 0)
        self._axes.set_axis_off()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is None:
                written = io.StringIO()
                nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
                self._figure.savefig(written, format="svg", metadata=nothing)
                self._svg = written.getvalue()
        finally:
            self._context.__exit__(None, None, None)

    def text(
        self,
        across: float,
        down: float,
        text: str,
        *,
        color: str = _INK,
        ha: str = "left",
        weight: str = "normal",
        size: int = _FONT_SIZE,
    ) -> None:
        self._axes.text(across, down, text, color=color, ha=ha, weight=weight, fontsize=size)

    def bar(self, down: float, width: float, color: str) -> None:
        self._axes.add_patch(
            Rectangle((0, down), width, _BAR_HEIGHT, facecolor=color, linewidth=0, clip_on=False)
        )

    def line(
        self,
        across: Sequence[float],
        down: Sequence[float],
        color: str,
        width: float,
        style: str,
    ) -> None:
        self._axes.plot(across, down, color=color, linewidth=width, linestyle=style, clip_on=False)

    def dot(self, across: float, down: float, color: str) -> None:
        self._axes.add_patch(
            Circle((across, down), _DOT_RADIUS, facecolor=color, linewidth=0, clip_on=False)
        )

    def markup(self, title: str, description: str) -> Markup:
        """Return the drawing as an element of the page."""
        return _slim(self._svg, title, description)


def _slim(svg: str, title: str, description: str) -> Markup:
    """Return matplotlib's file as a smaller element that can share a page with others.

    It removes ids, which would occur twice; fonts, which the page sets; a style that would apply to
    the whole page; digits beyond a tenth of a pixel.
    """
    root = ET.fromstring(svg)  # noqa: S314 # nosec B314 # matplotlib wrote it a moment ago
    slim = ET.Element(
        "svg",
        {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": f"{title}. {description}"},
    )
    ET.SubElement(slim, "title").text = title
    for shape in root.iter():
        tag = shape.tag.removeprefix(f"{{{_SVG}}}")
        if tag in {"path", "text"}:
            kept = {
                name: _slim_numbers(shape.attrib[name]) for name in _KEPT if name in shape.attrib
            }
            copy = ET.SubElement(slim, tag, {"style": _slim_style(shape.attrib["style"]), **kept})
            copy.text = shape.text
    return Markup(ET.tostring(slim, encoding="unicode"))  # noqa: S704 # nosec B704 # escaped


def _slim_style(style: str) -> str:
    kept = (part.strip() for part in style.split(";"))
    text = ";".join(
        part.replace(": ", ":") for part in kept if part and not part.startswith("font-family")
    )
    for stand_in, variable in _VARIABLES.items():
        text = text.replace(stand_in, variable)
    return text


def _slim_numbers(path: str) -> str:
    rounded = re.sub(r"\d+\.\d+", lambda found: f"{float(found[0]):.1f}".removesuffix(".0"), path)
    return re.sub(r"\s+", " ", rounded).strip()


def _grid(most: int) -> tuple[int, int]:
    """Return the distance of the grid lines, a round number, and their number above zero."""
    step = next(
        unit * 10**power
        for power in range(19)
        for unit in _GRID_STEPS
        if unit * 10**power * _GRID_LINES >= most
    )
    return step, max(1, -(-most // step))


def _shortened(label: str, room: int) -> str:
    return label if len(label) <= room else f"{label[: max(room - 1, 1)]}…"
