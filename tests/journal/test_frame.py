"""Frames and rows as stored: whatever is changed in them is seen."""

from __future__ import annotations

import msgpack
import pytest

from router.errors import JournalDamaged
from router.journal import Commit
from router.journal.frame import (
    DIGEST_BYTES,
    GENESIS,
    file_name,
    guard_row,
    holds,
    link,
    open_row,
    open_rows,
    pack_frame,
    prefix_end,
    split,
    unpack_frame,
)

FIRST = Commit(1, 10, [b"one", b"two"])
SECOND = Commit(3, 20, [b"three"])


def test_a_frame_comes_back_as_it_was() -> None:
    frame = unpack_frame("w", 1, pack_frame(FIRST, GENESIS))
    assert (frame.first_seq, frame.at_us, frame.last_seq) == (1, 10, 2)
    assert frame.events == [b"one", b"two"]


def test_any_msgpack_reader_can_show_a_frame() -> None:
    stored = pack_frame(FIRST, GENESIS)
    body = msgpack.unpackb(stored[:-DIGEST_BYTES])
    assert body == [1, 1, 10, GENESIS, [b"one", b"two"]]


def test_every_flipped_bit_of_a_frame_is_seen() -> None:
    stored = pack_frame(FIRST, GENESIS)
    for bit in range(8 * len(stored)):
        damaged = bytearray(stored)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(JournalDamaged, match="workspace 'w': frame 1 of the log"):
            unpack_frame("w", 1, bytes(damaged))


def test_every_cut_of_a_frame_is_seen() -> None:
    stored = pack_frame(FIRST, GENESIS)
    for length in range(len(stored)):
        with pytest.raises(JournalDamaged):
            unpack_frame("w", 1, stored[:length])


def test_a_frame_under_another_number_is_seen() -> None:
    with pytest.raises(JournalDamaged, match="it says that it is frame 1"):
        unpack_frame("w", 2, pack_frame(FIRST, GENESIS))


def test_a_missing_or_exchanged_frame_breaks_the_chain() -> None:
    one = unpack_frame("w", 1, pack_frame(FIRST, GENESIS))
    two = unpack_frame("w", 3, pack_frame(SECOND, one.digest))
    link("w", None, one)
    link("w", one, two)
    link("w", None, two)  # the part before was trimmed
    third = unpack_frame("w", 4, pack_frame(Commit(4, 30, [b"four"]), two.digest))
    with pytest.raises(JournalDamaged, match="expected frame 3 after frame 1"):
        link("w", one, third)
    other = unpack_frame("w", 1, pack_frame(Commit(1, 10, [b"one", b"TWO"]), GENESIS))
    with pytest.raises(JournalDamaged, match="follows another frame"):
        link("w", other, two)
    with pytest.raises(JournalDamaged, match="must not follow"):
        link("w", None, unpack_frame("w", 1, pack_frame(FIRST, one.digest)))


def test_a_stored_frame_is_compared_by_content() -> None:
    stored = pack_frame(FIRST, b"x" * DIGEST_BYTES)
    assert holds("w", stored, FIRST)
    assert not holds("w", stored, Commit(1, 11, FIRST.events))
    assert not holds("w", stored, Commit(1, 10, [b"one"]))


def test_every_flipped_bit_of_a_row_is_seen() -> None:
    stored = guard_row("contact", "c1", b"data")
    assert open_row("w", "live", "contact", "c1", stored) == b"data"
    for bit in range(8 * len(stored)):
        damaged = bytearray(stored)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(JournalDamaged, match="workspace 'w': live row contact 'c1'"):
            open_row("w", "live", "contact", "c1", bytes(damaged))


@pytest.mark.parametrize(
    ("kind", "id_", "at_us"), [("agent", "c1", 5), ("contact", "c2", 5), ("contact", "c1", 6)]
)
def test_a_row_under_another_name_is_seen(kind: str, id_: str, at_us: int) -> None:
    stored = guard_row("contact", "c1", b"data", 5)
    with pytest.raises(JournalDamaged):
        open_row("w", "archive", kind, id_, stored, at_us)


def test_a_row_of_nothing_is_seen() -> None:
    with pytest.raises(JournalDamaged):
        open_row("w", "live", "contact", "c1", b"")


@pytest.mark.parametrize("prefix", ["a", "a/", "ü", "\ud7ff", "a\U0010ffff", "~", "\x7f"])
def test_the_end_of_a_prefix_is_just_above_all_that_start_with_it(prefix: str) -> None:
    end = prefix_end(prefix)
    assert end is not None
    for tail in ("", "a", "\U0010ffff", "\U0010ffff\U0010ffff"):
        assert (prefix + tail).encode() < end.encode()
        assert prefix + tail < end
    assert not end.startswith(prefix)


def test_some_prefixes_have_no_end() -> None:
    assert prefix_end("") is None
    assert prefix_end("\U0010ffff") is None


def test_names_of_files_differ_as_workspaces_do() -> None:
    names = ["a", "a/b", "a%2Fb", "..", "{a}", "a:b", "ü"]
    assert len({file_name(name) for name in names}) == len(names)
    assert not any("/" in file_name(name) or "{" in file_name(name) for name in names)


def test_rows_are_taken_in_the_largest_pieces_that_fit() -> None:
    assert split(range(100), (64, 16, 4, 1)) == [64, 16, 16, 4]
    assert split([], (4, 1)) == []
    assert sum(split(range(10_007), (256, 64, 16, 4, 1))) == 10_007


def test_many_rows_are_opened_as_each_by_itself() -> None:
    named = [("contact", "c1", b"one"), ("agent", "\u00e4na", b""), ("contact", "", bytes(300))]
    named += [("totals", "", b"x"), ("contact", "c\0", b"\xff\0")]
    stored = [(kind, id_, guard_row(kind, id_, data)) for kind, id_, data in named]
    assert open_rows("w", stored) == named
    assert [open_row("w", "live", *row) for row in stored] == [data for _, _, data in named]


def test_every_flipped_bit_of_a_row_among_many_is_seen() -> None:
    good = ("contact", "c1", guard_row("contact", "c1", b"one"))
    for bit in range(8 * len(good[2])):
        damaged = bytearray(good[2])
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(JournalDamaged, match="workspace 'w': live row contact 'c1'"):
            open_rows("w", [good, ("contact", "c1", bytes(damaged)), good])
    for moved in (("contact", "c2", good[2]), ("contacts", "c1", good[2]), ("agent", "c1", b"")):
        with pytest.raises(JournalDamaged):
            open_rows("w", [good, moved])
