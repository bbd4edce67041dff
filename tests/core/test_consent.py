"""Consent, do-not-contact and keywords: what was said last counts, and no objection is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from router.core.consent import (
    MOST_CONSENTS,
    Keyword,
    Listener,
    block,
    mode_of,
    renewed,
    statement,
    with_block,
    with_consent,
    without_block,
)
from router.core.permission_facts import Consent, ConsentState, DoNotContact
from router.core.permission_policy import ConsentMode, ConsentRule, ContactPolicy, Keywords
from router.errors import Refused

GIVEN, WITHDRAWN = ConsentState.GIVEN, ConsentState.WITHDRAWN
LISTENER = Listener(Keywords())


def said(state: ConsentState, at_us: int, *scope: str) -> Consent:
    channel, address, purpose = (*scope, "", "", "")[:3]
    return Consent(state=state, at_us=at_us, channel=channel, address=address, purpose=purpose)


# --- consent ----------------------------------------------------------------------------------


def test_nothing_said_is_no_statement() -> None:
    assert statement((), "sms", "a", "marketing") is None
    other = (said(GIVEN, 1, "email"), said(GIVEN, 1, "", "b"), said(GIVEN, 1, "", "", "service"))
    assert statement(other, "sms", "a", "marketing") is None


def test_the_latest_statement_that_covers_the_question_counts() -> None:
    everything = said(WITHDRAWN, 2)
    narrow = said(GIVEN, 3, "sms", "", "marketing")
    consents = (said(GIVEN, 1, "sms", "a", "marketing"), everything, narrow)
    assert statement(consents, "sms", "a", "marketing") == narrow
    assert statement(consents, "email", "a", "marketing") == everything


def test_of_two_statements_at_one_moment_the_withdrawal_counts() -> None:
    for pair in ((GIVEN, WITHDRAWN), (WITHDRAWN, GIVEN)):
        consents: tuple[Consent, ...] = ()
        for state in pair:
            consents = with_consent(consents, said(state, 5, "sms"))
        found = statement(consents, "sms", "a", "marketing")
        assert found is not None
        assert found.state is WITHDRAWN


scopes = st.tuples(
    st.sampled_from(("", "sms", "voice")),
    st.sampled_from(("", "a", "b")),
    st.sampled_from(("", "marketing", "service")),
)
statements = st.builds(
    lambda state, at_us, scope: said(state, at_us, *scope),
    st.sampled_from((GIVEN, WITHDRAWN)),
    st.integers(0, 6),
    scopes,
)


@given(st.lists(statements, max_size=12))
def test_what_is_dropped_would_never_have_counted(history: list[Consent]) -> None:
    kept: tuple[Consent, ...] = ()
    for consent in history:
        kept = with_consent(kept, consent)
    assert len({(c.channel, c.address, c.purpose) for c in kept}) == len(kept)
    for channel in ("sms", "voice", "chat"):
        for address in ("a", "b", "c"):
            for purpose in ("marketing", "service", "survey"):
                covering = [
                    c
                    for c in history
                    if c.channel in ("", channel)
                    and c.address in ("", address)
                    and c.purpose in ("", purpose)
                ]
                naive = max(covering, key=lambda c: (c.at_us, c.state is WITHDRAWN), default=None)
                found = statement(kept, channel, address, purpose)
                assert (found and (found.at_us, found.state)) == (
                    naive and (naive.at_us, naive.state)
                )


def test_consent_is_bounded_and_a_withdrawal_is_taken_all_the_same() -> None:
    full = tuple(said(GIVEN, 1, "sms", f"a{n}") for n in range(MOST_CONSENTS))
    with pytest.raises(Refused) as caught:
        with_consent(full, said(GIVEN, 2, "sms", "one more"))
    assert caught.value.code == "too_many_consents"
    after = with_consent(full, said(WITHDRAWN, 2, "sms", "one more"))
    assert len(after) == MOST_CONSENTS + 1
    assert with_consent(full, said(WITHDRAWN, 2)) == (said(WITHDRAWN, 2),)


def test_the_first_rule_that_applies_says_what_silence_means() -> None:
    policy = ContactPolicy(
        consent=(
            ConsentRule(mode=ConsentMode.OPT_IN, channels=("voice",), purposes=("survey",)),
            ConsentRule(mode=ConsentMode.OPT_OUT, purposes=("survey", "service")),
            ConsentRule(mode=ConsentMode.OPT_IN, purposes=("service",)),
        ),
        consent_otherwise=ConsentMode.OPT_IN,
    )
    assert mode_of(policy, "voice", "survey") is ConsentMode.OPT_IN
    assert mode_of(policy, "sms", "survey") is ConsentMode.OPT_OUT
    assert mode_of(policy, "voice", "service") is ConsentMode.OPT_OUT
    assert mode_of(policy, "voice", "anything new") is ConsentMode.OPT_IN


# --- do not contact ---------------------------------------------------------------------------


def dnc(channel: str = "", address: str = "", asked_from: str = "", at_us: int = 1) -> DoNotContact:
    return DoNotContact(at_us=at_us, channel=channel, address=address, asked_from=asked_from)


@pytest.mark.parametrize(
    ("entry", "stands"),
    [
        (dnc(), True),
        (dnc("sms"), True),
        (dnc("voice"), False),
        (dnc("", "a"), True),
        (dnc("", "b"), False),
        (dnc("sms", "a"), True),
        (dnc("sms", "b"), False),
        (dnc("voice", "a"), False),
    ],
)
def test_a_block_stands_for_all_one_channel_one_address_or_both(
    entry: DoNotContact, stands: bool
) -> None:
    assert (block((entry,), "sms", "a") is not None) is stands


def test_the_widest_block_is_named() -> None:
    assert block((dnc("sms", "a"), dnc("sms"), dnc("", "", "a")), "sms", "a") == dnc("", "", "a")
    assert block((), "sms", "a") is None


def test_a_block_asked_for_twice_is_one_and_a_person_lifts_exactly_its_scope() -> None:
    blocks = with_block(with_block((dnc("sms"),), dnc("sms", at_us=9)), dnc())
    assert blocks == (dnc("sms", at_us=9), dnc()), "what was asked last counts"
    assert without_block(blocks, "", "") == (dnc("sms", at_us=9),)
    assert without_block(blocks, "voice", "") == blocks
    assert without_block((dnc("sms", "a", "a"), dnc("sms", "a")), "sms", "a") == ()


# --- keywords ---------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["STOP", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE"])
@pytest.mark.parametrize(
    "form", ["{}", " {}\n", "{}.", "«{}!!»", "{} ✋🏽", "{}\ufe0f", "\u200b{}"]
)
def test_a_keyword_alone_is_heard_whatever_stands_around_it(word: str, form: str) -> None:
    for text in (word, word.lower(), word.title()):
        assert LISTENER.keyword("sms", form.format(text)) == (Keyword.STOP, word)


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        ("STOPALL", Keyword.STOP_ALL),
        ("Stop all", Keyword.STOP_ALL),
        ("opt-out", Keyword.STOP),
        ("OptOut", Keyword.STOP),
        ("ｓｔｏｐ", Keyword.STOP),
        ("start", Keyword.START),
        ("Unstop.", Keyword.START),
    ],
)
def test_spaces_hyphens_and_wide_letters_do_not_hide_a_keyword(text: str, heard: Keyword) -> None:
    found = LISTENER.keyword("sms", text)
    assert found is not None
    assert found[0] is heard


@pytest.mark.parametrize(
    "text",
    [
        "",
        "!!!",
        "please stop",
        "stop it",
        "When does it end?",
        "stopping",
        "sto",
        "1stop",
        "restart",
    ],
)
def test_any_other_word_makes_it_an_ordinary_message(text: str) -> None:
    assert LISTENER.keyword("sms", text) is None


def test_keywords_are_heard_only_on_their_channels() -> None:
    assert LISTENER.keyword("chat", "end") is None
    assert Listener(Keywords(channels=("chat",))).keyword("chat", "end") == (Keyword.STOP, "END")


@pytest.mark.parametrize(
    ("word", "texts", "others"),
    [
        ("ARRÊT", ("arret", "Arrêt !", "ARRE\u0302T"), ("arrêter",)),
        ("СТОП", ("стоп", "Стоп."), ("стопа",)),
        ("İPTAL", ("iptal", "İptal", "IPTAL"), ("iptali",)),
        ("रोकें", ("रोकें", " रोकें।"), ("रक", "रोक")),
        ("退订", ("退订", "退订。"), ("退",)),
        ("停止", ("停止",), ("不停止",)),
        ("Straße", ("STRASSE", "strasse"), ("strase",)),
    ],
)
def test_translations_are_heard_with_the_same_tolerance(
    word: str, texts: tuple[str, ...], others: tuple[str, ...]
) -> None:
    listener = Listener(Keywords(stop=("STOP", word)))
    assert listener.findings == []
    for text in texts:
        assert listener.keyword("sms", text) == (Keyword.STOP, word)
    for text in others:
        assert listener.keyword("sms", text) is None


def test_a_long_message_is_read_no_further_than_needed() -> None:
    class Watched(str):
        __slots__ = ()
        read = 0

        def __iter__(self):  # type: ignore[no-untyped-def]
            for letter in super().__iter__():
                Watched.read += 1
                yield letter

    assert LISTENER.keyword("sms", Watched("stop" * 10_000)) is None
    assert Watched.read < 50


def test_keywords_that_say_nothing_or_two_things_are_found() -> None:
    listener = Listener(Keywords(stop=("STOP", "!!"), start=("Start", "stop.")))
    assert listener.findings == [
        "keyword: expected letters or digits, got '!!'",
        "keyword 'stop.': expected under one of stop, stop_all and start, "
        "got it under stop and start",
    ]


def test_stop_blocks_this_address_on_this_channel_and_start_takes_it_back() -> None:
    heard = LISTENER.hear((), "sms", "a", "Stop!", 7)
    assert heard is not None
    (entry,) = heard.do_not_contact
    assert entry == DoNotContact(
        at_us=7, channel="sms", address="a", source="keyword STOP on sms", asked_from="a"
    )
    again = LISTENER.hear(heard.do_not_contact, "sms", "a", "quit", 9)
    assert again is not None
    assert again.do_not_contact == (replace(entry, at_us=9, source="keyword QUIT on sms"),)
    back = LISTENER.hear(heard.do_not_contact, "sms", "a", "START", 8)
    assert back is not None
    assert (back.keyword, back.do_not_contact) == (Keyword.START, ())
    assert LISTENER.hear((), "sms", "a", "hello", 7) is None


def test_stop_all_blocks_everything_until_the_same_address_says_start() -> None:
    heard = LISTENER.hear((), "sms", "a", "stop all", 7)
    assert heard is not None
    assert block(heard.do_not_contact, "email", "b") is not None
    elsewhere = LISTENER.hear(heard.do_not_contact, "sms", "b", "start", 8)
    assert elsewhere is not None
    assert elsewhere.do_not_contact == heard.do_not_contact
    same = LISTENER.hear(heard.do_not_contact, "sms", "a", "start", 8)
    assert same is not None
    assert same.do_not_contact == ()


def test_start_does_not_lift_what_people_have_set() -> None:
    blocks = (dnc("sms", "a"), dnc())
    heard = LISTENER.hear(blocks, "sms", "a", "start", 8)
    assert heard is not None
    assert heard.do_not_contact == blocks


# --- consent for exactly one address, after an objection for it ---------------------------------


@pytest.mark.parametrize(
    ("entry", "consent", "ends"),
    [
        (dnc("sms", "a"), said(GIVEN, 2, "sms", "a"), True),
        (dnc("sms", "a"), said(GIVEN, 2, "", "a"), True),
        (dnc("sms", "a"), said(GIVEN, 2, "sms", "a", "service"), True),
        (dnc("sms", "a", "a"), said(GIVEN, 2, "sms", "a"), True),
        (dnc("", "a"), said(GIVEN, 2, "sms", "a"), True),
        (dnc("sms", "a"), said(GIVEN, 1, "sms", "a"), False),
        (dnc("sms", "a"), said(GIVEN, 2, "voice", "a"), False),
        (dnc("sms", "a"), said(GIVEN, 2, "sms", "a", "marketing"), False),
    ],
)
def test_later_consent_for_exactly_that_address_ends_an_objection_for_what_it_covers(
    entry: DoNotContact, consent: Consent, ends: bool
) -> None:
    left = renewed(entry, consent)
    blocks = () if left is None else (left,)
    assert (block(blocks, "sms", "a", "service") is None) is ends
    # What the consent does not cover stays blocked.
    if entry.channel == "" and consent.channel:
        assert block(blocks, "voice", "a", "service") is not None
    if consent.purpose:
        assert block(blocks, "sms", "a", "survey") is not None


def test_who_objects_again_after_consent_has_objected() -> None:
    left = renewed(dnc("sms", "a"), said(GIVEN, 2, "sms", "a", "service"))
    assert left is not None
    assert block((left,), "sms", "a", "service") is None
    again = with_block((left,), dnc("sms", "a", at_us=3))
    assert block(again, "sms", "a", "service") is not None
