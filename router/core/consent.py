"""Whether a customer's word lets us contact them: consent, do-not-contact, and keywords like STOP.

Two kinds of statement, kept apart because they end differently. *Consent* is given and withdrawn
per channel, address and purpose; the latest statement that covers the question counts, and silence
means what the workspace's mode says. *Do-not-contact* blocks every purpose until it is lifted: what
people have set, people lift; what a keyword has set, START from the same address lifts. What was
said of one address ends for all to which consent for exactly that address is given later.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from enum import StrEnum

from msgspec.structs import replace

from router.core.permission_facts import Consent, ConsentState, DoNotContact
from router.core.permission_policy import ConsentMode, ContactPolicy, Keywords, applies
from router.core.record import Value
from router.errors import Refused

MOST_CONSENTS = 256
"""Statements kept of one customer. A withdrawal is taken all the same."""


class Keyword(StrEnum):
    """What a keyword asks for."""

    STOP = "stop"
    STOP_ALL = "stop_all"
    START = "start"


class Heard(Value, kw_only=True):
    """A keyword was the whole message; `do_not_contact` is what holds from now on."""

    keyword: Keyword
    word: str
    """As configured, for the record."""
    do_not_contact: tuple[DoNotContact, ...]


def mode_of(policy: ContactPolicy, channel: str, purpose: str) -> ConsentMode:
    """What silence means on this channel for this purpose."""
    for rule in policy.consent:
        if applies(rule.channels, rule.purposes, channel, purpose):
            return rule.mode
    return policy.consent_otherwise


def statement(
    consents: Iterable[Consent], channel: str, address: str, purpose: str
) -> Consent | None:
    """The latest statement that covers this question, None = nothing was said.

    Of two at the same moment the withdrawal counts.
    """
    found: Consent | None = None
    for consent in consents:
        if not (
            consent.channel in ("", channel)
            and consent.address in ("", address)
            and consent.purpose in ("", purpose)
        ):
            continue
        if found is None or _later(consent, found):
            found = consent
    return found


def with_consent(consents: tuple[Consent, ...], said: Consent) -> tuple[Consent, ...]:
    """The statements after one more; those that can no longer count are dropped.

    Raises Refused (`too_many_consents`) where the customer has `MOST_CONSENTS` already; never for a
    withdrawal.
    """
    if any(_covers(old, said) and not _later(said, old) for old in consents):
        return consents
    kept = tuple(old for old in consents if not _covers(said, old) or _later(old, said))
    if said.state is ConsentState.GIVEN and len(kept) >= MOST_CONSENTS:
        raise Refused(
            "too_many_consents",
            f"expected at most {MOST_CONSENTS} statements for one customer, got one more",
        )
    return (*kept, said)


def block(
    blocks: Iterable[DoNotContact], channel: str, address: str, purpose: str = ""
) -> DoNotContact | None:
    """The widest do-not-contact that stands against this address on this channel."""
    standing = [
        entry
        for entry in blocks
        if entry.channel in ("", channel)
        and entry.address in ("", address)
        and not any(c in ("", channel) and p in ("", purpose) for c, p in entry.renewed)
    ]
    return min(
        standing,
        key=lambda entry: (bool(entry.channel) + bool(entry.address), entry.at_us),
        default=None,
    )


def with_block(blocks: tuple[DoNotContact, ...], new: DoNotContact) -> tuple[DoNotContact, ...]:
    """The blocks after one more; asked twice, the later counts: consent may lie in between."""
    for place, old in enumerate(blocks):
        if same_block(old, new):
            later = new if new.at_us >= old.at_us else old
            return (*blocks[:place], later, *blocks[place + 1 :])
    return (*blocks, new)


def renewed(entry: DoNotContact, said: Consent) -> DoNotContact | None:
    """What is left of a block of one address after consent for exactly that; None = nothing."""
    covers_channel = said.channel in ("", entry.channel)
    if said.at_us <= entry.at_us or not (covers_channel or not entry.channel):
        return entry
    if covers_channel and not said.purpose:
        return None
    others = (pair for pair in entry.renewed if pair != (said.channel, said.purpose))
    return replace(entry, renewed=(*others, (said.channel, said.purpose)))


def without_block(
    blocks: tuple[DoNotContact, ...], channel: str, address: str
) -> tuple[DoNotContact, ...]:
    """The blocks after a person has lifted that of exactly this scope, whoever asked for it."""
    return tuple(old for old in blocks if (old.channel, old.address) != (channel, address))


class Listener:
    """Recognises keywords in messages."""

    def __init__(self, keywords: Keywords) -> None:
        self._channels = keywords.channels
        self._words: dict[str, tuple[Keyword, str]] = {}
        self.findings: list[str] = []
        """What is wrong with the lists; the keywords are compiled all the same."""
        for kind, words in (
            (Keyword.STOP_ALL, keywords.stop_all),
            (Keyword.STOP, keywords.stop),
            (Keyword.START, keywords.start),
        ):
            for word in words:
                self._add(kind, word)
        self._longest = max(map(len, self._words), default=0)

    def keyword(self, channel: str, text: str) -> tuple[Keyword, str] | None:
        """The keyword that is the whole message, None = it is an ordinary message.

        Case, accents, spaces, punctuation and emoji do not matter; any other word does. Looks at no
        more of a long message than it must.
        """
        if channel not in self._channels:
            return None
        letters = ""
        for letter in _letters(text):
            letters += letter
            if len(letters) > self._longest:
                return None
        return self._words.get(letters)

    def hear(
        self,
        blocks: tuple[DoNotContact, ...],
        channel: str,
        address: str,
        text: str,
        at_us: int,
    ) -> Heard | None:
        """What a customer's message changes; None = it holds no keyword.

        Consent stays as it was: after START counts what was said before STOP.
        """
        found = self.keyword(channel, text)
        if found is None:
            return None
        kind, word = found
        if kind is Keyword.START:
            after = tuple(
                old
                for old in blocks
                if old.asked_from != address or old.channel not in ("", channel)
            )
        else:
            everywhere = kind is Keyword.STOP_ALL
            after = with_block(
                blocks,
                DoNotContact(
                    at_us=at_us,
                    channel="" if everywhere else channel,
                    address="" if everywhere else address,
                    source=f"keyword {word} on {channel}",
                    asked_from=address,
                ),
            )
        return Heard(keyword=kind, word=word, do_not_contact=after)

    def _add(self, kind: Keyword, word: str) -> None:
        letters = "".join(_letters(word))
        before = self._words.get(letters)
        if not letters:
            self.findings.append(f"keyword: expected letters or digits, got {word!r}")
        elif before is not None and before[0] is not kind:
            self.findings.append(
                f"keyword {word!r}: expected under one of stop, stop_all and start, "
                f"got it under {before[0].value} and {kind.value}"
            )
        else:
            self._words[letters] = (kind, word)


def _later(one: Consent, other: Consent) -> bool:
    withdrawn = ConsentState.WITHDRAWN
    return (one.at_us, one.state is withdrawn) > (other.at_us, other.state is withdrawn)


def _covers(wide: Consent, narrow: Consent) -> bool:
    return (
        wide.channel in ("", narrow.channel)
        and wide.address in ("", narrow.address)
        and wide.purpose in ("", narrow.purpose)
    )


def same_block(one: DoNotContact, other: DoNotContact) -> bool:
    """Whether the two say the same, at whatever moment."""
    return (one.channel, one.address, one.asked_from) == (
        other.channel,
        other.address,
        other.asked_from,
    )


def _letters(text: str) -> Iterator[str]:
    """Letters, digits and the marks that change a word; accents of European scripts do not."""
    for given in text:
        for letter in unicodedata.normalize("NFKD", given.casefold()):
            kind = unicodedata.category(letter)
            # Classes from 200 on are accents above and below; vowel signs and viramas are lower.
            # U+FE00-FE0F choose how an emoji is drawn.
            if (
                kind[0] in "LNM"
                and kind != "Me"
                and unicodedata.combining(letter) < 200
                and not "\ufe00" <= letter <= "\ufe0f"
            ):
                yield letter
