"""What YAML says is what is read, and what could be misread is refused with its place."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.config import loads
from router.config.reader import DEPTH_MAX, SIZE_MAX, Findings, read, untyped
from router.errors import ConfigError


def values(text: str | bytes) -> Any:
    findings = Findings("f.yaml")
    node = read(text, findings)
    value = untyped(node, (), findings) if node is not None else None
    if findings:
        raise ConfigError(findings.lines())
    return value


def errors(text: str | bytes) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        values(text)
    return caught.value.findings


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("no", "no"),  # YAML 1.1 reads false: Norway
        ("on", "on"),
        ("Yes", "Yes"),
        ("y", "y"),
        ("true", True),
        ("FALSE", False),
        ("12:30", "12:30"),  # YAML 1.1 reads 750
        ("09:00", "09:00"),
        ("190:20:30", "190:20:30"),
        ("1e3", 1000.0),  # PyYAML reads a text
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("0o17", 15),
        ("0x1F", 31),
        ("1.10", 1.1),
        ("-7", -7),
        ("0", 0),
        (".5", 0.5),
        ("2026-12-25", "2026-12-25"),  # YAML 1.1 reads a date
        ("~", None),
        ("null", None),
        ("", None),
        ('"no"', "no"),
        ('"12"', "12"),
        ("'~'", "~"),
        ("=", "="),
    ],
)
def test_a_scalar_means_what_it_says(written: str, meant: object) -> None:
    value = values(f"a: {written}\n")["a"]
    assert value == meant
    assert type(value) is type(meant)


@pytest.mark.parametrize("written", ["012", "+4930555100", "-012", "00", "12345678901234567890"])
def test_a_number_that_may_be_a_telephone_number_must_be_quoted(written: str) -> None:
    assert errors(f"a: {written}\n") == [
        f"f.yaml:1:4: a: {written!r} may be a number or a text: put it in quotes"
    ]
    assert values(f"a: '{written}'\n") == {"a": written}


@pytest.mark.parametrize("written", [".nan", ".inf", "-.INF", "1e999", "-1e400"])
def test_numbers_that_are_none_are_refused(written: str) -> None:
    assert errors(f"a: {written}\n")[0].startswith("f.yaml:1:4: a: expected a number, got")


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("a: 1\nb: 2\na: 3\n", "f.yaml:3:1: key 'a' is given twice, first in line 1"),
        ("q:\n  x: {a: 1, a: 2}\n", "f.yaml:2:13: q.x: key 'a' is given twice, first in line 2"),
        ("a: &x 1\n", "f.yaml:1:4: a: anchors (&x) are not allowed"),
        ("a: *x\n", "f.yaml:1:4: a: aliases (*x) are not allowed: write it out"),
        ("b:\n- <<: {a: 1}\n", "f.yaml:2:3: b[0]: merge keys (<<) are not allowed: write it out"),
        ("a: !!int 1\n", "f.yaml:1:4: a: tags ('tag:yaml.org,2002:int') are not allowed"),
        ("[a, [b, !x c]]\n", "f.yaml:1:9: [1][1]: tags ('!x') are not allowed"),
        ("? [a]\n: 1\n", "f.yaml:1:3: expected a text as key, got a collection"),
        ("a: 1\n---\nb: 1\n", "f.yaml:2:1: expected one document, got a second one"),
        ("", "f.yaml:1:1: expected settings, got an empty file"),
        ("# only a comment\n", "f.yaml:1:1: expected settings, got an empty file"),
        ("a: 1\nb: \x07\n", "f.yaml:2:4: expected text, got the control character '\\x07'"),
        ('a: "\\0"\n', "f.yaml:1:4: a: expected text, got the control character '\\x00'"),
        (b"a: 1\nb: \xfc\n", "f.yaml:2:4: expected UTF-8, got byte 0xfc"),
        ("a: 1\nb: \ud800\n", "f.yaml:2:4: expected text, got the control character '\\ud800'"),
        ("a: " + "x" * SIZE_MAX, f"f.yaml:1:1: expected at most {SIZE_MAX} bytes, got"),
        ("a:\n\tb: 1\n", "f.yaml:2:1: not YAML: found character that cannot start any token: in"),
        ("a: @b\n", "f.yaml:1:4: not YAML: found character that cannot start any token: put it"),
        ("a: [1\nb: 2\n", "f.yaml:2:2: not YAML: did not find expected ',' or ']'"),
        ("a: b: c\n", "f.yaml:1:5: not YAML: mapping values are not allowed"),
        ('a: "x\n', "not YAML: found unexpected end of stream"),
    ],
)
def test_what_is_refused_names_its_place(text: str | bytes, finding: str) -> None:
    assert any(finding in found for found in errors(text)), errors(text)


def test_a_python_object_is_never_made() -> None:
    found = errors("a: !!python/object/apply:os.system ['echo hi']\n")
    assert found == [
        "f.yaml:1:4: a: tags ('tag:yaml.org,2002:python/object/apply:os.system') are not allowed"
    ]


def test_a_bomb_of_aliases_is_refused_without_being_built() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert "anchors (&a0) are not allowed" in errors("\n".join(lines))[0]


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ("{a: ", "}")])
def test_depth_is_bounded_long_before_python_is(opening: str, closing: str) -> None:
    fits = opening * DEPTH_MAX + "x" + closing * DEPTH_MAX
    values(fits)
    for depth in (DEPTH_MAX + 1, 1_100, 20_000):
        found = errors(opening * depth + "x" + closing * depth)
        assert f"expected at most {DEPTH_MAX} levels, got more" in found[0]


def test_a_byte_order_mark_and_windows_line_ends_do_not_matter() -> None:
    assert values(b"\xef\xbb\xbfa: 1\r\nb: x\r\n") == {"a": 1, "b": "x"}


def test_findings_are_bounded_and_counted() -> None:
    found = errors("\n".join(f"k{n}: *a" for n in range(300)))
    assert len(found) == 201
    assert found[-1] == "f.yaml: ... and 100 more"


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200), st.text("ab:-[]{}&*!|>'\"\n #?,")))
def test_no_text_brings_a_traceback(source: str | bytes) -> None:
    findings = ["f.yaml: nothing wrong"]
    try:
        loads(source, "f.yaml")
    except ConfigError as error:
        findings = error.findings
    assert findings
    assert all(line.startswith("f.yaml:") for line in findings)
