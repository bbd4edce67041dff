"""The peers' books against the desks' notes and the stream: what was lost, what came twice.

Peers, desks and stream know of each other only what went through the server: a text by the mark in
it, a caller by their number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from loadtest.lines.book import Book
from loadtest.runs.audit import Audit
from loadtest.runs.measures import Measures
from loadtest.runs.profile import CHANNEL
from loadtest.runs.writing import Notes

OF_CHANNEL = {
    "due": "customers who were due",
    "taken": "of them the peer got a sign that they have arrived",
    "gave_up": "callers who hung up before anybody was there",
    "turned_away": "callers whom the other side sent away",
    "contacts": "contacts that the stream has",
    "texts": "texts of customers that arrived, by their peer",
    "texts_unseen": "of them no desk has seen",
    "texts_doubled": "texts that are there twice",
    "contacts_doubled": "customers who became two contacts",
    "answers": "answers of agents that the server took",
    "answers_got": "of them at the customer's end, counted there",
    "answers_lost": "not there, and not said to have failed",
    "answers_doubled": "there twice",
    "answers_failed": "said to have failed, or unknown, and not there",
    "served": "callers who talked with an agent",
    "unheard": "calls put together in which not both heard each other",
    "rejected": "rings that the agent's phone refused",
    "ignored": "rings that nobody picked up",
    "faults": "what must not be, as the peer saw it",
}
"""Figures of a channel over a real protocol, counted at the peer."""
UNSETTLED = frozenset({"failed", "unknown", "undelivered"})


def read(
    books: Iterable[Book], notes: Notes, stream: Audit, measures: Measures
) -> tuple[dict[str, float], list[str]]:
    """Figures by name (``sms: answers_lost``), and what is wrong. Adds legs to `measures`."""
    found: dict[str, float] = {}
    wrong: list[str] = []
    for book in books:
        channel = CHANNEL[book.over]
        own = _counts(book, channel, notes, stream, measures)
        _legs(book, channel, notes, measures)
        found |= {f"{channel}: {name}": float(value) for name, value in own.items()}
        wrong += book.faults
        wrong += _wrong(channel, own, stream.live)
    return found, wrong


def _counts(
    book: Book, channel: str, notes: Notes, stream: Audit, measures: Measures
) -> dict[str, int]:
    by_address: dict[str, set[str]] = {}
    for offer in notes.offers:
        if offer.channel == channel:
            by_address.setdefault(offer.address, set()).add(offer.contact)
    own = {
        name: measures.total(f"{name}.{channel}")
        for name in ("due", "taken", "gave_up", "turned_away", "rejected", "ignored")
    }
    own["contacts"] = stream.received.get(channel, 0)
    own["contacts_doubled"] = sum(len(contacts) > 1 for contacts in by_address.values())
    own["faults"] = len(book.faults)
    if book.over == "sip":
        talked = [call for call in book.calls.values() if call.picked_s]
        own["served"] = len(talked)
        own["unheard"] = sum(call.is_silent for call in talked)
        return own
    heard = Counter(notes.heard.values())
    arrived = [mark for mark, is_there in book.sent.items() if is_there]
    own["texts"] = len(arrived)
    own["texts_unseen"] = sum(not heard[mark] for mark in arrived)
    own["texts_doubled"] = sum(heard[mark] > 1 for mark in book.sent)
    wrote = {message: mark for message, (where, mark) in notes.wrote.items() if where == channel}
    own["answers"] = len(wrote)
    own["answers_got"] = sum(book.got.get(mark, 0) > 0 for mark in wrote.values())
    own["answers_doubled"] = sum(count > 1 for count in book.got.values())
    missing = [message for message, mark in wrote.items() if not book.got.get(mark)]
    failed = sum(stream.settled.get(message) in UNSETTLED for message in missing)
    own["answers_failed"] = failed
    own["answers_lost"] = len(missing) - failed
    return own


def _wrong(channel: str, own: dict[str, int], live: int) -> list[str]:
    """Contradictions in words; who is still waiting at the end is not lost."""
    names = ("texts_doubled", "contacts_doubled", "answers_lost", "answers_doubled", "unheard")
    found = [
        f"{channel}: {own[name]} {name}: {OF_CHANNEL[name]}" for name in names if own.get(name)
    ]
    if own.get("texts_unseen", 0) > live:
        found.append(f"{channel}: {own['texts_unseen']} texts_unseen, {live} contacts are live")
    if own["contacts"] > own["due"]:
        found.append(f"{channel}: {own['contacts']} contacts of {own['due']} customers")
    return found


def _legs(book: Book, channel: str, notes: Notes, measures: Measures) -> None:
    """From a customer's end to the desk and the phone, where the agent was free."""
    seen: set[str] = set()
    for offer in sorted(notes.offers, key=lambda one: one.seen_s):
        due_s = book.due.get(offer.address)
        if offer.channel != channel or due_s is None or offer.address in seen:
            continue
        seen.add(offer.address)
        if offer.is_free:
            measures.record(f"offer.{channel}", due_s, offer.seen_s)
            call = book.calls.get(offer.address)
            if call is not None and call.rung_s:
                measures.record(f"rings.{channel}", due_s, call.rung_s)
