"""`contact-router preference`: what was learned of one customer, as a table and as a picture."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any
from urllib.parse import quote

from router.core.rules.moments import zone_named
from router.errors import RouterError
from router.preference.picture import DAYS, Best, Panel, heat_map
from router.remote.server import Answered, RunningServer

WIDTH, LEAST_TEXT = 100, 36
PNG_ZOOM = 2.0
"""Twice the pixels of the SVG: sharp on screens of today, and in print."""
NO_RENDERER = (
    "PNG pictures need the package resvg-py, which is not installed: "
    "pip install 'contact-router[pictures]' (or write the picture as --svg FILE)"
)


async def fetch(server: RunningServer, customer: str, purpose: str) -> dict[str, Any]:
    """What the server knows of a customer, given by id or by an address. Raises RouterError."""
    query = {"purpose": purpose} if purpose else {}
    try:
        return await _preference(server, customer, query)
    except Answered as error:
        if error.status != 404:
            raise
        found = await _by_address(server, customer)
        if not found:
            raise RouterError(f"no customer {customer!r}, by id or by address") from error
        return await _preference(server, found, query)


async def _preference(
    server: RunningServer, customer: str, query: dict[str, str]
) -> dict[str, Any]:
    path = f"/v1/customers/{quote(customer, safe='')}/preference"
    answer: dict[str, Any] = await server.get(path, **query)
    return answer


async def _by_address(server: RunningServer, address: str) -> str:
    answer = await server.get("/v1/customers", identity=address)
    return next((str(each["id"]) for each in answer["customers"]), "")


# --- the table --------------------------------------------------------------------------------


def table(found: dict[str, Any], width: int = 0) -> Iterator[str]:
    """The answer as lines for people; `width` 0 = that of the terminal."""
    width = width or shutil.get_terminal_size((WIDTH, 24)).columns
    zone, told = _zone(found["zone"])
    yield f"Customer {found['customer']}, purpose {found['purpose']}"
    yield f"Hours: {told}. Confidence: {found['confidence']}. {_came(found['inbound'])}"
    yield ""
    windows = found["windows"]
    if windows:
        yield from _windows(windows, zone, width)
    else:
        yield "No hour is permitted in the coming week." if found["blocked"] else "Nothing to rank."
        if found["next_allowed_at_us"]:
            yield f"Permitted again: {_moment(found['next_allowed_at_us'], zone)}"
    if found["blocked"]:
        yield ""
        yield "Not permitted now:"
        for each in found["blocked"]:
            until = _moment(each["next_at_us"], zone) if each["next_at_us"] else "no end set"
            where = f"{each['channel']} {each['address']}".strip() or "every channel"
            yield f"  {where}: {each['text'] or each['reason']} (until: {until})"
    tried = [f"{c['channel']} {c['successes']} of {c['attempts']}" for c in found["channels"]]
    if tried:
        yield ""
        yield f"Reached, of the attempts remembered: {', '.join(tried)}"


def _windows(windows: list[dict[str, Any]], zone: tzinfo, width: int) -> Iterator[str]:
    rows = [
        (
            str(place),
            f"{DAYS[each['weekday']]} {each['hour']}-{each['hour'] + 1}",
            _moment(each["start_us"], zone),
            each["channel"],
            each["address"],
            f"{each['low']:.0%}-{each['high']:.0%}".replace("%-", "-"),
            each["text"],
        )
        for place, each in enumerate(windows, 1)
    ]
    heads = ("#", "When", "Next", "Channel", "Address", "Likely", "Evidence")
    sizes = [
        max(map(len, column)) for column in zip(heads[:-1], *(r[:-1] for r in rows), strict=True)
    ]
    before = sum(sizes) + 2 * len(sizes)
    room = max(LEAST_TEXT, width - before)
    yield _line(heads, sizes)
    for row in rows:
        first, *rest = textwrap.wrap(row[-1], room) or [""]
        yield _line((*row[:-1], first), sizes)
        for line in rest:
            yield " " * before + line


def _line(cells: tuple[str, ...], sizes: list[int]) -> str:
    padded = [cell.ljust(size) for cell, size in zip(cells, sizes, strict=False)]
    return "  ".join([*padded, cells[-1]]).rstrip()


def _zone(name: str) -> tuple[tzinfo, str]:
    if not name:
        return UTC, "the workspace's (the customer's zone is not known), moments in UTC"
    zone = zone_named(name)
    if zone is None:
        return UTC, f"the customer's own, {name} (not known here: moments in UTC)"
    return zone, f"the customer's own, {name}"


def _moment(at_us: int, zone: tzinfo) -> str:
    return f"{datetime.fromtimestamp(at_us / 1e6, zone):%d %b %H:%M}"


def _came(inbound: int) -> str:
    if not inbound:
        return "The customer has not come by themselves."
    return f"The customer came by themselves {inbound} time{'s' if inbound > 1 else ''}."


# --- the picture ------------------------------------------------------------------------------


def picture(found: dict[str, Any]) -> str:
    """The week of each channel as an SVG. Raises RouterError where there is nothing to draw."""
    if not found["channels"]:
        raise RouterError(
            f"customer {found['customer']!r}: nothing to draw, no address on any channel is known"
        )
    panels = [Panel(each["channel"], each["cells"]) for each in found["channels"]]
    best = found["best"]
    return heat_map(
        f"When {found['customer']} is reached",
        panels,
        None
        if best is None
        else Best(best["channel"], best["weekday"], best["hour"], best["text"]),
    )


def png(svg: str) -> bytes:
    """An SVG as a PNG. Raises RouterError that says how to install the renderer."""
    check_renderer()
    import resvg_py

    return bytes(resvg_py.svg_to_bytes(svg_string=svg, zoom=PNG_ZOOM))


def check_renderer() -> None:
    """Raises RouterError where PNGs cannot be made: said before anything is asked for."""
    try:
        import resvg_py  # noqa: F401
    except ImportError as error:
        raise RouterError(NO_RENDERER) from error


def draw(found: dict[str, Any], svg_file: Path | None, png_file: Path | None) -> None:
    """Write the pictures that are asked for. Raises RouterError and OSError."""
    if svg_file is None and png_file is None:
        return
    drawn = picture(found)
    if svg_file is not None:
        svg_file.write_text(drawn, "utf-8")
    if png_file is not None:
        png_file.write_bytes(png(drawn))
