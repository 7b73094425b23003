"""Grouped bars as SVG, written by hand: the docs need two pictures, not a plotting library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

__all__ = ["Series", "bars"]

_COLOURS = {"PostgreSQL": "#8c96a3", "PgBouncer": "#3b7dd8", "Interceptor": "#e07b39"}
_OTHER_COLOUR = "#5a9e6f"
_WIDTH = 860
_PLOT_HEIGHT = 220
_LEFT, _TOP, _BOTTOM = 64, 64, 74
_FONT = "font-family='system-ui, sans-serif'"


@dataclass(frozen=True, slots=True)
class Series:
    """One colour of bars: its name, and a figure for each group, None where nothing was measured.

    The targets keep their colours through all pictures; any other name has one more.
    """

    name: str
    figures: Sequence[float | None]

    @property
    def colour(self) -> str:
        return _COLOURS.get(self.name, _OTHER_COLOUR)


def bars(title: str, groups: Sequence[tuple[str, str]], series: Sequence[Series], unit: str) -> str:
    """An SVG picture: for each group one bar of each series, with its figure above it. Readable on any background.

    A group is named by two lines.
    """
    highest = max((figure for one in series for figure in one.figures if figure is not None), default=1.0) or 1.0
    step = _step(highest)
    top = ceil(highest / step) * step
    height = _TOP + _PLOT_HEIGHT + _BOTTOM
    floor_y = _TOP + _PLOT_HEIGHT
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {_WIDTH} {height}' role='img' "
        f"aria-label='{escape(title, quote=True)}'>",
        f"<rect width='{_WIDTH}' height='{height}' rx='8' fill='#ffffff'/>",
        _text(20, 28, title, size=16, anchor="start", colour="#1f2630", weight="600"),
    ]
    for line in range(round(top / step) + 1):
        y = floor_y - line * step / top * _PLOT_HEIGHT
        parts.append(f"<line x1='{_LEFT}' x2='{_WIDTH - 20}' y1='{y:.1f}' y2='{y:.1f}' stroke='#e3e7ec'/>")
        parts.append(_text(_LEFT - 8, y + 4, _short(line * step), anchor="end"))
    parts.append(_text(_LEFT - 8, _TOP - 12, unit, anchor="end"))
    group_width = (_WIDTH - 20 - _LEFT) / max(1, len(groups))
    bar_width = min(44.0, group_width * 0.8 / max(1, len(series)))
    for index, (upper, lower) in enumerate(groups):
        middle = _LEFT + group_width * (index + 0.5)
        parts.append(_text(middle, floor_y + 18, upper, size=12, colour="#1f2630"))
        parts.append(_text(middle, floor_y + 34, lower))
        for place, one in enumerate(series):
            figure = one.figures[index]
            if figure is None:
                continue
            x = middle + (place - len(series) / 2) * bar_width
            length = figure / top * _PLOT_HEIGHT
            parts.append(
                f"<rect x='{x + 1:.1f}' y='{floor_y - length:.1f}' width='{bar_width - 2:.1f}' "
                f"height='{length:.1f}' rx='2' fill='{one.colour}'/>"
            )
            parts.append(_text(x + bar_width / 2, floor_y - length - 4, _short(figure), size=10))
    x = float(_LEFT)
    for one in series:
        y = height - 18
        parts.append(f"<rect x='{x:.0f}' y='{y - 10}' width='11' height='11' rx='2' fill='{one.colour}'/>")
        parts.append(_text(x + 17, y, one.name, size=12, anchor="start", colour="#1f2630"))
        x += 40 + 7.2 * len(one.name)
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def _text(
    x: float, y: float, text: str, *, size: int = 11, anchor: str = "middle", colour: str = "#5b6673", weight: str = ""
) -> str:
    bold = f" font-weight='{weight}'" if weight else ""
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size}' text-anchor='{anchor}' fill='{colour}' {_FONT}{bold}>"
        f"{escape(text)}</text>"
    )


def _step(highest: float) -> float:
    """The distance of grid lines: 1, 2 or 5 times a power of ten, four to eight of them."""
    power = 10.0 ** floor(log10(highest))
    return next(factor * power for factor in (0.2, 0.5, 1.0, 2.0) if highest / (factor * power) <= 8)


def _short(figure: float) -> str:
    if figure >= 10_000:
        return f"{figure / 1000:.0f}k"
    if figure >= 1000:
        return f"{figure / 1000:.1f}k"
    return f"{figure:.0f}" if figure >= 100 or figure == int(figure) else f"{figure:.1f}"
