"""Characters to tokens, by the lexis of CEL.

https://github.com/google/cel-spec, language definition, "Syntax".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from router.core.rules.place import Span

SOURCE_MAX = 10_000
"""Characters of one expression."""
STRING_MAX = 1_000
"""Characters of one constant text."""
INT_MAX = 2**63 - 1
INT_MIN = -(2**63)

KEYWORDS = ("true", "false", "null", "in")
# fmt: off
RESERVED = frozenset((
    "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop",
    "package", "namespace", "return", "var", "void", "while",
))
# fmt: on


@dataclass(frozen=True, slots=True)
class Token:
    """One word; `kind` is ``int``, ``double``, ``string``, ``name``, ``end`` or the sign itself."""

    kind: str
    span: Span
    value: int | float | str = ""


class SyntaxProblem(Exception):
    """What cannot be read, and where."""

    def __init__(self, span: Span, message: str) -> None:
        super().__init__(message)
        self.span = span
        self.message = message


_TOKEN = re.compile(
    r"""(?P<space>[ \t\n\f\r]+)
    |(?P<comment>//)
    |(?P<bytes>(?:[bB][rR]?|[rR][bB])(?=['"]))
    |(?P<string>[rR]?(?:'''|\"""|'|"))
    |(?P<double>[0-9]*\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+)
    |(?P<int>0x[0-9a-fA-F]+|[0-9]+)
    |(?P<name>[_a-zA-Z][_a-zA-Z0-9]*)
    |(?P<sign>==|!=|<=|>=|&&|\|\||[<>!?:+\-*/%.,()\[\]{}])""",
    re.VERBOSE,
)
_AFTER_NUMBER = re.compile(r"[_a-zA-Z0-9]+")
_HINTS = {
    "=": "expected an operator, got '=': to compare, write '=='",
    "&": "expected an operator, got '&': write '&&'",
    "|": "expected an operator, got '|': write '||'",
    "`": 'names in backticks are not known: write ["name"]',
    "“": "expected a straight quote, got '“'",
    "”": "expected a straight quote, got '”'",
    "‘": "expected a straight quote, got '‘'",
    "’": "expected a straight quote, got '’'",
}
_WORDS = {"and": "&&", "or": "||", "not": "!", "AND": "&&", "OR": "||", "NOT": "!"}


def tokens(text: str) -> list[Token]:
    """All tokens, with ``end`` as the last. Raises SyntaxProblem."""
    if len(text) > SOURCE_MAX:
        message = f"expected at most {SOURCE_MAX} characters, got {len(text)}"
        raise SyntaxProblem(Span(0, 1), message)
    found: list[Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            message = _HINTS.get(text[at], f"unexpected character {text[at]!r}")
            raise SyntaxProblem(Span(at, at + 1), message)
        kind = match.lastgroup
        span = Span(*match.span())
        at = match.end()
        match kind:
            case "space":
                continue
            case "comment":
                message = (
                    "comments cannot stand in an expression (YAML may fold its lines into one): "
                    "use # outside"
                )
                raise SyntaxProblem(span, message)
            case "bytes":
                raise SyntaxProblem(span, "bytes are not known here: write a text without b")
            case "string":
                token, at = _string(text, span)
                found.append(token)
            case "int" | "double":
                found.append(_number(text, kind, span))
            case "name":
                word = match.group()
                if word in _WORDS:
                    message = f"expected an operator, got {word!r}: write '{_WORDS[word]}'"
                    raise SyntaxProblem(span, message)
                found.append(Token(word if word in KEYWORDS else "name", span, word))
            case _:
                found.append(Token(match.group(), span, match.group()))
    found.append(Token("end", Span(len(text), len(text))))
    return found


def _number(text: str, kind: str, span: Span) -> Token:
    more = _AFTER_NUMBER.match(text, span.end)
    if more is not None:
        whole = Span(span.start, more.end())
        if more.group() in ("u", "U"):
            raise SyntaxProblem(whole, "unsigned numbers are not known: write it without u")
        hint = f', a duration is written duration("{text[span.start : more.end()]}")'
        shown = text[span.start : more.end()][:40]
        raise SyntaxProblem(
            whole,
            f"expected a number, got {shown!r}{hint if more.group() in _UNITS else ''}",
        )
    word = text[span.start : span.end]
    if kind == "int":
        if len(word) > 40:
            raise SyntaxProblem(span, "expected a 64-bit number, got more digits")
        return Token(kind, span, int(word, 0 if word.startswith("0x") else 10))
    value = float(word)
    if value == float("inf"):
        raise SyntaxProblem(span, "expected a 64-bit floating-point number, got a larger one")
    return Token(kind, span, value)


_UNITS = ("h", "m", "s", "ms", "us")

# --- texts --------------------------------------------------------------------------------------

_ESCAPES = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    "?": "?",
    '"': '"',
    "'": "'",
    "`": "`",
}
_CODE = re.compile(
    r"[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})", re.ASCII
)


def _string(text: str, opening: Span) -> tuple[Token, int]:
    """The text that begins here, and where it ends."""
    mark = text[opening.start : opening.end]
    raw = mark[0] in "rR"
    quote = mark[1:] if raw else mark
    parts: list[str] = []
    at = opening.end
    while not text.startswith(quote, at):
        if at >= len(text):
            raise SyntaxProblem(Span(opening.start, at), f"expected a closing {quote}, got the end")
        character = text[at]
        if character in "\r\n" and len(quote) == 1:
            message = f"expected a closing {quote} in the same line: a line break is written \\n"
            raise SyntaxProblem(Span(opening.start, at), message)
        if character == "\\" and not raw:
            meant, at = _escape(text, at)
            parts.append(meant)
        else:
            parts.append(character)
            at += 1
    value = "".join(parts)
    span = Span(opening.start, at + len(quote))
    if len(value) > STRING_MAX:
        message = f"expected a text of at most {STRING_MAX} characters, got {len(value)}"
        raise SyntaxProblem(span, message)
    return Token("string", span, value), span.end


def _escape(text: str, at: int) -> tuple[str, int]:
    """What a backslash stands for, and what follows it."""
    simple = _ESCAPES.get(text[at + 1 : at + 2])
    if simple is not None:
        return simple, at + 2
    code = _CODE.match(text, at + 1)
    if code is None:
        shown = text[at : at + 2]
        message = f"unknown escape {shown!r}: a backslash itself is written \\\\ (or r'...')"
        raise SyntaxProblem(Span(at, at + 2), message)
    octal = code.group(4)
    digits = octal or code.group(1) or code.group(2) or code.group(3)
    value = int(digits, 8 if octal else 16)
    if value > 0x10FFFF or 0xD800 <= value <= 0xDFFF:
        raise SyntaxProblem(Span(at, code.end()), "expected a character's code, got none of those")
    return chr(value), code.end()
