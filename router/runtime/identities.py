"""Which customer an address tells: the address in its one written form, and the keyed hash of it.

A phone number is the same customer on voice and SMS, however it was written; so what is hashed is
its *kind* and its written form: E.164 for phones (``phonenumbers``, Google's libphonenumber), lower
case and NFC for mailboxes, with their domain as DNS has it (``xn--``, RFC 5890), and as it came for
handles, which mean something on their own channel only. A customer who was never named otherwise is
called after their first address: ``p`` and its hash.

Earlier versions hashed a mailbox in the form in which it came. Whoever is known by the hash of such
a form keeps it: they are found by it, however their mailbox is written.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache, lru_cache
from unicodedata import normalize

import idna

from router.core.policy import IdentityKind, Policy
from router.journal.seal import Sealer

DIGITS_LEAST, DIGITS_MOST = 8, 15
"""Of an E.164 number that needs no parsing (ITU-T E.164 section 6: at most 15)."""
SHORT_CODE = 6
"""So few digits are a service number of the network (or none at all), not somebody's."""
HASH_CHARS = 32
ADDRESS_MOST = 320


class Identities:
    """The addresses of one workspace's customers."""

    def __init__(self, sealer: Sealer, known: Callable[[str], bool] = lambda _: False) -> None:
        self._hash = sealer.peer_key
        self._known = known
        """Whether something may be stored under this hash."""
        self._policy: Policy | None = None
        self._kinds: dict[str, str] = {}
        self._country = ""

    def use(self, policy: Policy) -> None:
        """Settings in force: what the channels' addresses are, and where national numbers lie."""
        if policy is self._policy:
            return
        self._policy = policy
        self._country = policy.country
        self._kinds = {
            channel.name: f"handle:{channel.name}"
            if channel.identity is IdentityKind.HANDLE
            else channel.identity.value
            for channel in policy.channels.values()
        }

    def kind(self, channel: str) -> str:
        """What an address on this channel is: ``phone``, ``email``, ``handle:<channel>``."""
        return self._kinds.get(channel) or f"handle:{channel}"

    def peer(self, channel: str, address: str, ours: str) -> tuple[str, str]:
        """The customer whom an address tells, and the key of (them, channel, our address).

        Both empty without an address; the first also for one that tells nobody ("anonymous"). Our
        own address is no personal data and stands in clear.
        """
        if not address:
            return "", ""
        kind = self.kind(channel)
        written = self.written(kind, address)
        who = self._stored(kind, written)
        told = f"p{who}" if kind != "phone" or written[:1] == "+" or _tells(written) else ""
        return told, f"{who}/{channel}/{ours}"

    def hash(self, kind: str, address: str) -> str:
        """The keyed hash of an address; the address need not be in its written form."""
        return self._stored(kind, self.written(kind, address))

    def written(self, kind: str, address: str) -> str:
        """The one form of an address: what is hashed, stored and shown."""
        if kind == "phone":
            size = len(address) - 1
            # Most come as E.164 already: a fiftieth of the time that parsing takes.
            if (
                DIGITS_LEAST <= size <= DIGITS_MOST
                and address[0] == "+"
                and address.isascii()
                and address[1:].isdigit()
                and address[1] != "0"
            ):
                return address
            return _phone(address, self._country)
        address = address.strip()
        if kind != "email":
            return address
        return address.lower() if address.isascii() else _mailbox(address)

    def _stored(self, kind: str, written: str) -> str:
        """The hash of a written address, or the one that an earlier version has made of it."""
        hash_ = self._hash(kind, written, "")
        if kind != "email" or (
            written.isascii() and "@xn--" not in written and ".xn--" not in written
        ):
            return hash_
        if not self._known(hash_):
            for form in _former(written):
                former = self._hash(kind, form, "")
                if self._known(former):
                    return former
        return hash_

    def kind_of(self, address: str) -> str:
        """What an address given without its channel is: a mailbox, or a phone number."""
        return "email" if "@" in address else "phone"


def derived_id(hash_: str) -> str:
    """The id of a customer who was never named otherwise."""
    return f"p{hash_}"


def hash_in(customer: str) -> str:
    """The hash in a derived id; empty for an id that somebody gave."""
    is_derived = len(customer) == HASH_CHARS + 1 and customer[0] == "p"
    return customer[1:] if is_derived and _is_hex(customer[1:]) else ""


