"""Drawn expressions: well-typed ones, and any others.

Strategies give texts; `typed(kind)` knows what its text should evaluate to, `untyped` puts operands
together without looking.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from hypothesis import strategies as st

from tests.core.rules.world import SECOND_US, SUNDAY_US, Contact, Context, Preference

INTS = ["0", "1", "2", "-3", "7", "0x10", "9223372036854775807", "-9223372036854775808"]
DOUBLES = ["0.0", "1.0", "-2.5", "0.25", "1e3", "9007199254740993.0"]
STRINGS = ['""', '"a"', '"sms"', "'billing'", r'"\u00e9\n"', r"r'\d+'", '"vip"', '"😀b"']
MOMENTS = ['timestamp("2026-03-29T01:30:00+01:00")', 'timestamp("1969-12-31T23:59:59.5Z")']
LENGTHS = ['duration("90s")', 'duration("-1h30m")', 'duration("1.5ms")', 'duration("0")']
ZONES = ['"Europe/Berlin"', '"Asia/Kolkata"', '"-03:30"', '"UTC"', "zone"]
PATTERNS = ['"^b.*g$"', "r'[a-z]+'", '"x|m"', '"(a+)+$"', '""']
KEYS = ["topic", "n", "d", "flag", "none", "list", "deep", "nowhere"]

LEAVES = {
    "int": [*INTS, "contact.position", "preference.attempts"],
    "double": [*DOUBLES, "preference.share", "preference.confidence"],
    "string": [*STRINGS, "contact.direction", "preference.channel", "zone"],
    "bool": ["true", "false", "open"],
    "timestamp": [*MOMENTS, "now", "contact.received"],
    "duration": [*LENGTHS, "contact.waited"],
    "dyn": [f"contact.attributes.{key}" for key in KEYS] + ["contact.attributes.deep.x"],
    "list(string)": ["contact.tags", '["a", "sms", "vip"]', "['billing']"],
    "list(int)": ["contact.levels", "[0, 1, 7]"],
    "map(string,int)": ["contact.skills", '{"a": 1, "en": 2}'],
}
COMPARABLE = ["int", "double", "string", "bool", "timestamp", "duration"]
PARTS = "FullYear Month Date DayOfMonth DayOfWeek DayOfYear Hours Minutes Seconds Milliseconds"
LENGTH_PARTS = "Hours Minutes Seconds Milliseconds"

# What can be made: the result, and a form with the kinds of its operands in braces.
FORMS: dict[str, list[str]] = {
    "int": [
        *(f"({{int}} {sign} {{int}})" for sign in "+-*/%"),
        "-({int})",
        "size({string})",
        "{list(int)}.size()",
        "size({dyn})",
        "({dyn} + {int})",
        "{list(int)}[{int}]",
        "{map(string,int)}[{string}]",
        "{map(string,int)}.en",
        "({bool} ? {int} : {int})",
        "int({double})",
        "int({dyn})",
        "int({timestamp})",
        *(f"{{timestamp}}.get{part}()" for part in PARTS.split()),
        *(f"{{timestamp}}.get{part}({{zone}})" for part in PARTS.split()),
        *(f"{{duration}}.get{part}()" for part in LENGTH_PARTS.split()),
    ],
    "double": [
        *(f"({{double}} {sign} {{double}})" for sign in "+-*/"),
        "-({double})",
        "double({int})",
        "double({dyn})",
        "({bool} ? {double} : {double})",
    ],
    "string": ["({string} + {string})", "{list(string)}[{int}]", "({bool} ? {string} : {string})"],
    "timestamp": ["({timestamp} + {duration})", "({timestamp} - {duration})", "timestamp({int})"],
    "duration": [
        "({duration} + {duration})",
        "({duration} - {duration})",
        "({timestamp} - {timestamp})",
    ],
    "dyn": [
        "{dyn}.x",
        '{dyn}["topic"]',
        "{dyn}[{int}]",
        "{dyn}[{dyn}]",
        "({bool} ? {dyn} : {int})",
        "-({dyn})",
        "({dyn} + {dyn})",
        "({dyn} - {dyn})",
        "({dyn} * {dyn})",
    ],
    "list(string)": ["({list(string)} + {list(string)})"],
    "list(int)": ["({list(int)} + {list(int)})"],
    "map(string,int)": [],
    "bool": [
        *(f"({{{kind}}} {sign} {{{kind}}})" for kind in COMPARABLE for sign in ("==", "<", ">=")),
        *(f"({{dyn}} {sign} {{{kind}}})" for kind in COMPARABLE[:4] for sign in ("==", "!=", "<")),
        "({list(int)} == {list(int)})",
        "({list(string)} != {dyn})",
        "({map(string,int)} == {dyn})",
        "({dyn} == {dyn})",
        "({dyn} == null)",
        "({dyn} > {dyn})",
        "({bool} && {bool})",
        "({bool} || {bool})",
        "({bool} && {dyn} && {bool})",
        "({dyn} || {bool})",
        "!({bool})",
        "!({dyn})",
        "({bool} ? {bool} : {bool})",
        "({dyn} ? {bool} : {bool})",
        "{string}.startsWith({string})",
        "{string}.endsWith({string})",
        "{string}.contains({string})",
        "{dyn}.startsWith({string})",
        "{string}.matches({pattern})",
        "{dyn}.matches({pattern})",
        "({string} in {list(string)})",
        "({int} in {list(int)})",
        "({dyn} in {list(string)})",
        "({dyn} in {list(int)})",
        "({string} in {map(string,int)})",
        "({dyn} in {dyn})",
        "({string} in {dyn})",
        "has(contact.attributes.{key})",
        "has(contact.attributes.deep.{key})",
        "has({dyn}.x)",
        "has(contact.skills.en)",
        "has(preference.channel)",
        "has(preference.attempts)",
        "has(preference.share)",
    ],
}
LITERAL = {"zone": ZONES, "pattern": PATTERNS, "key": KEYS}


def _pieces(form: str) -> list[str]:
    """Kinds at odd places, what stands between them at even ones."""
    opened = [part.partition("}") for part in form.split("{")]
    pieces = [opened[0][0]]
    for kind, closed, rest in opened[1:]:
        assert closed
        pieces += [kind, rest]
    return pieces


@cache
def typed(kind: str, depth: int = 3) -> st.SearchStrategy[str]:
    """A well-typed expression of this kind."""
    if kind in LITERAL:
        return st.sampled_from(LITERAL[kind])
    leaves = st.sampled_from(LEAVES[kind])
    forms = FORMS[kind]
    if depth == 0 or not forms:
        return leaves
    made = st.sampled_from(forms).flatmap(lambda form: _filled(form, depth - 1))
    return st.one_of(made, made, leaves)


def _filled(form: str, depth: int) -> st.SearchStrategy[str]:
    pieces = _pieces(form)
    parts = [
        typed(piece, depth) if place % 2 else st.just(piece) for place, piece in enumerate(pieces)
    ]
    return st.tuples(*parts).map("".join)


def sample(form: str) -> str:
    """The form with the last operand of each kind."""
    return "".join(
        (LITERAL.get(piece) or LEAVES[piece])[-1] if place % 2 else piece
        for place, piece in enumerate(_pieces(form))
    )


_ALL_FORMS = [form for forms in FORMS.values() for form in forms]
_ANY = [
    *(leaf for leaves in LEAVES.values() for leaf in leaves),
    *("null", "contact", "nobody", "contact.nothing", "segment", "1u", "[]", "{}", '{"a": 1}'),
    *("preference", "zone.x", "[1, 2.0]", '["a", 1]', "size", "has(zone)", 'b"x"', "open()"),
]


def untyped(depth: int = 2) -> st.SearchStrategy[str]:
    """Anything that looks like an expression, mostly wrong."""
    leaves = st.sampled_from(_ANY)
    if depth == 0:
        return leaves
    inner = untyped(depth - 1)

    def mixed(form: str) -> st.SearchStrategy[str]:
        parts: list[st.SearchStrategy[str]] = []
        for place, piece in enumerate(_pieces(form)):
            if place % 2 == 0:
                parts.append(st.just(piece))
            else:
                parts.append(st.sampled_from(LITERAL[piece]) if piece in LITERAL else inner)
        return st.tuples(*parts).map("".join)

    return st.one_of(st.sampled_from(_ALL_FORMS).flatmap(mixed), leaves)


# --- contexts -------------------------------------------------------------------------------------

JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.sampled_from([0, 1, 2]),
        st.sampled_from([0.0, 1.0, 2.5, -0.0]),
        st.sampled_from(["", "a", "sms", "billing", "x", "3"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["x", "topic", "n"]), inner, max_size=3),
    ),
    max_leaves=4,
)
NUMBERS = st.one_of(st.integers(-5, 10), st.integers(-(2**63), 2**63 - 1))


@st.composite
def contexts(draw: Any) -> Context:
    """A context of the test schema."""
    text = st.sampled_from(["", "a", "sms", "billing", "é\n", "vip", "😀b", "inbound"])
    moment = st.one_of(
        st.integers(SUNDAY_US - 10**14, SUNDAY_US + 10**14), st.sampled_from([0, -1, SUNDAY_US])
    )
    waited = st.one_of(st.integers(-100 * SECOND_US, 10**6 * SECOND_US), st.just(90 * SECOND_US))
    contact = Contact(
        direction=draw(text),
        position=draw(NUMBERS),
        waited=draw(waited),
        received=draw(moment),
        attributes=draw(st.dictionaries(st.sampled_from(KEYS[:-1]), JSON, max_size=6)),
        skills=draw(st.dictionaries(st.sampled_from(["en", "de", "a"]), NUMBERS, max_size=3)),
        tags=draw(st.lists(text, max_size=3)),
        levels=draw(st.lists(NUMBERS, max_size=3)),
    )
    share = st.floats(allow_nan=False, allow_infinity=False)
    preference = Preference(
        channel=draw(st.one_of(st.none(), text)),
        confidence=draw(st.one_of(st.none(), share)),
        attempts=draw(st.one_of(st.none(), NUMBERS)),
        share=draw(share),
    )
    return Context(
        segment=draw(st.sampled_from(["loyal", "passive"])),
        now=draw(moment),
        zone=draw(st.sampled_from(["Europe/Berlin", "America/New_York", "+05:45", "Nowhere"])),
        open=draw(st.booleans()),
        contact=contact,
        preference=preference,
    )


def as_text(context: Context) -> str:
    """For a failure's report."""
    return json.dumps(context, default=vars)
