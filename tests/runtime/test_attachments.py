"""What a file is called, what it is taken for, and when it goes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from router.errors import StoreFull
from router.runtime import attachments
from router.runtime.attachments import Attachments, Entry, clean_name, entries, sniffed


def below(directory: Path) -> list[Path]:
    return sorted(directory.glob("??/*"))


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\kim\\photo.jpg", "photo.jpg"),
        ("evil\u202egpj.exe", "evilgpj.exe"),
        ('a"b\r\nSet-Cookie: x.txt', "a'bSet-Cookie: x.txt"),
        ("...", "file"),
        ("", "file"),
        ("Rechnung für März.pdf", "Rechnung für März.pdf"),
        ("x" * 500 + ".pdf", "x" * 108 + ".pdf"),
        ("\0\x1b[2J.txt", "[2J.txt"),
    ],
)
def test_a_name_is_only_a_name(given: str, kept: str) -> None:
    assert clean_name(given) == kept


@pytest.mark.parametrize(
    ("data", "declared", "type_"),
    [
        (b"\x89PNG\r\n\x1a\n....", "text/html", "image/png"),
        (b"GIF89a/*<script>*/", "image/gif", "image/gif"),
        (b"<html><script>alert(1)</script>", "text/html", "text/plain"),
        (b"<svg onload=alert(1)>", "image/svg+xml", "application/octet-stream"),
        (b"%PDF-1.7", "", "application/pdf"),
        (b"PK\x03\x04", "application/vnd.ms-word", "application/zip"),
        (b"MZ\x90\0", "application/pdf", "application/octet-stream"),
        (b"\xff\xfe\0<\0s", "text/plain", "application/octet-stream"),
        ("größer".encode(), "text/csv", "text/plain"),
        (b"", "text/plain", "application/octet-stream"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "", "image/webp"),
    ],
)
def test_a_type_is_what_the_bytes_say(data: bytes, declared: str, type_: str) -> None:
    assert sniffed(data, declared) == type_


async def test_a_file_is_read_again_only_whole_and_with_its_key(tmp_path: Path) -> None:
    files = Attachments(tmp_path)
    (entry,) = entries((await files.keep(b"hello", name="a.txt"),))
    (other,) = entries((await files.keep(b"other", name="b.txt"),))
    found = await files.read(entry)
    assert found is not None
    assert found.data == b"hello"
    wrong = Entry(id=entry.id, name="", type="", size=5, key=other.key)
    assert await files.read(wrong) is None
    (path,) = [path for path in below(tmp_path) if path.name == entry.id]
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    path.write_bytes(path.read_bytes()[:-1])
    assert await files.read(entry) is None
    assert (
        await files.read(Entry(id="../../../etc/passwd", name="", type="", size=1, key="")) is None
    )


async def test_files_go_when_their_messages_do(tmp_path: Path) -> None:
    files = Attachments(tmp_path)
    for number in range(3):
        await files.keep(b"x", name=str(number))
    first, *_ = below(tmp_path)
    os.utime(first, (1_000, 1_000))
    assert await files.expire(2_000 * 1_000_000) == 1
    assert not first.exists()
    assert len(below(tmp_path)) == 2


async def test_the_journal_keeps_its_room_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attachments, "FREE_BYTES", 1 << 60)
    with pytest.raises(StoreFull, match="nearly full"):
        await Attachments(tmp_path).keep(b"x", name="x")
    assert below(tmp_path) == []
