"""Hundreds of wrong files, each a good one with one thing changed: each names the line it is in."""

import re
from collections.abc import Callable, Iterator

import pytest

from router.config import Config
from router.errors import ConfigError

Good = Callable[[str], Config]

LINE = re.compile(r"( *)(- )?([^:#]+?):(?: (.*))?")
UNTYPED = ("topic",)
"""Keys whose values may be anything."""


def scalars(text: str) -> Iterator[tuple[int, str, str]]:
    """(index, everything up to the value, the value) of each line that gives a value."""
    for index, line in enumerate(text.split("\n")):
        match = LINE.fullmatch(line)
        if match and match.group(4):
            yield index, line[: match.start(4)], match.group(4)
        elif line.strip().startswith("- "):
            start = line.index("- ") + 2
            yield index, line[:start], line[start:]


def collections(text: str) -> Iterator[tuple[int, int, list[str]]]:
    """(first, last, lines) of each key with an indented block under it."""
    lines = text.rstrip("\n").split("\n")
    for index, line in enumerate(lines):
        if line.endswith(":"):
            depth = len(line) - len(line.lstrip(" -"))
            end = index + 1
            while end < len(lines) and len(lines[end]) - len(lines[end].lstrip()) > depth:
                end += 1
            yield index, end, lines


def refused(good: Good, text: str, line: int) -> None:
    """The file is refused; every finding has a place in it, one is in this line."""
    with pytest.raises(ConfigError) as caught:
        good(text)
    places = []
    for finding in caught.value.findings:
        match = re.match(r".*good\.yaml:(\d+):(\d+): .", finding)
        assert match, finding
        places.append(int(match.group(1)))
        assert 1 <= places[-1] <= text.count("\n") + 1
        assert int(match.group(2)) >= 1
    assert line in places, (line, text.split("\n")[line - 1], caught.value.findings)


@pytest.mark.parametrize(
    "wrong", ["{zz: 1}", "[[1], [2]]", "", "~", "*alias", "&anchor 1", "!tag 1", "x" * 5000]
)
def test_no_value_can_be_of_another_kind(good: Good, good_text: str, wrong: str) -> None:
    lines = good_text.split("\n")
    count = 0
    for index, before, _ in scalars(good_text):
        if before.strip().startswith(UNTYPED) and not wrong.startswith(("*", "&", "!")):
            continue
        changed = [*lines]
        changed[index] = before + wrong
        refused(good, "\n".join(changed), index + 1)
        count += 1
    assert count > 90


@pytest.mark.parametrize("wrong", ["-1", "0x10", "1e3", "no", "12:30", "99999999999999999999", "é"])
def test_a_value_of_another_form_is_refused_or_is_a_text(
    good: Good, good_text: str, wrong: str
) -> None:
    lines = good_text.split("\n")
    outcomes = {"read": 0, "refused here": 0, "refused elsewhere": 0}
    for index, before, _ in scalars(good_text):
        changed = [*lines]
        changed[index] = before + wrong
        findings: list[str] = []
        try:
            good("\n".join(changed))
        except ConfigError as error:
            findings = error.findings
        places = [re.match(r".*good\.yaml:(\d+):\d+: .", finding) for finding in findings]
        assert all(places), findings
        found = [int(place.group(1)) for place in places if place]
        here = "refused here" if index + 1 in found else "refused elsewhere"
        outcomes[here if found else "read"] += 1
    assert outcomes["refused here"] > 60, outcomes
    # What the new value makes wrong in another line: a name, an order, a limit.
    assert outcomes["refused elsewhere"] < 5, outcomes


def test_every_doubled_key_is_refused(good: Good, good_text: str) -> None:
    count = 0
    for index, end, lines in collections(good_text):
        if lines[index].strip().startswith("-"):
            continue
        changed = [*lines[:end], *lines[index:end], *lines[end:]]
        refused(good, "\n".join(changed), end + 1)
        count += 1
    assert count > 30


def test_every_collection_is_needed_in_its_own_kind(good: Good, good_text: str) -> None:
    count = 0
    for index, end, lines in collections(good_text):
        for wrong in ("just words", "7", ""):
            if wrong == "7" and lines[index].strip() in ("tier:", "night:"):
                continue  # the short forms: one tier for all channels, a rank
            changed = [*lines[:index], f"{lines[index]} {wrong}", *lines[end:]]
            refused(good, "\n".join(changed), index + 1)
            count += 1
    assert count > 100


def test_every_misspelt_key_is_refused(good: Good, good_text: str) -> None:
    """Renamed by one letter: unknown, or a name that is now missing where it is used."""
    own = re.compile(
        r" *(north|south|fax|ana|phones|crm|hotline|topic|farewell|care|night|first|"
        r"billing|english|voice|chat|2026-.*|mon-fri|sat,sun|office|email):.*"
    )
    lines = good_text.split("\n")
    count = 0
    for index, line in enumerate(lines):
        match = re.fullmatch(r"( *(?:- )?)([a-z_,-]+)(:.*)", line)
        if not match or own.fullmatch(line):
            continue
        if lines[index - 1].strip() in ("phones:", "type: loopback"):
            continue  # the adapter's own settings, for it to check
        changed = [*lines]
        changed[index] = f"{match.group(1)}{match.group(2)}x{match.group(3)}"
        refused(good, "\n".join(changed), index + 1)
        count += 1
    assert count > 80


def test_cutting_the_file_short_never_brings_a_traceback(good: Good, good_text: str) -> None:
    outcomes = set()
    for end in range(0, len(good_text), 7):
        try:
            good(good_text[:end])
            outcomes.add("read")
        except ConfigError as error:
            outcomes.add("refused")
            findings = error.findings
            if not all(re.match(r".*good\.yaml:\d+:\d+: .", finding) for finding in findings):
                pytest.fail(str(findings))
    assert "refused" in outcomes
