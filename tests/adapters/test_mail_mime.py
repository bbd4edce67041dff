"""Mails of many programs are read; broken, hostile and enormous ones do no harm."""

from __future__ import annotations

import asyncio
import base64
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from adapters.mail.compose import Outgoing, Unsendable, answer_subject, compose, shortened
from adapters.mail.headers import is_address
from adapters.mail.markup import Picture, shown, text_of
from adapters.mail.mime import MAIL_BYTES, Mail, TooMuch, read
from adapters.mail.reader import Reader, Unreadable

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def raw(head: str, body: bytes | str = b"") -> bytes:
    """A mail by hand: LF in the source, CRLF on the wire; bytes of the body stay as they are."""
    data = body.encode() if isinstance(body, str) else body
    top = head.strip("\n").replace("\n", "\r\n").encode("utf-8", "surrogateescape")
    return top + b"\r\n\r\n" + data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


PLAIN = "From: Kim <kim@customer.example>\nSubject: Hi\nMessage-ID: <m1@customer.example>\n"


def of_type(content_type: str, body: bytes | str, encoding: str = "8bit") -> Mail:
    head = f"{PLAIN}MIME-Version: 1.0\nContent-Type: {content_type}\n"
    return read(raw(f"{head}Content-Transfer-Encoding: {encoding}", body))


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("=?utf-8?B?SsO8cmdlbiBHcsO8bg==?= <kim@customer.example>", "Jürgen Grün"),
        ("=?iso-8859-1?Q?J=FCrgen_Gr=FCn?= <kim@customer.example>", "Jürgen Grün"),
        ('"Grün, Jürgen" <kim@customer.example>', "Grün, Jürgen"),
        ("=?utf-8?Q?J=C3=BCr?= =?utf-8?Q?gen?= <kim@customer.example>", "Jürgen"),
        ('"=?utf-8?Q?J=C3=BCrgen?=" <kim@customer.example>', "Jürgen"),
        ("=?x-nobody?Q?J=FCrgen?= <kim@customer.example>", "Jürgen"),
        ("=?gb2312?B?zfXQocP3?= <kim@customer.example>", "王小明"),
        ("=?utf-8?B?broken <kim@customer.example>", "=?utf-8?B?broken"),
        ("kim@customer.example", ""),
        ("KIM@Customer.Example (Kim)", "Kim"),
    ],
)
def test_a_senders_name_is_read(field: str, name: str) -> None:
    found = read(raw(f"From: {field}\nSubject: x", "x"))
    assert found.sender == ("kim@customer.example", name)


@pytest.mark.parametrize(
    ("field", "subject"),
    [
        ("=?utf-8?Q?Caf=C3=A9_am_Eck?=", "Café am Eck"),
        ("=?iso-8859-15?Q?10_=A4?=", "10 €"),
        ("=?windows-1252?Q?10_=80?=", "10 €"),
        ("=?iso-8859-1?Q?10_=80?=", "10 €"),
        ("=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "日本"),
        ("Grüße roh", "Grüße roh"),
        ("folded\n over lines", "folded over lines"),
        ("=?utf-8?Q?inject=0D=0ABcc:_x@y.example?=", "inject Bcc: x@y.example"),
    ],
)
def test_a_subject_is_read(field: str, subject: str) -> None:
    assert read(raw(f"From: kim@customer.example\nSubject: {field}", "x")).subject == subject


def test_raw_latin_1_in_a_header_is_read() -> None:
    data = b"From: kim@customer.example\r\nSubject: Gr\xfc\xdfe\r\n\r\nx"
    assert read(data).subject == "Grüße"


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        ("text/plain; charset=utf-8", "Grüße".encode(), "Grüße"),
        ("text/plain; charset=iso-8859-1", "Grüße".encode("latin-1"), "Grüße"),
        ("text/plain; charset=us-ascii", "Grüße".encode(), "Grüße"),
        ("text/plain", "Grüße".encode("cp1252"), "Grüße"),
        ("text/plain; charset=nothing-known", "Grüße".encode(), "Grüße"),
        ('text/plain; charset="utf-8', "Grüße".encode(), "Grüße"),
        ("text/plain; charset=utf-16le", "Grüße".encode("utf-16le"), "Grüße"),
        ("text/plain; charset=unicode_escape", rb"\x47", r"\x47"),
        ("text/plain; charset=idna", b"xn--a", "xn--a"),
        ("text/plain; charset=utf-7", b"half a pair: +2AA-", "half a pair: \ufffd"),
    ],
)
def test_a_body_is_read_in_whatever_charset(content_type: str, body: bytes, text: str) -> None:
    assert of_type(content_type, body).text == text


