"""Lines over time as inline SVG: no script, no library, readable on paper."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 760, 220
LEFT, RIGHT, TOP, BOTTOM = 62, 150, 12, 26
COLOURS = ("#2563a8", "#b4431f", "#2e7d4f", "#7a4fa3", "#8a6d1a", "#4a4a4a", "#c2407e", "#13868a")
MOST = 600
"""Points of a line: there is no room for more."""
Points = Sequence[tuple[float, float]]


def lines(
    title: str,
    unit: str,
    series: Mapping[str, Points],
    *,
    logarithmic: bool = False,
    bands: Mapping[str, tuple[float, float]] | None = None,
    x_name: str = "s",
    marks: Mapping[str, float] | None = None,
) -> str:
    """A figure with its caption; `bands` are named parts of the time, `marks` named places."""
    series = {name: _thinned(points) for name, points in series.items() if points}
    if not series:
        return ""
    xs = [x for points in series.values() for x, _ in points]
    ys = [y for points in series.values() for _, y in points if y > 0 or not logarithmic]
    x0, x1 = min(xs), max(max(xs), min(xs) + 1)
    low, high = _range(ys, logarithmic)

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x0) / (x1 - x0)
        if logarithmic:
            up = (math.log10(max(y, low)) - math.log10(low)) / (math.log10(high) - math.log10(low))
        else:
            up = (y - low) / (high - low)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (
            HEIGHT - TOP - BOTTOM
        )

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">']
    for number, (name, (begin, end)) in enumerate((bands or {}).items()):
        left, right = place(begin, low)[0], place(min(end, x1), low)[0]
        parts.append(
            f'<rect x="{left:.1f}" y="{TOP}" width="{max(0.0, right - left):.1f}" '
            f'height="{HEIGHT - TOP - BOTTOM}" class="band{number % 2}"/>'
            f'<text x="{left + 3:.1f}" y="{TOP + 11}" class="small">{escape(name)}</text>'
        )
    for tick in _ticks(low, high, logarithmic):
        y = place(x0, tick)[1]
        parts.append(
            f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" class="grid"/>'
            f'<text x="{LEFT - 5}" y="{y + 4:.1f}" class="small" text-anchor="end">{tick:g}</text>'
        )
    for tick in _ticks(x0, x1, False):
        x = place(tick, low)[0]
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 8}" class="small">{tick:g} {x_name}</text>')
    for name, at in (marks or {}).items():
        x = place(at, low)[0]
        parts.append(
            f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{HEIGHT - BOTTOM}" class="mark"/>'
            f'<text x="{x + 3:.1f}" y="{TOP + 11}" class="small">{escape(name)}</text>'
        )
    parts += [_line(number, name, [place(*point) for point in points])
              for number, (name, points) in enumerate(series.items())]  # fmt: skip
    parts.append("</svg>")
    caption = f"<figcaption>{escape(title)}, {escape(unit)}</figcaption>"
    return f"<figure>{caption}{''.join(parts)}</figure>"


def _line(number: int, name: str, places: Sequence[tuple[float, float]]) -> str:
    """A line, and its name at the right."""
    colour = COLOURS[number % len(COLOURS)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return (
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>'
        f'<text x="{WIDTH - RIGHT + 8}" y="{TOP + 14 + 16 * number}" fill="{colour}" class="name">'
        f"{escape(name)}</text>"
    )


def _thinned(points: Points) -> Points:
    """Of very many, the highest of each few: peaks stay, and a page of hours stays small."""
    few = -(-len(points) // MOST)
    if few <= 1:
        return points
    parts = (points[at : at + few] for at in range(0, len(points), few))
    return [max(part, key=lambda point: point[1]) for part in parts]


def _range(ys: Sequence[float], logarithmic: bool) -> tuple[float, float]:
    if not logarithmic:
        return 0.0, max([*ys, 0.0]) * 1.05 or 1.0
    low, high = min([*ys, 1.0]), max([*ys, 1.0])
    return 10 ** math.floor(math.log10(low)), 10 ** math.ceil(math.log10(high * 1.0001))


def _ticks(low: float, high: float, logarithmic: bool) -> list[float]:
    if logarithmic:
        first, last = round(math.log10(low)), round(math.log10(high))
        return [10.0**power for power in range(first, last + 1)]
    span = (high - low) / 5
    step = 10 ** math.floor(math.log10(span)) if span > 0 else 1.0
    step *= next(factor for factor in (1, 2, 5, 10) if factor * step >= span)
    first = math.ceil(low / step)
    return [round((first + n) * step, 10) for n in range(int((high - low) / step) + 1)
            if (first + n) * step <= high]  # fmt: skip
