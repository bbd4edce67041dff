"""The heat map says what the numbers say."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from router.preference.picture import SCALE, Best, Panel, heat_map, shade

SVG = "{http://www.w3.org/2000/svg}"


def week(value: float | None) -> list[list[float | None]]:
    return [[value] * 24 for _ in range(7)]


def cells(svg: str) -> dict[str, ET.Element]:
    """The cells by what they say when pointed at."""
    root = ET.fromstring(svg)
    return {
        title.text or "": rect
        for rect in root.iter(f"{SVG}rect")
        if (title := rect.find(f"{SVG}title")) is not None
    }


def test_each_hour_of_the_week_is_a_cell_with_its_probability() -> None:
    sms = week(0.1)
    sms[1][9] = 0.83
    sms[6][23] = None
    found = cells(heat_map("Ada", [Panel("sms", sms)]))
    assert len(found) == 7 * 24
    assert found["Tue 09-10: 83%"].get("fill") == shade(0.83)
    assert found["Sun 23-24: not permitted"].get("fill") == "url(#shut)"
    assert found["Mon 00-01: 10%"].get("fill") == SCALE[0]


def test_only_the_recommended_hour_has_an_edge() -> None:
    best = Best("sms", 1, 9, "8 of 10")
    found = cells(heat_map("Ada", [Panel("sms", week(0.5)), Panel("voice", week(0.2))], best))
    edged = [told for told, rect in found.items() if rect.get("stroke")]
    assert edged == ["Tue 09-10: 50%"]


def test_names_are_text_and_never_markup() -> None:
    svg = heat_map('<script>"&', [Panel("a<b", week(0.0))], Best("x", 0, 0, "</text><x/>"))
    root = ET.fromstring(svg)
    texts = {text.text for text in root.iter(f"{SVG}text")}
    assert texts >= {'<script>"&', "a<b", "</text><x/>"}
    assert root.get("aria-label") == '<script>"&'


@pytest.mark.parametrize("value", [1.2, -0.1])
def test_what_is_no_probability_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="expected 0-1 or None"):
        heat_map("Ada", [Panel("sms", week(value))])


def test_a_short_week_is_refused() -> None:
    with pytest.raises(ValueError, match="7 rows of 24"):
        heat_map("Ada", [Panel("sms", week(0.2)[:6])])


def test_long_evidence_is_broken_into_lines_that_fit_over_the_panels() -> None:
    evidence = (
        "sms to ..42, Tue 9-10: 8 of 10 answered (expected 3.1 for customers like this); " * 3
    )
    short = ET.fromstring(heat_map("Ada", [Panel("sms", week(0.5))], Best("sms", 1, 9, "8 of 10")))
    long = ET.fromstring(heat_map("Ada", [Panel("sms", week(0.5))], Best("sms", 1, 9, evidence)))
    lines = [t.text or "" for t in long.iter(f"{SVG}text") if len(t.text or "") > 20]
    assert len(lines) == 3
    assert max(map(len, lines)) <= 88
    assert float(long.attrib["height"]) > float(short.attrib["height"])