def test_flowed_text_is_one_paragraph_again() -> None:
    body = "This is one \nparagraph.\n\n> quoted \n> too\n-- \nKim"
    found = of_type("text/plain; format=flowed", f"Intro.\n{body}")
    assert found.text.startswith("Intro.\nThis is one paragraph.")


ALTERNATIVE = """--b
Content-Type: text/plain; charset=utf-8

Plain words.

On Mon, Nov 16, 2026 at 9:12 AM Help <help@ours.example> wrote:
> Old words.
--b
Content-Type: text/html; charset=utf-8

<p>Plain <b>words</b>.</p><script>alert(1)</script><img src="http://track.example/x.gif">
--b--
"""


def test_of_two_versions_the_text_is_told_and_the_html_is_kept_clean() -> None:
    found = of_type('multipart/alternative; boundary="b"', ALTERNATIVE)
    assert found.text == "Plain words."
    (html,) = found.files
    assert (html.role, html.type) == ("html", "text/html")
    assert b"<b>words</b>" in html.data
    assert b"script" not in html.data
    assert b"track.example" not in html.data


def test_html_alone_becomes_text_with_its_quotes_marked() -> None:
    html = (
        "<div>Yes!</div><div class=gmail_quote>On Mon, Nov 16, 2026 at 9:12 AM Help "
        "&lt;help@ours.example&gt; wrote:<blockquote>Really?</blockquote></div>"
    )
    found = of_type("text/html; charset=utf-8", html)
    assert found.text == "Yes!"


def test_text_with_history_keeps_all_of_it_in_a_file() -> None:
    found = of_type("text/plain", "Yes.\n\nOn 2026-11-16 09:12, Help wrote:\n> Really?\n")
    assert found.text == "Yes."
    (original,) = found.files
    assert original.role == "original"
    assert b"> Really?" in original.data


def attached(name_field: str, data: bytes = PNG, kind: str = "image/png") -> str:
    coded = base64.encodebytes(data).decode()
    return (
        f"--b\nContent-Type: text/plain\n\nsee there\n--b\nContent-Type: {kind}\n"
        f"Content-Disposition: attachment; {name_field}\nContent-Transfer-Encoding: base64\n\n"
        f"{coded}\n--b--\n"
    )


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ('filename="a.png"', "a.png"),
        ("filename*=utf-8''Gr%C3%BC%C3%9Fe.png", "Grüße.png"),
        ("filename*0=lang; filename*1=er.png", "langer.png"),
        ("filename*0*=utf-8''Gr%C3%BC; filename*1*=%C3%9Fe.png", "Grüße.png"),
        ('filename="=?utf-8?Q?Gr=C3=BC=C3=9Fe.png?="', "Grüße.png"),
        ("filename*=nothing''%FF.png", "ÿ.png"),
    ],
)
def test_an_attachment_has_its_name(field: str, name: str) -> None:
    (file,) = of_type('multipart/mixed; boundary="b"', attached(field)).files
    assert file.data == PNG
    assert file.name == name


def test_half_a_pair_in_a_subject_or_a_files_name_hides_no_mail() -> None:
    mail = read(
        b"From: a@b.example\r\nSubject: =?utf-7?Q?+2AA-?=\r\nContent-Type: application/pdf\r\n"
        b"Content-Disposition: attachment; filename*=utf-7''%2B2AA-.pdf\r\n\r\nx"
    )
    assert (mail.subject, [file.name for file in mail.files]) == ("\ufffd", ["\ufffd.pdf"])


def test_pictures_within_the_html_are_shown_and_not_attached() -> None:
    body = (
        '--b\nContent-Type: text/html\n\n<p>Look <img src="cid:p1"></p>\n--b\n'
        "Content-Type: image/png\nContent-ID: <p1>\nContent-Transfer-Encoding: base64\n\n"
        f"{base64.encodebytes(PNG).decode()}\n--b--\n"
    )
    (html,) = of_type('multipart/related; boundary="b"', body).files
    assert b'<img src="data:image/png;base64,iVBOR' in html.data


