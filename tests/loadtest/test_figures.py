"""Figures that the documents quote come from commands that anybody can run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from loadtest.__main__ import RUN
from loadtest.runs.run import PROFILES

ROOT = Path(__file__).parents[2]
COMMAND = re.compile(r"(?:python -m loadtest|contact-router loadtest) ([a-z]+)(?: ([a-z0-9-]+))?")
SPEED = re.compile(r"\b\d[\d.,]*(?: to \d[\d.,]*)? (?:ms|µs|contacts/s|contacts a second)")
ALONE = {"trace"}
"""Commands that are no measurement."""


def commands_in(text: str) -> set[tuple[str, str]]:
    return set(COMMAND.findall(text))


@pytest.mark.parametrize(
    "path",
    [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_every_load_test_that_is_named_exists(path: Path) -> None:
    profiles = {file.stem for file in PROFILES.glob("*.yaml")}
    for name, profile in commands_in(path.read_text("utf-8")):
        assert name in {*RUN, "run", *ALONE}, name
        if name == "run" and profile:
            assert profile in profiles, profile


def test_each_figure_of_speed_in_the_readme_stands_in_a_page_that_names_its_command() -> None:
    paragraphs = re.split(r"\n\n|\n(?=- )", (ROOT / "README.md").read_text("utf-8"))
    quoted = [text for text in paragraphs if SPEED.search(text)]
    assert quoted, "the readme says how fast it is"
    for text in quoted:
        pages = [ROOT / link for link in re.findall(r"\]\((docs/[^)#]+\.md)", text)]
        said = [page.read_text("utf-8") for page in pages]
        assert any(commands_in(page) for page in said), f"no command makes: {text}"
        for figure in SPEED.findall(text):
            numbers = re.findall(r"\d[\d.,]*", figure)
            assert any(all(number in page for number in numbers) for page in said), figure


def test_make_bench_makes_the_figures_of_each_section() -> None:
    figures = (ROOT / "docs/figures.md").read_text("utf-8")
    bench = re.search(r"^bench:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert bench is not None
    for part, section in {
        "throughput": "## Throughput", "latency": "## Latency", "restart": "## Restart",
        "matching": "## Matching", "pages": "## Pages", "freed": "## An agent is free",
    }.items():  # fmt: skip
        assert part in bench[1], f"make bench does not run {part}"
        assert section in figures, section
        assert re.search(rf"loadtest (run )?{part}\b", figures), f"{part} is not named there"
