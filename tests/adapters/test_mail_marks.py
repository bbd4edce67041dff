"""Marks in subjects: who may write into a conversation with one, and under what name."""

from __future__ import annotations

import pytest

from adapters.mail.tokens import Signer

KIM, EVE = "kim@customer.example", "eve@evil.example"
OLD = "[#tnbb4ciyskk2grtbadrg]"
"""Kim's thread of the mail first@a, as marks were written before they said to whom they went."""


@pytest.fixture
def signer() -> Signer:
    return Signer(b"x" * 32, "mail")


def test_a_mark_says_which_thread_and_to_whom_it_was_given(signer: Signer) -> None:
    thread = signer.thread("first@a", KIM)
    mark = signer.subject_mark(thread, signer.who(KIM))
    for subject in (
        f"Re: dead {mark}",
        f"AW: {mark.upper()} x",
        f"[#1234] {mark}",
        f"{mark}{mark}",
    ):
        assert signer.in_subject(subject) == (thread, signer.who(KIM))


def test_a_mark_of_before_is_read_and_is_nobodys(signer: Signer) -> None:
    assert signer.in_subject(f"Re: dead {OLD}") == (signer.thread("first@a", KIM), "")


def test_no_part_of_a_mark_can_be_changed_or_swapped(signer: Signer) -> None:
    thread, other = signer.thread("first@a", KIM), signer.thread("second@a", KIM)
    mark = signer.subject_mark(thread, signer.who(KIM))
    theirs = signer.subject_mark(other, signer.who(EVE))
    for place in range(2, len(mark) - 1):
        letter = "a" if mark[place] != "a" else "b"
        assert signer.in_subject(mark[:place] + letter + mark[place + 1 :]) == ("", "")
    check = mark[-9:-1]
    for forged in (
        f"[#{thread}{signer.who(EVE)}{check}]",  # given to somebody else
        f"[#{thread}{check}]",  # given to nobody, with the check of one that was given
        f"[#{other}{signer.who(KIM)}{check}]",  # another thread
        f"[#{thread}{signer.who(KIM)}{theirs[-9:-1]}]",
        f"[#{thread}{signer.who(KIM)}]",
        f"[#{thread}]",
        "[#]",
        "[#",
        "[#" + "\udcff" * 26 + "]",
    ):
        assert signer.in_subject(forged) == ("", "")
    assert Signer(b"y" * 32, "mail").in_subject(mark) == ("", "")
    assert Signer(b"x" * 32, "other mailbox").in_subject(mark) == ("", "")


def test_a_subject_full_of_guesses_is_not_worked_through(signer: Signer) -> None:
    mark = signer.subject_mark(signer.thread("first@a", KIM), signer.who(KIM))
    assert signer.in_subject("[#x]" * 4 + mark) == ("", "")
    assert signer.in_subject("[#x]" * 3 + mark) != ("", "")
