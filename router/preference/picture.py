"""The heat map of a customer: weekday by hour, one panel per channel, as an SVG.

Darker is likelier; the scale is the same in all panels and is drawn below them. Hours in which the
customer must not be contacted are hatched: what is likely there is no use to anybody.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape, quoteattr

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
HOURS = 24
CELL_W, CELL_H, GAP = 24, 20, 2
LEFT, TOP, PANEL_TOP, PANEL_GAP = 56, 72, 30, 26
SCALE = ("#eef3fb", "#cfdff5", "#a6c5ec", "#76a5df", "#4a84cc", "#2a64ae", "#164685", "#0b2d5c")
"""One hue, evenly darker: read as more and less, in print and by colour-blind readers, too."""
TEXT, MUTED, BEST = "#1c2430", "#5b6675", "#b4540a"
LINE_CHARS, LINE_H = 88, 18
"""Of the evidence: as many letters as fit over the panels in any of the fonts below."""
NO_BEST = "No hour is recommended: none is permitted, or nothing is known."
FONT = "system-ui, 'DejaVu Sans', 'Liberation Sans', sans-serif"


class Panel(NamedTuple):
    """One channel: 7 rows of 24 probabilities, Monday first; None = contact is not permitted."""

    name: str
    cells: Sequence[Sequence[float | None]]


class Best(NamedTuple):
    """The window that is recommended."""

    channel: str
    weekday: int
    hour: int
    text: str
    """The evidence in words: stands above the panels."""


def heat_map(title: str, panels: Sequence[Panel], best: Best | None = None) -> str:
    """The picture. Raises ValueError unless each panel has 7 rows of 24 values in 0-1 or None."""
    for panel in panels:
        _check(panel)
    height_of_panel = PANEL_TOP + 7 * (CELL_H + GAP) + PANEL_GAP
    width = LEFT + HOURS * (CELL_W + GAP) + 24
    lines = textwrap.wrap(best.text if best is not None else NO_BEST, LINE_CHARS) or [""]
    top = TOP + (len(lines) - 1) * LINE_H
    height = top + len(panels) * height_of_panel + 44
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" aria-label={quoteattr(title)} '
        f'font-family="{FONT}" font-size="12" fill="{TEXT}">',
        '<defs><pattern id="shut" width="6" height="6" patternUnits="userSpaceOnUse" '
        'patternTransform="rotate(45)"><rect width="6" height="6" fill="#f4f5f7"/>'
        '<line x1="0" y1="0" x2="0" y2="6" stroke="#c3c9d1" stroke-width="2"/></pattern></defs>',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="30" font-size="18" font-weight="600">{escape(title)}</text>',
    ]
    for number, line in enumerate(lines):
        y = 52 + number * LINE_H
        parts.append(f'<text x="{LEFT}" y="{y}" fill="{MUTED}">{escape(line)}</text>')
    for number, panel in enumerate(panels):
        parts.append(_panel(panel, top + number * height_of_panel, best))
    parts += [_legend(top + len(panels) * height_of_panel + 4), "</svg>"]
    return "\n".join(parts) + "\n"


def _panel(panel: Panel, top: int, best: Best | None) -> str:
    parts = [f'<text x="{LEFT}" y="{top + 12}" font-weight="600">{escape(panel.name)}</text>']
    for hour in range(0, HOURS, 3):
        x = LEFT + hour * (CELL_W + GAP)
        parts.append(f'<text x="{x}" y="{top + 25}" fill="{MUTED}" font-size="10">{hour:02}</text>')
    for day, row in enumerate(panel.cells):
        y = top + PANEL_TOP + day * (CELL_H + GAP)
        parts.append(
            f'<text x="{LEFT - 8}" y="{y + 14}" fill="{MUTED}" text-anchor="end">{DAYS[day]}</text>'
        )
        for hour, value in enumerate(row):
            x = LEFT + hour * (CELL_W + GAP)
            fill = "url(#shut)" if value is None else shade(value)
            told = "not permitted" if value is None else f"{value:.0%}"
            is_best = best is not None and best[:3] == (panel.name, day, hour)
            edge = f' stroke="{BEST}" stroke-width="3"' if is_best else ""
            parts.append(
                f'<rect x="{x}" y="{y}" width="{CELL_W}" height="{CELL_H}" rx="3" fill="{fill}"'
                f"{edge}><title>{DAYS[day]} {hour:02}-{hour + 1:02}: {told}</title></rect>"
            )
    return "\n".join(parts)


def _legend(top: int) -> str:
    parts = [f'<text x="{LEFT}" y="{top + 14}" fill="{MUTED}">likely: 0 %</text>']
    x = LEFT + 72
    for colour in SCALE:
        parts.append(f'<rect x="{x}" y="{top}" width="22" height="18" fill="{colour}"/>')
        x += 22
    parts.append(f'<text x="{x + 8}" y="{top + 14}" fill="{MUTED}">100 %</text>')
    parts.append(f'<rect x="{x + 96}" y="{top}" width="22" height="18" fill="url(#shut)"/>')
    parts.append(f'<text x="{x + 126}" y="{top + 14}" fill="{MUTED}">not permitted</text>')
    parts.append(
        f'<rect x="{x + 228}" y="{top + 1}" width="20" height="16" fill="none" '
        f'stroke="{BEST}" stroke-width="3"/>'
    )
    parts.append(f'<text x="{x + 256}" y="{top + 14}" fill="{MUTED}">recommended</text>')
    return "\n".join(parts)


def shade(probability: float) -> str:
    """The colour of a probability: eighths of 0-1."""
    return SCALE[min(len(SCALE) - 1, int(probability * len(SCALE)))]


def _check(panel: Panel) -> None:
    if len(panel.cells) != len(DAYS) or any(len(row) != HOURS for row in panel.cells):
        raise ValueError(f"panel {panel.name!r}: expected 7 rows of 24 values")
    for row in panel.cells:
        for value in row:
            if value is not None and not 0.0 <= value <= 1.0:
                raise ValueError(f"panel {panel.name!r}: expected 0-1 or None, got {value}")
