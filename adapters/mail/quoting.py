"""Tells what somebody wrote from what their mail program added: quoted history and signature.

Known libraries for this hang on crafted bodies, so this is a scanner of lines: each line is looked
at a bounded number of times and to a bounded length, and there is no regular expression. English,
German, French, Spanish, Italian and Dutch programs are known.
"""

from __future__ import annotations

from typing import NamedTuple

LINES = 20_000
"""Lines that are looked at; what follows belongs to whatever comes last."""
LOOK = 400
"""Characters of a line that are looked at."""
ATTRIBUTION_LINES = 4
"""An attribution ("On Monday, Kim wrote:") is wrapped over so many lines at most."""
SIGNATURE_LINES = 30

_OPENERS = ("on ", "am ", "le ", "el ", "il ", "op ", "den ", "em ")
_VERBS = ("wrote", "schrieb", "a écrit", "a ecrit", "escribió", "ha scritto", "schreef", "escreveu")
_ORIGINAL = (
    "original message", "ursprüngliche nachricht", "originalnachricht", "message d'origine",
    "message d’origine", "mensaje original", "messaggio originale", "oorspronkelijk bericht",
)  # fmt: skip
_FORWARDED = (
    "forwarded message", "weitergeleitete nachricht", "begin forwarded message",
    "anfang der weitergeleiteten", "message transféré", "mensaje reenviado",
    "messaggio inoltrato", "doorgestuurd bericht",
)  # fmt: skip
_FROM = ("from:", "von:", "de:", "de :", "da:", "van:")
_OTHER = (
    "sent:", "date:", "to:", "subject:", "cc:", "gesendet:", "datum:", "an:", "betreff:",
    "envoyé:", "envoyé :", "date :", "à:", "à :", "objet:", "objet :", "enviado:", "para:",
    "asunto:", "fecha:", "inviato:", "data:", "a:", "oggetto:", "verzonden:", "aan:", "onderwerp:",
)  # fmt: skip
_DEVICE = (
    "sent from my ", "von meinem ", "gesendet von ", "gesendet mit ",
    "diese nachricht wurde von mein",
    "envoyé de mon ", "envoyé depuis ", "get outlook for ", "outlook für ", "enviado desde mi ",
    "inviato da ", "verzonden vanaf ",
)  # fmt: skip


class Split(NamedTuple):
    """A body, taken apart."""

    reply: str
    """What was written now; never empty where the body is not."""
    quoted: str = ""
    signature: str = ""


def split(text: str) -> Split:
    """Take a plain text body apart. Linear in its length."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    seen = [line[:LOOK].strip().lower() for line in lines[:LINES]]
    cut = _history(seen)
    if cut is None:
        reply, quoted = lines, []
    else:
        first, below, is_marked = cut
        answers, kept = _answers(lines, seen, below) if is_marked else ([], [])
        reply = [*lines[:first], *answers]
        quoted = kept if answers else lines[first:]
    reply, signature = _signature(reply)
    if not any(line.strip() for line in reply):
        return Split(text.strip())
    return Split(_joined(reply), _joined(quoted), _joined(signature))


def _history(seen: list[str]) -> tuple[int, int, bool] | None:
    """(first line of the history, first line below its head, is it marked with ">").

    None: there is none, or the mail forwards something, which is then what it is about.
    """
    for place, line in enumerate(seen):
        if not line:
            continue
        if line.startswith(">"):
            return place, place, True
        if _is_ruler_of(line, _FORWARDED):
            return None
        if _is_ruler_of(line, _ORIGINAL) or _is_head(seen, place):
            return _with_ruler(seen, place), place, False
        length = _attribution(seen, place)
        if length:
            return place, place + length, _is_marked(seen, place + length)
    return None


def _is_ruler_of(line: str, words: tuple[str, ...]) -> bool:
    bare = line.strip("-_=* :")
    return bare != line and any(bare.startswith(word) for word in words)


def _with_ruler(seen: list[str], place: int) -> int:
    """A line of underscores over the head belongs to the history, too."""
    above = place - 1
    while above >= max(0, place - 2) and not seen[above]:
        above -= 1
    is_ruler = above >= 0 and len(seen[above]) >= 10 and not seen[above].strip("_-")
    return above if is_ruler else place


def _is_head(seen: list[str], place: int) -> bool:
    """Outlook's head of the mail below: From, then two of Sent, To, Subject in the next lines."""
    if not _bare(seen[place]).startswith(_FROM):
        return False
    following = [_bare(line) for line in seen[place + 1 : place + 8]]
    return sum(line.startswith(_OTHER) for line in following) >= 2