def zones_of(number: str) -> tuple[str, ...]:
    """IANA zones in which this E.164 number may be; none = it does not tell."""
    return _zones(number)


@cache
def zones_in(country: str) -> tuple[str, ...]:
    """IANA zones of a country (ISO 3166); none for an unknown one."""
    import phonenumbers
    from phonenumbers import timezone

    code = phonenumbers.country_code_for_region(country) if country else 0
    if not code:
        return ()
    anybody = phonenumbers.PhoneNumber(country_code=code, national_number=0)
    return tuple(timezone.time_zones_for_geographical_number(anybody))


@lru_cache(maxsize=1024)
def _mailbox(address: str) -> str:
    """The one form of a mailbox that is not ASCII.

    RFC 6532 section 3.1: an accent is part of its letter, or a mark behind it. The domain by IDNA
    2008 (UTS 46, section 4), else 2003 (emoji); what is none by either stays as it is.
    """
    local, at, domain = normalize("NFC", address.lower()).rpartition("@")
    if at and not domain.isascii():
        try:
            domain = idna.encode(domain, uts46=True).decode()
        except UnicodeError:  # IDNAError is one
            with suppress(UnicodeError):
                domain = domain.encode("idna").decode()
    return f"{local}{at}{domain}"


@lru_cache(maxsize=1024)
def _former(written: str) -> tuple[str, ...]:
    """The other forms in which earlier versions may have hashed a mailbox."""
    local, at, domain = written.rpartition("@")
    domains = [domain]
    with suppress(UnicodeError):
        domains.append(idna.decode(domain))
    forms = (normalize(form, f"{local}{at}{d}") for d in domains for form in ("NFC", "NFD"))
    return tuple(form for form in dict.fromkeys(forms) if form != written)


def _tells(written: str) -> bool:
    """Does this text of a phone channel tell somebody? "anonymous" and its like do not."""
    return any(letter.isdigit() for letter in written) or "@" in written


def _is_hex(text: str) -> bool:
    return all(letter in "0123456789abcdef" for letter in text)


@lru_cache(maxsize=1024)
def _phone(address: str, country: str) -> str:
    """E.164 where it can be told; else the text without blanks, in lower case (a short code)."""
    import phonenumbers  # 90 ms: paid by the first number that needs it

    text = address.strip().removeprefix("tel:")
    digits = sum(letter.isdigit() for letter in text)
    if digits <= SHORT_CODE and text[:1] != "+":
        return "".join(text.lower().split())
    try:
        number = phonenumbers.parse(text, country or None)
    except phonenumbers.NumberParseException:
        return "".join(text.lower().split())
    if not phonenumbers.is_possible_number(number):
        return "".join(text.lower().split())
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


@cache
def _only_zones() -> dict[str, tuple[str, ...]]:
    """Country codes of countries with one zone: there a number need not be parsed for it."""
    from phonenumbers import COUNTRY_CODE_TO_REGION_CODE
    from phonenumbers.timezone import UNKNOWN_TIMEZONE
    from phonenumbers.tzdata import TIMEZONE_DATA

    found: dict[str, tuple[str, ...]] = {}
    for code in COUNTRY_CODE_TO_REGION_CODE:
        zones = TIMEZONE_DATA.get(str(code), ())
        if len(zones) == 1 and zones[0] != UNKNOWN_TIMEZONE:
            found[str(code)] = zones
    return found


@lru_cache(maxsize=4096)
def _zones(number: str) -> tuple[str, ...]:
    import phonenumbers
    from phonenumbers import timezone

    only = _only_zones() if number.startswith("+") else {}
    for digits in (1, 2, 3):  # of a country code: none begins with another (ITU-T E.164)
        zone = only.get(number[1 : 1 + digits])
        if zone is not None:
            return zone
    try:
        parsed = phonenumbers.parse(number, None)
    except phonenumbers.NumberParseException:
        return ()
    found = timezone.time_zones_for_number(parsed)
    if found == (timezone.UNKNOWN_TIMEZONE,):  # a number range that it does not know: its country
        found = timezone.time_zones_for_geographical_number(parsed)
    return tuple(zone for zone in found if zone != timezone.UNKNOWN_TIMEZONE)


@cache
def countries() -> frozenset[str]:
    """ISO 3166 codes of countries whose numbers can be read."""
    import phonenumbers

    return frozenset(phonenumbers.SUPPORTED_REGIONS)
