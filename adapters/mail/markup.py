"""HTML bodies: their text for the conversation, and what of them may be shown to an agent.

Text: a walk over the tags, with quotes marked as in plain text. Shown: nh3 (ammonia) with a list of
what is allowed; nothing that runs, loads from elsewhere, or leads back to the page around it. The
page shows it in a sandboxed frame besides.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import NamedTuple

import nh3

HTML_CHARS = 2_000_000
"""Of a longer body only so much is read."""
TAGS = 60_000
"""A newsletter has some thousand; of a body with more only the beginning is read."""
TEXT_CHARS = 1_000_000
QUOTES = 20
"""Quotes deeper than this are marked no further."""
INLINE_BYTES = 2_000_000
"""Pictures within the mail are shown up to this size, all together."""
PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")

DEPTH = 300
"""HTML nested deeper is not shown: cleaning it takes time that grows with the square of this."""

_CLOSE_THEMSELVES = {
    "area", "base", "br", "col", "dd", "dt", "embed", "hr", "img", "input", "li", "link", "meta",
    "option", "p", "param", "source", "tbody", "td", "tfoot", "th", "thead", "tr", "wbr",
}  # fmt: skip
_SKIPPED = {"script", "style", "head", "title", "template", "noscript", "object", "iframe", "svg"}
_BLOCKS = {
    "address", "article", "aside", "blockquote", "center", "dd", "div", "dl", "dt", "fieldset",
    "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main",
    "nav", "ol", "p", "pre", "section", "table", "tr", "ul",
}  # fmt: skip
_APART = {"p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "table", "pre", "blockquote"}


class _Walker(HTMLParser):
    """Collects lines; `quotes` deep in quotations."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.lines: list[str] = []
        self.size = 0
        self.deepest = 0
        self._depth = 0
        self._line: list[str] = []
        self._quotes = 0
        self._skipped = 0
        self._pre = 0
        self._link = ""
        self._link_text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _CLOSE_THEMSELVES:
            self._depth += 1
            self.deepest = max(self.deepest, self._depth)
        if tag in _SKIPPED:
            self._skipped += 1
            return
        if tag in _BLOCKS:
            self._end_line(apart=tag in _APART)
        values = dict(attrs)
        match tag:
            case "br":
                self._end_line(even_empty=True)
            case "blockquote":
                self._quotes += 1
            case "pre":
                self._pre += 1
            case "li":
                self._line.append("- ")
            case "td" | "th" if self._line:
                self._line.append(" ")
            case "img":
                self._line.append(values.get("alt") or "")
            case "hr":
                self._line.append("________________________________")
                self._end_line()
            case "a":
                href = (values.get("href") or "").strip()
                self._link = href if href.startswith(("http://", "https://")) else ""
                self._link_text = []
            case _:
                pass

    def handle_endtag(self, tag: str) -> None:
        if tag not in _CLOSE_THEMSELVES:
            self._depth = max(0, self._depth - 1)
        if tag in _SKIPPED:
            self._skipped = max(0, self._skipped - 1)
            return
        if tag in _BLOCKS:
            self._end_line(apart=tag in _APART)
        if tag == "blockquote":
            self._quotes = max(0, self._quotes - 1)
        elif tag == "pre":
            self._pre = max(0, self._pre - 1)
        elif tag == "a" and self._link:
            shown = "".join(self._link_text).strip()
            if shown.rstrip("/") not in (
                self._link.rstrip("/"),
                self._link.partition("://")[2].rstrip("/"),
            ):
                self._line.append(f" <{self._link[:2000]}>")
            self._link = ""

    def handle_data(self, data: str) -> None:
        if self._skipped or self.size > TEXT_CHARS:
            return
        self.size += len(data)
        if self._pre:
            first, *rest = data.split("\n")
            self._line.append(first)
            for line in rest:
                self._end_line(even_empty=True)
                self._line.append(line)
            return
        words = " ".join(data.replace("\u00a0", " ").split())
        if not words:
            words = " " if data and self._line else ""
        else:
            words = f"{' ' if data[0].isspace() else ''}{words}{' ' if data[-1].isspace() else ''}"
        self._line.append(words)
        if self._link:
            self._link_text.append(words)

    def finish(self) -> str:
        """The text."""
        self._end_line()
        lines: list[str] = []
        for line in self.lines:  # at most one empty line in a row
            if line.strip("> ") or not lines or lines[-1].strip("> "):
                lines.append(line)
        return "\n".join(lines).strip("\n")

    def _end_line(self, *, apart: bool = False, even_empty: bool = False) -> None:
        mark = "> " * min(self._quotes, QUOTES)
        text = "".join(self._line)
        text = text.rstrip() if self._pre else " ".join(text.split(" ")).strip()
        self._line = []
        if text or even_empty:
            self.lines.append(f"{mark}{text}".rstrip())
        if apart and self.lines and self.lines[-1].strip("> "):
            self.lines.append(mark.rstrip())


