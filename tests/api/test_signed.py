"""What one node signs for another: taken as it was said, and nothing that a stranger makes up."""

from __future__ import annotations

import pytest

from router.api.desk import Memories
from router.api.hops import Hop, Hops
from router.runtime.clock import ManualClock

SECRET = b"secret of the tests, 32 bytes..."
NOW_US = 1_800_000_000_000_000


def test_a_hop_says_who_asked_and_is_good_for_its_path_alone() -> None:
    hops = Hops(SECRET, ManualClock(NOW_US), "node a")
    header = hops.sign("GET", "/v1/contacts?limit=1", "192.0.2.7")
    assert hops.read(header, "GET", "/v1/contacts?limit=1") == Hop("node_a", "192.0.2.7")
    assert hops.read(header, "GET", "/v1/contacts") is None
    assert hops.read(header, "POST", "/v1/contacts?limit=1") is None
    later = Hops(SECRET, ManualClock(NOW_US + 61_000_000), "b")
    assert later.read(header, "GET", "/v1/contacts?limit=1") is None


@pytest.mark.parametrize(
    "header",
    ["", "x", "1 x - ", "1 n a \udcff", "1 n a é", "1 \udcff a b", "٣ n a b", "1" * 19 + " n a b"],
)
def test_a_hop_that_nobody_signed_is_none_whatever_its_letters(header: str) -> None:
    # aiohttp hands over octets beyond UTF-8 as lone surrogates
    assert Hops(SECRET, ManualClock(NOW_US), "a").read(header, "GET", "/") is None


@pytest.mark.parametrize("resume", ["s1.5.é", "s1.5.", "é.5.ab", "s1.٣.ab", "....", "s1"])
def test_a_desk_that_makes_up_what_it_resumes_by_begins_anew(resume: str) -> None:
    memory, resumed = Memories(SECRET).take(resume, "t1", NOW_US)
    assert not resumed
    again, resumed = Memories(SECRET).take(memory.resume, "t1", NOW_US)  # at another node
    assert resumed
    assert again.session == memory.session
    assert not Memories(SECRET).take(memory.resume, "t2", NOW_US)[1], "another's"