def _bare(line: str) -> str:
    return line.replace("*", "")


def _attribution(seen: list[str], place: int) -> int:
    """How many lines a "Kim wrote:" takes here; 0 = none."""
    line = seen[place]
    starts = line.startswith(_OPENERS) or line[:1].isdigit() or "<" in line or "wrote" in line
    if not starts and not any(verb in line for verb in _VERBS):
        return 0
    joined = ""
    for length in range(1, ATTRIBUTION_LINES + 1):
        if place + length > len(seen):
            break
        part = seen[place + length - 1]
        if not part or part.startswith(">"):
            break
        joined = f"{joined} {part}"[-LOOK:]
        if part.endswith(":"):
            has_date = any(mark.isdigit() for mark in joined) or "@" in joined
            said = any(verb in joined for verb in _VERBS)
            is_gmail = joined[1:2].isdigit() and "<" in joined and "@" in joined
            if (said and (has_date or _is_marked(seen, place + length))) or is_gmail:
                return length
            break
    return 0


def _is_marked(seen: list[str], place: int) -> bool:
    """Is the next line that is not empty a quoted one?"""
    for line in seen[place : place + 5]:
        if line:
            return line.startswith(">")
    return False


def _answers(lines: list[str], seen: list[str], below: int) -> tuple[list[str], list[str]]:
    """What was written below or between the quoted lines, and the rest.

    Between: the quotes stay with it, since an answer says nothing without its question.
    """
    marks = [line.startswith(">") for line in seen[below:]]
    texts = [bool(line) and not mark for line, mark in zip(seen[below:], marks, strict=True)]
    if not any(texts):
        return [], []
    runs = sum(mark and not (at and marks[at - 1]) for at, mark in enumerate(marks))
    last_quote = max(at for at, mark in enumerate(marks) if mark)
    if runs == 1 or not any(texts[:last_quote]):
        first_text = next(
            at for at in range(last_quote + 1, len(texts) + 1) if at == len(texts) or texts[at]
        )
        answer = lines[below + first_text :]
        if _is_signature_only(seen[below + first_text :]):
            return [], []
        return answer, lines[below : below + first_text]
    return lines[below:], []


def _is_signature_only(seen: list[str]) -> bool:
    first = next((line for line in seen if line), "")
    return first in ("--", "-- ") or first.startswith(_DEVICE)


def _signature(lines: list[str]) -> tuple[list[str], list[str]]:
    """RFC 3676 section 4.3: below a line of two dashes; or what a telephone adds at the end."""
    end = len(lines)
    while end and not lines[end - 1].strip():
        end -= 1
    for place in range(end - 1, max(-1, end - 1 - SIGNATURE_LINES), -1):
        line = lines[place][:LOOK]
        if line.rstrip() in ("--", "- --") and line[:1] == "-":
            return lines[:place], lines[place + 1 : end]
    if end and lines[end - 1][:LOOK].strip().lower().startswith(_DEVICE):
        return lines[: end - 1], lines[end - 1 : end]
    return lines[:end], []


def _joined(lines: list[str]) -> str:
    return "\n".join(line.rstrip() for line in lines).strip("\n")
