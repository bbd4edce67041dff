"""Lines and columns in YAML of every style, excerpts and suggestions."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from router.core.rules.compile import compile_expression
from router.core.rules.place import (
    EXCERPT_MAX,
    ExpressionError,
    Place,
    Span,
    closest,
    excerpt,
    yaml_positions,
)
from tests.core.rules.world import SCHEMA


def scalar(source: str) -> yaml.ScalarNode:
    """The value of the file's only key, as the configuration's parser gives it."""
    root = yaml.compose(source, Loader=yaml.CSafeLoader)
    assert isinstance(root, yaml.MappingNode)
    (_, node) = root.value[0]
    assert isinstance(node, yaml.ScalarNode)
    return node


def place_in(source: str) -> tuple[str, Place]:
    node = scalar(source)
    line, column = node.start_mark.line + 1, node.start_mark.column + 1
    positions = yaml_positions(source, line, column, node.value)
    return node.value, Place("rules.yaml", line, column, positions)


@pytest.mark.parametrize(
    "source",
    [
        'when: segmnt == "x" && opn\n',
        "when: 'segmnt == ''x'' && opn'\n",
        'when: "segmnt == \\"x\\" && opn"\n',
        'when: "segmnt \\\n  == \\u0027x\\x27 && opn"\n',
        "when: |\n  segmnt == 'x'\n  && opn\n",
        "when: |-\n\n    segmnt\n      == 'x'\n    && opn",
        "when: >\n  segmnt ==\n  'x' &&\n    opn\n\n",
        "when: >-\n\n  segmnt == 'x'\n\n  && opn\n",
        "when: |2\n    segmnt == 'x'\n   && opn\n",
        "when: segmnt ==\n  'x'\n\n  && opn\n",
        "when: 'segmnt ==\n\n  ''x''   \n  && opn'\n",
        "when:\r\n  segmnt == 'x'\r\n  && opn\r\n",
        "when: >\r\n  segmnt == 'x'\r\n  && opn\r\n",
        "when:   # why\n\n   segmnt == 'x' && opn # so\n",
    ],
)
def test_an_error_has_the_line_and_column_of_the_file(source: str) -> None:
    text, place = place_in(source)
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text, SCHEMA, place)
    lines = source.replace("\r\n", "\n").split("\n")
    there = [lines[p.line - 1][p.column - 1 :] for p in caught.value.problems]
    assert [rest[:6].rstrip("\"' #so") for rest in there] == ["segmnt", "opn"]
    assert caught.value.findings[0].startswith(f"rules.yaml:{caught.value.problems[0].line}:")


WORDS = st.lists(
    st.text(st.sampled_from("ab'\" \n\t\\:#&!é😀"), max_size=12), min_size=1, max_size=4
).map("\n".join)
STYLES = st.sampled_from([None, "'", '"', "|", ">"])


@given(WORDS, STYLES, st.sampled_from([20, 80, 4096]))
def test_each_character_of_any_scalar_is_found_in_the_file(
    text: str, style: str | None, width: int
) -> None:
    source = yaml.dump({"when": text}, default_style=style, width=width, allow_unicode=True)
    written, place = place_in(source)
    assert written == text
    positions = place.positions
    assert len(positions) == len(text) + 1
    assert list(positions) == sorted(positions)
    lines = source.split("\n")
    for character, (line, column) in zip(text, positions, strict=False):
        if character not in " \n\t":
            there = lines[line - 1][column - 1 :]
            assert there[:1] in (character, "\\"), f"{character!r} at {line}:{column} of {source!r}"


def test_a_text_that_is_not_there_has_no_positions() -> None:
    assert yaml_positions("when: abc\n", 1, 7, "abd") == ()
    assert yaml_positions("when: |\n  abc\n", 1, 7, "abd\n") == ()
    assert yaml_positions("when: abc\n", 9, 1, "abc") == ()
    assert yaml_positions("", 1, 1, "") == ((1, 1),)


def test_without_a_file_lines_and_columns_are_counted_in_the_text() -> None:
    place = Place("request", 3, 5)
    assert place.at("ab\ncd", 1) == (3, 6)
    assert place.at("ab\ncd", 4) == (4, 2)
    assert place.name("ab\ncd", 0) == "request:3:5"


def test_a_long_line_is_cut_around_the_caret() -> None:
    text = "x" * 500 + "HERE" + "y" * 500
    line, caret = excerpt(text, Span(500, 504)).split("\n")
    assert line.startswith("    ...x")
    assert line.endswith("y...")
    assert len(line) <= EXCERPT_MAX + 10
    at = caret.index("^")
    assert caret[at:] == "^^^^"
    assert line[at : at + 4] == "HERE"


def test_the_caret_stands_in_its_line_of_several() -> None:
    assert excerpt("a\n\tbcd\ne", Span(3, 5)) == "     bcd\n     ^^"


def test_a_close_name_is_suggested_and_a_far_one_is_not() -> None:
    assert closest("segmnt", ["segment", "contact"]) == ", did you mean 'segment'?"
    assert closest("xyz", ["segment"]) == ""
    assert closest("s" * 100, ["s" * 100]) == ""
