"""`contact-router preference` and `import`, against a real server."""

from __future__ import annotations

import asyncio
import csv
import json
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from router.__main__ import main
from router.remote.csv_rows import moment_us
from router.remote.importing import progress_words
from tests.api.site import Site

KIM = "+4930123456"
HEADER = "customer,channel,address,at,outcome,direction\n"
Command = Callable[..., Awaitable[Result]]


@pytest.fixture
async def command(site: Site, tmp_path: Path) -> Command:
    """Run the command line beside the server, with the token of a supervisor."""
    file = tmp_path / "token"
    file.write_text(await site.token("supervisor") + "\n")

    async def run(*words: str) -> Result:
        given = [*words, "--server", site.base, "--token-file", str(file)]
        return await asyncio.to_thread(CliRunner().invoke, main, given)

    return run


def history(path: Path, weeks: int = 10) -> Path:
    """Kim replies to SMS on Tuesdays at nine, in Berlin, and never takes a call."""
    tuesday = datetime(2026, 9, 15, 7, 10, tzinfo=UTC)
    lines = [HEADER]
    for week in range(weeks):
        at = tuesday - timedelta(weeks=week)
        lines.append(f"kim,sms,{KIM},{at:%Y-%m-%dT%H:%M:%SZ},replied,\n")
        lines.append(f"kim,voice,{KIM},{at.timestamp() + 36_000:.0f},no_answer,outbound\n")
    path.write_text("".join(lines))
    return path


async def test_a_history_goes_in_and_the_hint_comes_out(
    command: Command, site: Site, tmp_path: Path
) -> None:
    file = history(tmp_path / "history.csv")
    done = await command("import", str(file))
    assert done.exit_code == 0, done.output
    assert "20 recorded, 0 known already, 0 rejected; new customers: 1" in done.output
    again = await command("import", str(file))
    assert "0 recorded, 20 known already" in again.output
    for asked in ("kim", KIM):
        told = await command("preference", asked)
        assert told.exit_code == 0, told.output
        assert "Customer kim, purpose service" in told.output
        assert "Hours: the customer's own, Europe/Berlin" in told.output
        first = next(line for line in told.output.splitlines() if line.startswith("1 "))
        assert "Tue 9-10" in first
        assert "sms" in first
        assert "10 of 10 answered" in " ".join(told.output.split())  # lines are wrapped
        assert "sms 10 of 10" in told.output
        assert "voice 0 of 10" in told.output
    plain = await command("preference", "kim", "--json")
    assert json.loads(plain.output)["best"]["hour"] == 9


async def test_the_week_is_drawn_as_svg(command: Command, tmp_path: Path) -> None:
    await command("import", str(history(tmp_path / "history.csv")))
    svg = tmp_path / "kim.svg"
    drawn = await command("preference", "kim", "--svg", str(svg))
    assert drawn.exit_code == 0, drawn.output
    root = ElementTree.fromstring(svg.read_text())
    titles = [each.text or "" for each in root.iter("{http://www.w3.org/2000/svg}title")]
    assert len(titles) >= 2 * 7 * 24


async def test_without_the_renderer_a_png_is_refused_with_how_to_install_it(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)  # as if it were not installed
    refused = await command("preference", "kim", "--png", str(tmp_path / "kim.png"))
    assert refused.exit_code == 1
    assert "pip install 'contact-router[pictures]'" in refused.output
    assert not (tmp_path / "kim.png").exists()


async def test_the_week_is_drawn_as_png(command: Command, tmp_path: Path) -> None:
    pytest.importorskip("resvg_py")
    await command("import", str(history(tmp_path / "history.csv")))
    svg, png = tmp_path / "kim.svg", tmp_path / "kim.png"
    drawn = await command("preference", "kim", "--svg", str(svg), "--png", str(png))
    assert drawn.exit_code == 0, drawn.output
    data = png.read_bytes()
    width = float(ElementTree.fromstring(svg.read_text()).attrib["width"])
    assert data.startswith(b"\x89PNG\r\n")
    assert int.from_bytes(data[16:20]) == 2 * round(width)