def _bounded(html: str) -> str:
    """So much of it as is worked through in a second or two, however it is made."""
    return html[:HTML_CHARS] if html.count("<", 0, HTML_CHARS) <= TAGS else html[: 3 * TAGS]


class Walked(NamedTuple):
    """What a walk through an HTML body found."""

    text: str
    """With quotations marked by "> "."""
    deepest: int


def walk(html: str) -> Walked:
    """The text of an HTML body, and how deeply it is nested."""
    walker = _Walker()
    walker.feed(_bounded(html))
    walker.close()
    return Walked(walker.finish(), walker.deepest)


def text_of(html: str) -> str:
    """The text of an HTML body, with quotations marked by "> "."""
    return walk(html).text


class Picture(NamedTuple):
    """A picture that came with the mail, by its Content-ID."""

    type: str
    data: bytes


_TAGS = {
    "a", "abbr", "address", "b", "big", "blockquote", "br", "caption", "center", "cite", "code",
    "col", "colgroup", "dd", "del", "div", "dl", "dt", "em", "figcaption", "figure", "font", "h1",
    "h2", "h3", "h4", "h5", "h6", "hr", "i", "img", "ins", "kbd", "li", "ol", "p", "pre", "q", "s",
    "samp", "small", "span", "strike", "strong", "sub", "sup", "table", "tbody", "td", "tfoot",
    "th", "thead", "tr", "tt", "u", "ul",
}  # fmt: skip
_ANY = {"align", "dir", "lang", "style", "title", "valign"}
_ATTRIBUTES = {
    "*": _ANY,
    "a": {"href", "target"},
    "col": {"span", "width"},
    "font": {"color", "face", "size"},
    "img": {"alt", "height", "src", "width"},
    "ol": {"start", "type"},
    "table": {"bgcolor", "border", "cellpadding", "cellspacing", "width"},
    "td": {"bgcolor", "colspan", "height", "rowspan", "width"},
    "th": {"bgcolor", "colspan", "height", "rowspan", "width"},
    "tr": {"bgcolor"},
}
_STYLES = {  # none of them takes an address
    "background-color", "border-collapse", "color", "direction", "font-family", "font-size",
    "font-style", "font-weight", "line-height", "margin", "margin-bottom", "margin-left",
    "margin-right", "margin-top", "padding", "padding-bottom", "padding-left", "padding-right",
    "padding-top", "text-align", "text-decoration", "text-indent", "vertical-align", "white-space",
    "width",
}  # fmt: skip
_ELSEWHERE = re.compile(r"(?:https?://|mailto:|tel:)[^\s\\]", re.IGNORECASE)
"""A link that leads to the same place wherever it stands. Anything else is worked out from the
address of the page that shows the mail, which is ours: ``/v1/...``, ``//host``, ``https:path``."""
_GONE = {"script", "style", "title", "head", "template", "noscript", "svg", "math", "iframe",
         "object", "textarea", "select", "noembed", "noframes", "xmp"}  # fmt: skip


def shown(html: str, pictures: Mapping[str, Picture]) -> str:
    """What of an HTML body an agent may see; `pictures` by Content-ID are put into it."""
    room = INLINE_BYTES

    def allow(tag: str, attribute: str, value: str) -> str | None:
        nonlocal room
        if attribute == "style":
            return None if "url" in value.lower() or "\\" in value else value
        if attribute == "href":
            return value if _ELSEWHERE.match(value) else None
        if tag != "img" or attribute != "src":
            return value
        picture = pictures.get(value[4:].strip("<>")) if value[:4].lower() == "cid:" else None
        if picture is None or picture.type not in PICTURES or len(picture.data) > room:
            return None
        room -= len(picture.data)
        return f"data:{picture.type};base64,{base64.b64encode(picture.data).decode()}"

    return nh3.clean(
        _bounded(html),
        tags=_TAGS,
        clean_content_tags=_GONE,
        attributes=_ATTRIBUTES,
        attribute_filter=allow,
        url_schemes={"http", "https", "mailto", "tel", "cid"},
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
        filter_style_properties=_STYLES,
        strip_comments=True,
    )
