"""The pages' files, read without a browser: texts, colours, vendored libraries, forbidden calls."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

WEB = Path(__file__).parents[2] / "router" / "web"
OWN = [
    path
    for folder in ("page", "desk", "wallboard", "start", "texts")
    for path in sorted((WEB / folder).glob("*.js"))
]
STYLES = ["tokens.css", "desk.css", "wallboard.css", "start.css"]
TEXT = re.compile(r'^  (\w+):\s*"((?:[^"\\]|\\.)*)",$', re.MULTILINE)


def source(language: str) -> str:
    """The table of a language, which is more than one file."""
    files = sorted((WEB / "texts").glob(f"{language}*.js"))
    return "\n".join(path.read_text() for path in files)


def texts(language: str) -> dict[str, str]:
    return dict(TEXT.findall(source(language)))


def test_every_line_of_a_text_table_is_a_text() -> None:
    for language in ("en", "de"):
        lines = source(language).splitlines()
        entries = [line for line in lines if re.match(r"  (?!//|\.\.\.)", line)]
        assert len(entries) == len(texts(language)) > 300


def test_both_languages_have_the_same_texts_with_the_same_names_in_them() -> None:
    english, german = texts("en"), texts("de")
    assert english.keys() == german.keys()
    for key, text in english.items():
        assert set(re.findall(r"{(\w+)}", text)) == set(re.findall(r"{(\w+)}", german[key])), key
        assert (" | " in text) == (" | " in german[key]), key


def test_every_text_that_a_page_asks_for_is_there() -> None:
    english = texts("en")
    for path in OWN:
        for key in re.findall(r"""\bt\(\s*"(\w+)"[,)]""", path.read_text()):
            assert key in english, f"{path.name}: no text {key!r}"
        for prefix in re.findall(r"\bt\(`(\w+_)\$\{", path.read_text()):
            assert any(key.startswith(prefix) for key in english), f"{path.name}: no text {prefix}…"


def test_every_event_of_the_journal_reads_in_words() -> None:
    from typing import get_args

    from router.core.events import Event

    silent = {"ClockStepped", "RouteAnswered"}  # not about a contact or an agent
    names = {each.__name__ for each in get_args(Event)} - silent
    assert {f"event_{name}" for name in names} <= texts("en").keys()


def test_nothing_writes_markup_or_code_from_strings() -> None:
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function"
        r"|dangerouslySet|srcdoc|createContextualFragment|setAttribute\(\s*[\"']on"
    )
    for path in OWN:
        assert not forbidden.search(path.read_text()), path


def test_pages_have_no_inline_script_or_style() -> None:
    for name in ("index.html", "desk.html", "wallboard.html"):
        page = (WEB / name).read_text()
        assert not re.search(r"<script(?![^>]*\bsrc=)", page), name
        assert not re.search(r"<style|\sstyle=|\son\w+=", page), name


def test_files_are_short_and_their_imports_exist() -> None:
    for path in OWN:
        source = path.read_text()
        assert len(source.splitlines()) <= 500, path
        for target in re.findall(r'from "(\.[^"]+)"', source):
            assert (path.parent / target).is_file(), f"{path.name} imports {target}"


def test_vendored_files_are_the_ones_that_were_written_down() -> None:
    table = (WEB / "vendor" / "README.md").read_text()
    rows = re.findall(r"^\| `(\w+\.mjs)` .*`([0-9a-f]{64})` \|$", table, re.MULTILINE)
    assert {name for name, _ in rows} == {path.name for path in (WEB / "vendor").glob("*.mjs")}
    for name, digest in rows:
        assert hashlib.sha256((WEB / "vendor" / name).read_bytes()).hexdigest() == digest, name


def _tokens(dark: bool) -> dict[str, str]:
    light, _, rest = (WEB / "tokens.css").read_text().partition("prefers-color-scheme: dark")
    found = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", light))
    if dark:
        found |= dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", rest))
    return found


def _luminance(colour: str) -> float:
    # WCAG 2.2, relative luminance
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_text_colour_has_a_contrast_of_at_least_four_and_a_half(dark: bool) -> None:
    tokens = _tokens(dark)
    grounds = ("canvas", "surface", "raised")
    pairs = [(ink, ground) for ink in ("ink", "ink-2", "ink-3", "accent") for ground in grounds]
    pairs += [(f"{meaning}", "surface") for meaning in ("good", "attention", "bad")]
    pairs += [
        (f"{meaning}", f"{meaning}-soft") for meaning in ("good", "attention", "bad", "accent")
    ]
    pairs += [("on-accent", "accent"), ("on-accent", "accent-hover"), ("ink-2", "accent-soft")]
    pairs += [("ink", f"{meaning}-soft") for meaning in ("good", "attention", "bad", "accent")]
    weak = {
        pair: round(contrast(tokens[pair[0]], tokens[pair[1]]), 2)
        for pair in pairs
        if contrast(tokens[pair[0]], tokens[pair[1]]) < 4.5
    }
    assert weak == {}


def test_styles_use_the_tokens_and_the_four_pixel_grid() -> None:
    for name in STYLES[1:]:
        style = (WEB / name).read_text()
        assert not re.search(r"#[0-9a-fA-F]{3,8}\b", style), f"{name} has a colour of its own"
        sizes = set(re.findall(r"font-size: ([^;]+);", style)) - {"22px"}
        assert all(size.startswith("var(--size-") for size in sizes), f"{name}: {sizes}"
