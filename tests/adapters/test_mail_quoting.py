"""What somebody wrote is told from what their program added, for many programs, in linear time."""

from __future__ import annotations

import time

import pytest

from adapters.mail.quoting import Split, split

GMAIL_EN = """Yes, Tuesday is fine.

On Mon, Nov 16, 2026 at 9:12 AM Help <help@ours.example> wrote:

> Would Tuesday suit you?
>
> Best
> Ana
"""
GMAIL_WRAPPED = """Ja, gerne.

Am Mo., 16. Nov. 2026 um 09:12 Uhr schrieb Kundendienst der sehr langen Firma <
help@ours.example>:

> Passt Dienstag?
"""
APPLE_FR = """Merci beaucoup !

Envoyé de mon iPhone

> Le 16 nov. 2026 à 09:12, Service <help@ours.example> a écrit :
>
> Mardi vous convient ?
"""
APPLE_DE = """Danke, das hat geholfen.

> Am 16.11.2026 um 09:12 schrieb Kundendienst <help@ours.example>:
>
> Bitte starten Sie das Gerät neu.
"""
OUTLOOK_EN = """It still fails.

Kim

From: Help <help@ours.example>
Sent: Monday, 16 November 2026 09:12
To: Kim <kim@customer.example>
Subject: RE: My line

Please restart it.
"""
OUTLOOK_DE = """Es geht immer noch nicht.

________________________________
Von: Kundendienst <help@ours.example>
Gesendet: Montag, 16. November 2026 09:12
An: Kim <kim@customer.example>
Betreff: AW: Leitung

Bitte neu starten.
"""
OUTLOOK_OLD = """Nope.

-----Ursprüngliche Nachricht-----
Von: Kundendienst [mailto:help@ours.example]
Gesendet: Montag, 16. November 2026 09:12

Bitte neu starten.
"""
BOTTOM = """On 2026-11-16 09:12, Help wrote:
> Would Tuesday suit you?
>
> Ana

Yes, it would.
"""
INLINE = """Am 16.11.26 um 09:12 schrieb Help:
> Welches Modell ist es?
Das rote.
> Und seit wann?
Seit Montag.
"""
FORWARDED = """See below, please handle.

---------- Forwarded message ---------
From: Shop <shop@other.example>
Date: Mon, Nov 16, 2026
Subject: Order 4711

Your order is late.
"""
SIGNED = """My line is dead.

--\x20
Kim Example
ACME Ltd
+49 30 123
"""
SIGNED_AND_QUOTED = """Please call me.
--
Kim

On Mon, Nov 16, 2026 at 9:12 AM Help <help@ours.example> wrote:
> When?
"""


@pytest.mark.parametrize(
    ("body", "reply", "quotes", "signature"),
    [
        (GMAIL_EN, "Yes, Tuesday is fine.", "Would Tuesday", ""),
        (GMAIL_WRAPPED, "Ja, gerne.", "Passt Dienstag", ""),
        (APPLE_FR, "Merci beaucoup !", "Mardi", "Envoyé de mon iPhone"),
        (APPLE_DE, "Danke, das hat geholfen.", "Bitte starten", ""),
        (OUTLOOK_EN, "It still fails.\n\nKim", "Please restart", ""),
        (OUTLOOK_DE, "Es geht immer noch nicht.", "Bitte neu", ""),
        (OUTLOOK_OLD, "Nope.", "Bitte neu", ""),
        (BOTTOM, "Yes, it would.", "Would Tuesday", ""),
        (FORWARDED, FORWARDED.strip(), "", ""),
        (SIGNED, "My line is dead.", "", "Kim Example\nACME Ltd\n+49 30 123"),
        (SIGNED_AND_QUOTED, "Please call me.", "When?", "Kim"),
        ("Just text.", "Just text.", "", ""),
        ("", "", "", ""),
        ("> only a quote\n", "> only a quote", "", ""),
    ],
)
def test_the_reply_stands_alone(body: str, reply: str, quotes: str, signature: str) -> None:
    found = split(body)
    assert found.reply == reply
    assert quotes in found.quoted
    assert bool(found.quoted) == bool(quotes)
    assert found.signature == signature


def test_answers_between_the_quotes_keep_their_questions() -> None:
    found = split(INLINE)
    assert found.reply.splitlines() == [
        "> Welches Modell ist es?", "Das rote.", "> Und seit wann?", "Seit Montag.",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        "On Monday I called you and nobody answered:\nI waited for an hour.",
        "From: me\nwith love",
        "I wrote: hello.\nAnd then nothing.",
        "Le chat est mort:\nil faut le réparer.",
        "-- \nonly a signature",
        "Bestellung:\n- 2 rote\n- 3 blaue",
    ],
)
def test_what_looks_a_little_like_history_stays(body: str) -> None:
    assert split(body).reply == body.strip() or split(body).signature


CRAFTED = {
    "openers": "On Fri " * 15_000,
    "opener lines": "On Fri \n" * 15_000,
    "newlines": "\n" * 100_000,
    "quotes": "> " * 50_000,
    "quote lines": ">\n" * 50_000,
    "heads": "From: a\n" * 12_000,
    "rulers": "-----\n" * 16_000,
    "dashes": "-" * 100_000,
    "signatures": "--\n" * 33_000,
    "spaces": " " * 100_000,
    "alternating": "x\n> y\n" * 16_000,
    "colons": "On 1 <a@b>:\n" * 9_000,
    "one line of verbs": "wrote schrieb a écrit " * 5_000,
    "carriage returns": "\r" * 100_000,
}


@pytest.mark.parametrize("name", CRAFTED)
def test_a_crafted_body_of_100_kb_is_read_in_no_time(name: str) -> None:
    body = CRAFTED[name]
    began = time.process_time()
    found = split(body)
    assert time.process_time() - began < 0.5
    assert isinstance(found, Split)


def test_time_grows_with_the_length_and_not_faster() -> None:
    def cost(times: int) -> float:
        body = (GMAIL_EN + OUTLOOK_DE + INLINE) * times
        return min(_timed(body) for _ in range(3))

    assert cost(800) < 12 * cost(200)  # four times the length; sixteen if it were quadratic


def _timed(body: str) -> float:
    began = time.process_time()
    split(body)
    return time.process_time() - began