async def test_rejected_rows_are_written_with_line_and_reason_and_the_rest_is_taken(
    command: Command, tmp_path: Path
) -> None:
    file, rejected = tmp_path / "mixed.csv", tmp_path / "rejected.csv"
    good = f"kim,sms,{KIM},2026-09-15T09:10:00+02:00,replied,"
    lines = [
        HEADER.strip(),
        good,
        f"kim,sms,{KIM},2026-09-16T09:10:00,replied,",  # no zone
        "",
        f"kim,sms,{KIM},yesterday,replied,",
        f"kim,smss,{KIM},1790000000,replied,",
        f'"kim",sms,"{KIM}",1790000000,"re\nplied",',  # a cell of two lines
        f"kim,sms,{KIM},1790000000",
        f"kim,sms,{KIM},1790003600000,anwsered,",
        f"kim,sms,{KIM},1790007200000000,ignored,",
    ]
    data = "\n".join(lines).encode() + b"\nk\xffm,sms,+4930123456,1790000000,replied,\n"
    file.write_bytes(data)
    done = await command("import", str(file), "--rejected", str(rejected))
    assert done.exit_code == 1, done.output
    assert "9 rows" in done.output
    assert "2 recorded, 0 known already, 7 rejected" in done.output
    with rejected.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [row["line"] for row in rows] == ["3", "5", "6", "7", "9", "10", "12"]
    reasons = [row["reason"] for row in rows]
    assert "has no zone" in reasons[0]
    assert "expected a moment" in reasons[1]
    assert "did you mean 'sms'?" in reasons[2]
    assert "outcome: expected text" in reasons[3]
    assert reasons[4] == "expected 6 cells, got 4"
    assert "did you mean 'answered'?" in reasons[5]
    assert "customer: expected text in UTF-8" in reasons[6]
    assert (rows[2]["customer"], rows[2]["channel"]) == ("kim", "smss")
    few = await command("import", str(file))
    assert "line 3: at: expected a moment" in few.output
    assert "0 recorded, 2 known already, 7 rejected" in few.output


async def test_headers_are_matched_by_name_and_a_near_miss_is_not_guessed(
    command: Command, tmp_path: Path
) -> None:
    file = tmp_path / "headers.csv"
    file.write_text(
        f"\ufeffChannel;AT;Outcome;Identity;agent name\nsms;1790000000;replied;{KIM};Ana\n"
    )
    done = await command("import", str(file), "--dry-run")
    assert done.exit_code == 0, done.output
    assert "not used: 'agent name'" in done.output
    assert "1 would be recorded" in done.output
    file.write_text("chanel,at,outcom,customer,customer\n")
    wrong = await command("import", str(file))
    assert wrong.exit_code == 1
    assert "no column 'chanel': did you mean 'channel'?" in wrong.output
    assert "no column 'outcom': did you mean 'outcome'?" in wrong.output
    assert "column 'customer' stands twice" in wrong.output
    file.write_text("")
    empty = await command("import", str(file))
    assert "column channel is missing" in empty.output


async def test_mistakes_are_sentences(
    command: Command, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = await command("preference", "nobody")
    assert (nobody.exit_code, nobody.output) == (1, "no customer 'nobody', by id or by address\n")
    monkeypatch.delenv("CONTACT_ROUTER_TOKEN", raising=False)
    run = CliRunner().invoke
    words = ["preference", "kim", "--server", site.base]
    without = await asyncio.to_thread(run, main, words)
    assert without.exit_code == 1
    assert "no --token-file, no CONTACT_ROUTER_TOKEN" in without.output
    wrong = await asyncio.to_thread(run, main, words, env={"CONTACT_ROUTER_TOKEN": "crt_x"})
    assert "answered 401: this token is unknown" in wrong.output
    away = ["preference", "kim", "--server", "http://127.0.0.1:9"]
    gone = await asyncio.to_thread(run, main, away, env={"CONTACT_ROUTER_TOKEN": "crt_x"})
    assert "http://127.0.0.1:9 does not answer" in gone.output
    for result in (nobody, without, wrong, gone):
        assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("text", "at_us"),
    [
        ("2026-11-03T09:15:00+01:00", 1_793_693_700_000_000),
        ("2026-11-03T08:15:00Z", 1_793_693_700_000_000),
        ("1793693700", 1_793_693_700_000_000),
        ("1793693700.25", 1_793_693_700_250_000),
        ("1793693700000", 1_793_693_700_000_000),
        ("1793693700000000", 1_793_693_700_000_000),
    ],
)
def test_moments_are_iso_with_a_zone_or_an_epoch(text: str, at_us: int) -> None:
    assert moment_us(text) == at_us


@pytest.mark.parametrize(
    "text", ["", "2026-11-03", "2026-11-03T09:15:00", "3.11.2026", "1e9", "-5", "9" * 30, "١٢٣"]
)
def test_other_moments_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a moment"):
        moment_us(text)


def test_progress_says_how_far_how_fast_and_how_long_still() -> None:
    assert progress_words(43_500, 0, 0.5, 11.0) == "43,500 rows, 50 %, 3,955 rows/s, 11 s left"
    assert progress_words(1_000, 3, 0.01, 2.0).endswith("3 min 18 s left, 3 rejected")
