"""The tables of faults name tests that there are."""

from __future__ import annotations

import re

import pytest

from loadtest.server import ROOT

TESTS = {path: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
NAMES = {name for text in TESTS.values() for name in re.findall(r"def (test_\w+)\(", text)}
FILES = {path.stem for path in TESTS}


@pytest.mark.parametrize("page", ["faults.md", "redis.md"])
def test_every_test_of_the_table_exists(page: str) -> None:
    rows = [row for row in (ROOT / "docs" / page).read_text().splitlines() if row[:2] == "| "]
    told = {word for row in rows for word in re.findall(r"`([\w/.*]+)`", row)}
    files = {word for word in told if word.startswith(("tests/", "test_"))}
    assert len(files) > 3
    for word in files:
        if word.startswith("tests/"):
            assert list(ROOT.glob(word)), word
        else:
            assert word.removesuffix(".py") in FILES, word
    fragments = {
        word
        for row in rows
        for cell in row.split(" | ")[-1:]
        for word in re.findall(r"`([a-z]+(?:_[a-z]+)+)`", cell)
        if not word.startswith("test_")
    }
    assert len(fragments) > 3
    for word in fragments:
        assert any(word in name for name in NAMES), f"{word}: no test is called so"
