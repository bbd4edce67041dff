"""Stories in tests/scenarios; `REWRITE=1 pytest` writes their transcripts anew, for review."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from router.testing import scenario

STORIES = sorted((Path(__file__).parent.parent / "scenarios").glob("*.txt"))


@pytest.mark.parametrize("path", STORIES, ids=[path.stem for path in STORIES])
def test_story(path: Path) -> None:
    text = path.read_text()
    played = scenario.run(text, path.name)
    if os.environ.get("REWRITE") and played != text:
        path.write_text(played)
    assert played == text or os.environ.get("REWRITE"), "the transcript differs: REWRITE=1 shows it"
    assert text.startswith("#"), "a story begins with what it is about"


def test_there_are_stories() -> None:
    assert len(STORIES) >= 30


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("dance ana", "no such word: 'dance'"),
        ("contact c1 voice colour=red", "not understood: colour"),
        ("wait soon", "expected a length like 20s, got 'soon'"),
        ("accept", "expected reservation"),
    ],
)
def test_a_wrong_word_is_named_with_its_line(line: str, words: str) -> None:
    with pytest.raises(scenario.ScenarioError) as caught:
        scenario.run(f"# a story\nagent ana\n{line}\n----\n", "odd.txt")
    assert "odd.txt:3" in str(caught.value)
    assert words in str(caught.value)