def test_a_forwarded_mail_is_attached_whole() -> None:
    inner = "From: shop@other.example\nSubject: Order\n\nlate"
    body = (
        "--b\nContent-Type: text/plain\n\nplease handle\n--b\n"
        f"Content-Type: message/rfc822\n\n{inner}\n--b--\n"
    )
    found = of_type('multipart/mixed; boundary="b"', body)
    (file,) = found.files
    assert (found.text, file.name) == ("please handle", "Order.eml")
    assert b"Subject: Order" in file.data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n\r\n",
        b"no header at all",
        b"From: \xff\xfe\r\n\r\n\x00\x01",
        b"From: a@b.example\r\nContent-Type: multipart/mixed\r\n\r\nno boundary",
        b"From: a@b.example\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n--x",
        b"From: a@b.example\r\nContent-Type: text/plain; charset*=x'y\r\n\r\nx",
        b"From: a@b.example\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!not base64",
        b"From: a@b.example\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\nbegin 644 x\r\n!!",
        b"From: <<<@>>>\r\nTo: ,,,,;;;\r\nReferences: <<<>>> <a\r\n\r\nx",
        b"From: a@b.example\r\nSubject: =?utf-8?Q?" + b"=" * 500 + b"?=\r\n\r\nx",
        b"Content-Type: message/rfc822\r\n\r\nContent-Type: message/rfc822\r\n\r\nx",
    ],
)
def test_a_broken_mail_is_read_as_far_as_it_goes(data: bytes) -> None:
    assert isinstance(read(data), Mail)


def test_the_same_mail_by_another_way_is_the_same_and_another_is_not() -> None:
    first = raw(PLAIN, "hello\n")
    relayed = b"Received: from somewhere\r\nReturn-Path: <kim@customer.example>\r\n" + first
    assert read(first).digest == read(relayed.replace(b"\r\n", b"\n")).digest
    assert read(first).digest != read(raw(PLAIN, "goodbye\n")).digest


# -- what is shown to agents -------------------------------------------------------------------

XSS = [
    *(Path(__file__).parent.parent / "data" / "html_attacks.txt").read_text("utf-8").splitlines(),
    "\x00<scr\x00ipt>alert(1)</scr\x00ipt>",
]


class Looked(HTMLParser):
    """Every tag and attribute that is left."""

    def __init__(self) -> None:
        super().__init__()
        self.bad: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"script", "style", "iframe", "form", "input", "svg", "math", "object", "embed",
                   "link", "meta", "base", "video", "image", "button", "template"}:  # fmt: skip
            self.bad.append(tag)
        self.bad += [f"{tag} {name}={value}" for name, value in attrs if is_bad(name, value or "")]
        values = dict(attrs)
        is_safe = "noopener" in (values.get("rel") or "") and values.get("target") == "_blank"
        if tag == "a" and "href" in values and not is_safe:
            self.bad.append("a without noopener")


def is_bad(name: str, value: str) -> bool:
    text = value.lower()
    if name == "href":
        return not text.startswith(("http://", "https://", "mailto:", "tel:"))
    if name == "src":
        return not text.startswith("data:image/png;base64,")
    if name == "style":
        return "url" in text or "\\" in text
    return name.startswith("on") or name in {"id", "name", "srcset", "background", "formaction"}


@pytest.mark.parametrize("attack", XSS)
def test_nothing_that_runs_or_loads_is_left(attack: str) -> None:
    pictures = {
        "svg": Picture("image/svg+xml", b"<svg onload=alert(1)>"),
        "p": Picture("image/png", PNG),
    }
    found = shown(f"<div>before {attack} <img src='cid:p'> after</div>", pictures)
    looked = Looked()
    looked.feed(found)
    assert looked.bad == []
    assert "evil.example" not in found.replace("&", "")
    again = shown(found, pictures)  # no second reading brings something to life
    looked = Looked()
    looked.feed(again)
    assert looked.bad == []


@pytest.mark.parametrize(
    "href",
    ["/v1/contacts", "v1/x", "//evil.example/x", "?a", "#a", "../x", "", " ", "https:v1/x",
     "https:/v1/x", "HTTPS:v1", "https:\\\\evil.example", "h\tttps://evil.example", " https://a.b",
     "https:// /v1", "cid:p", "mailto:", "x-scheme:y", "&#x2f;v1"],
)  # fmt: skip
def test_a_link_that_our_page_would_complete_is_none(href: str) -> None:
    """Relative ones lead into the router: the frame that shows the mail is on its origin."""
    assert "href" not in shown(f'<a href="{href}">click</a>', {})
    assert "click" in shown(f'<a href="{href}">click</a>', {})


@pytest.mark.parametrize(
    "href", ["https://shop.example/a?b=1#c", "HTTP://a.b", "mailto:kim@a.b", "tel:+4930"]
)
def test_a_link_that_is_whole_stays(href: str) -> None:
    assert f'href="{href}"' in shown(f'<a href="{href}">click</a>', {})


@pytest.mark.parametrize("attack", XSS)
def test_the_text_of_an_attack_is_text(attack: str) -> None:
    assert isinstance(text_of(attack), str)


# -- bombs -------------------------------------------------------------------------------------


def nested(depth: int) -> bytes:
    head = PLAIN + "MIME-Version: 1.0\n"
    body = "x"
    for number in range(depth):
        top = f"Content-Type: multipart/mixed; boundary=b{number}\n\n--b{number}\n"
        body = f"{top}{body}\n--b{number}--\n"
    return (head + body).replace("\n", "\r\n").encode()


BOMBS = {
    "many parts": raw(
        f"{PLAIN}Content-Type: multipart/mixed; boundary=b", b"--b\n\nx\n" * 100_000 + b"--b--\n"
    ),
    "depth 1000": nested(1000),
    "depth 50": nested(50),
    "deep rfc822": b"Content-Type: message/rfc822\r\n\r\n" * 3_000,
    "header of 10 MB": b"From: a@b.example\r\nX: " + b"x" * 10_000_000 + b"\r\n\r\nx",
    "many headers": b"X: y\r\n" * 500_000 + b"\r\nx",
    "too long": b"From: a@b.example\r\n\r\n" + b"x" * MAIL_BYTES,
}


@pytest.fixture
async def reader() -> AsyncIterator[Reader]:
    reader = Reader()
    yield reader
    await reader.stop()


@pytest.mark.parametrize("name", BOMBS)
async def test_a_bomb_is_refused_and_the_next_mail_is_read(reader: Reader, name: str) -> None:
    with pytest.raises(Unreadable):
        await reader.read(BOMBS[name])
    assert (await reader.read(raw(PLAIN, "still here"))).text == "still here"


@pytest.mark.parametrize("name", ["many parts", "depth 50", "header of 10 MB"])
def test_a_bomb_is_refused_by_its_bounds(name: str) -> None:
    with pytest.raises(TooMuch):
        read(BOMBS[name])


async def test_a_reader_that_is_killed_loses_no_other_mail(reader: Reader) -> None:
    await reader.read(raw(PLAIN, "one"))
    assert reader._process is not None
    reader._process.kill()
    with pytest.raises(Unreadable, match="its reader died"):
        await reader.read(raw(PLAIN, "two"))
    assert (await reader.read(raw(PLAIN, "three"))).text == "three"


async def test_a_mail_that_takes_too_long_ends_its_reader(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.mail.reader.READ_S", 0.0)
    with pytest.raises(Unreadable, match="not read within"):
        await reader.read(raw(PLAIN, "slow"))
    monkeypatch.undo()
    assert (await reader.read(raw(PLAIN, "quick"))).text == "quick"


async def test_html_with_millions_of_tags_blocks_nothing(reader: Reader) -> None:
    parts = b"--b\nContent-Type: text/html\n\n" + b"<div>" * 3_000_000 + b"\n--b--\n"
    with suppress(Unreadable):
        await reader.read(raw(f"{PLAIN}Content-Type: multipart/mixed; boundary=b", parts))
    assert (await reader.read(raw(PLAIN, "still here"))).text == "still here"


async def test_several_tasks_share_a_reader(reader: Reader) -> None:
    mails = await asyncio.gather(*(reader.read(raw(PLAIN, f"mail {n}")) for n in range(20)))
    assert [mail.text for mail in mails] == [f"mail {n}" for n in range(20)]


async def test_the_bounds_of_the_worker_are_the_systems(tmp_path: Path) -> None:
    """What it may not have it does not get, whatever the code in it does."""
    code = (
        "from adapters.mail.worker import limit, more_time\n"
        "limit()\nmore_time()\n"
        "import resource\n"
        "soft, _ = resource.getrlimit(resource.RLIMIT_CPU)\n"
        "assert soft < 30\n"
        f"try:\n    open({str(tmp_path / 'x')!r}, 'wb', 0).write(b'x')\n    raise SystemExit(3)\n"
        "except OSError:\n    pass\n"
        "try:\n    bytearray(2_000_000_000)\n    raise SystemExit(4)\n"
        "except MemoryError:\n    raise SystemExit(0)\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    # A file of size 0 may be made; the signal for one byte more (SIGXFSZ) ends the process.
    assert await process.wait() in (0, -25)


# -- what we send ------------------------------------------------------------------------------


def outgoing(**fields: object) -> Outgoing:
    given: dict[str, object] = {
        "sender": "help@ours.example", "recipient": "kim@customer.example", "subject": "Re: x",
        "text": "hello", "message_id": "a.b@ours.example", **fields,
    }  # fmt: skip
    return Outgoing(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "fields",
    [
        {"subject": "x\r\nBcc: all@ours.example"},
        {"subject": "x\nBcc: y"},
        {"sender_name": "Help\r\nBcc: y"},
        {"recipient_name": "Kim\0"},
        {"recipient": "kim@customer.example\r\nRCPT TO:<x@y.example>"},
        {"recipient": "kim@customer.example> SIZE=1"},
        {"recipient": "kim"},
        {"recipient": "@customer.example"},
        {"recipient": "-oX@customer.example x"},
        {"message_id": "a\r\nX: y"},
        {"references": ("a b",)},
        {"references": ("a>\r\n<b",)},
    ],
)
def test_nothing_adds_a_line_to_the_header(fields: dict[str, object]) -> None:
    with pytest.raises(Unsendable):
        compose(outgoing(**fields), datetime.now(UTC))


@pytest.mark.parametrize(
    "text", ["\n.\n", "\r\n.\r\nMAIL FROM:<x@y.example>", "a\r.\rb", "From x", "." * 2000, "\0"]
)
def test_a_text_is_only_a_text(text: str) -> None:
    data = compose(outgoing(text=text), datetime.now(UTC))
    head, _, _body = data.partition(b"\r\n\r\n")
    assert head.count(b"\r\n") == head.count(b"\n")
    assert b"MAIL FROM" not in head
    same = text.replace("\r\n", "\n").replace("\r", "\n").strip("\n")
    assert read(data).text.strip("\n") == same


@pytest.mark.parametrize(
    ("recipient", "field"),
    [
        ("kim@gr\u00fcn.example", b"To: kim@xn--grn-ioa.example\r\n"),
        ("j\u00fcrgen@gr\u00fcn.example", "To: j\u00fcrgen@xn--grn-ioa.example\r\n".encode()),
    ],
)
def test_addresses_beyond_ascii_stay_addresses(recipient: str, field: bytes) -> None:
    assert field in compose(outgoing(recipient=recipient), datetime.now(UTC))


def test_ids_longer_than_a_line_stay_as_they_are() -> None:
    ids = tuple(f"{'x' * 90}{n}@mail.example" for n in range(30))
    data = compose(outgoing(references=ids, message_id=ids[0]), datetime.now(UTC))
    assert b"=?" not in data.partition(b"\r\n\r\n")[0]
    assert max(map(len, data.split(b"\r\n"))) < 200
    assert read(data).references == shortened(ids)
    assert read(data).message_id == ids[0]


@pytest.mark.parametrize(
    ("subject", "answer"),
    [
        ("My line", "Re: My line"), ("Re: My line", "Re: My line"), ("AW: Re: SV: x", "Re: x"),
        ("RE: x", "Re: x"), ("Fwd: x", "Re: Fwd: x"), ("", "fallback"), ("Re:", "fallback"),
        ("Note: this", "Re: Note: this"),
    ],
)  # fmt: skip
def test_an_answer_says_re_once(subject: str, answer: str) -> None:
    assert answer_subject(subject, "fallback") == answer


@pytest.mark.parametrize(
    ("address", "is_one"),
    [
        ("kim@customer.example", True), ("a+b.c_d@x-y.example", True),
        ("jürgen@grün.example", True),
        ("kim", False), ("kim@", False), ("@x", False), ("a@b@c", False), ("a b@c.example", False),
        ("a\n@c.example", False), ("<a@c.example>", False), ("a@c..example", False),
        ("a@.example", False), ("x" * 250 + "@c.example", False), ("-f@c.example", False),
    ],
)  # fmt: skip
def test_an_address_is_one_that_can_be_written_to(address: str, is_one: bool) -> None:
    assert is_address(address) is is_one
