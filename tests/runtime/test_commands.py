"""The command line, as its user meets it: what it prints, what it refuses, how it ends."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner

from router.__main__ import main
from tests.runtime.server import Served

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
PARSED_ELSEWHERE = {"loadtest", "simulate"}
"""Commands that pass their words on to a program with a parser of its own."""


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, list(words))
    return result.exit_code, result.output


def test_every_command_explains_itself() -> None:
    code, text = run("--help")
    assert code == 0
    commands = [
        line.split()[0] for line in text.partition("Commands:")[2].splitlines() if line.strip()
    ]
    assert {"serve", "demo", "check", "doctor", "token", "tail", "backup"} <= set(commands)
    for command in commands:
        code, text = run(command, "--help")
        assert code == 0
        assert len(text.splitlines()) > 4
        name = f"contact-router {command}" if command in PARSED_ELSEWHERE else f"main {command}"
        assert text.lower().startswith(f"usage: {name} "), text


def test_a_wrong_configuration_is_told_whole_with_line_and_column(tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(
        "queues:\n  care: {wrap_upp: 3s}\nadapters:\n  x: {type: nosuch, channel: sms}\n"
    )
    code, text = run("check", str(file))
    assert code == 2
    assert f"{file}:2:" in text
    assert "wrap_up" in text
    assert "Traceback" not in text


def test_settings_that_only_the_adapter_knows_are_checked(tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(
        "queues: {care: {}}\nadapters:\n"
        "  x: {type: loopback, channel: sms, answer_afer_s: 3}\n"
        "  y: {type: pigeon, channel: sms}\n"
    )
    code, text = run("check", str(file))
    assert code == 2
    assert "answer_after_s" in text
    assert "pigeon" in text


def test_the_demo_configuration_is_good() -> None:
    code, text = run("check", str(ROOT / "config" / "demo.yaml"))
    assert (code, "good" in text) == (0, True)


async def test_tokens_are_made_listed_and_revoked_while_the_server_is_stopped(
    served: Served,
) -> None:
    made = await served.command("token", "create", "client", "--name", "shop", "--days", "3")
    assert made.startswith("crt_")
    listed = (await served.command("token", "list")).splitlines()
    assert len(listed) == 2
    line = next(line for line in listed if line.endswith("shop"))
    assert made not in "".join(listed)
    await served.command("token", "revoke", line.split()[0])
    assert len((await served.command("token", "list")).splitlines()) == 1
    link = await served.command("token", "create", "agent", "--agent", "ana", "--link")
    assert "/desk#ticket=crk_" in link


async def test_a_token_for_somebody_who_is_not_there_is_refused_and_the_names_are_told(
    served: Served,
) -> None:
    async def create(*words: str) -> tuple[int, str]:
        files = ("-c", str(served.config), "--data", str(served.data))
        code, text = await asyncio.to_thread(run, "token", "create", *words, *files)
        return code, text.strip()

    for words, told in {
        ("agent", "--agent", "anna"): "no agent 'anna', did you mean 'ana'?",
        ("agent", "--agent", "zoe"): "no agent 'zoe'; there are: ana",
        ("adapter", "--adapter", "phone"): "no adapter 'phone', did you mean 'phones'?",
        ("adapter", "--adapter", "x"): "no adapter 'x'; there are: phones, sms",
    }.items():
        assert await create(*words) == (2, told)
    await served.start()
    await served.good("PUT", "/v1/agents/zoe", {"name": "Zoe"})
    headers = {"Authorization": f"Bearer {served.token}"}
    async with served.session.delete("/v1/agents/ana", headers=headers) as answer:
        assert answer.status == 204
    await served.stop()
    code, text = await create("agent", "--agent", "zoe")
    assert (code, text[:4]) == (0, "crt_")
    # The file makes its agents once: ana does not come back.
    assert await create("agent", "--agent", "ana") == (2, "no agent 'ana'; there are: zoe")


async def test_beside_a_running_server_the_store_is_left_alone(served: Served) -> None:
    await served.start()
    code, text = await served.attempt("token", "list")
    assert code == 3
    assert "Traceback" not in text
    assert "server" in text
    code, text = await served.attempt("serve")
    assert code == 3
    assert "Traceback" not in text
    code, text = await served.attempt("doctor")
    assert code == 0, text


async def test_doctor_finds_a_flipped_bit_and_serve_refuses_that_workspace(served: Served) -> None:
    await served.command("doctor")
    (file,) = served.data.glob("ws-*.db")
    damaged = bytearray(file.read_bytes())
    place = damaged.rfind(b"token")
    damaged[place] ^= 1
    file.write_bytes(damaged)
    code, text = await served.attempt("doctor")
    assert code == 1
    assert "error" in text
    code, text = await served.attempt("serve")
    assert code == 1
    assert "Traceback" not in text.replace("traceback", "")


async def test_hup_reads_the_configuration_and_a_bad_one_changes_nothing(served: Served) -> None:
    await served.start()
    good = served.config.read_text()
    served.config.write_text(good.replace("queues:", "queues:\n  sales: {}"))
    assert served.process is not None
    served.process.send_signal(signal.SIGHUP)
    await served.until_there("/v1/queues/sales")
    served.config.write_text(good.replace("queues:", "queues:\n  sales: {nonsense: 1}"))
    served.process.send_signal(signal.SIGHUP)
    await served.until_logged("configuration not taken")
    assert (await served.call("GET", "/v1/queues/sales"))[0] == 200
    assert await served.stop() == 0


async def test_a_backup_of_a_running_server_can_be_served(served: Served, tmp_path: Path) -> None:
    await served.start()
    contact = (await served.good("POST", "/v1/contacts", served.text("e1")))["contact"]
    assert served.process is not None
    served.process.send_signal(signal.SIGUSR1)
    await served.until_logged("backup written")
    await served.kill()
    (copied,) = (served.data / "backup").iterdir()
    assert (copied / "keys" / "secret").stat().st_mode & 0o077 == 0
    assert not (copied / "journal" / "secret").exists()
    code, text = await served.attempt("restore", str(copied))
    assert (code, "never overwrites" in text) == (3, True), text
    secret = (served.data / "secret").read_bytes()
    served.data = tmp_path / "restored"
    await served.command("restore", str(copied))
    assert (served.data / "secret").read_bytes() == secret
    assert {file.stat().st_mode & 0o077 for file in served.data.iterdir()} == {0}
    await served.start()
    found = await served.good("GET", f"/v1/contacts/{contact}/messages")
    assert [message["text"] for message in found["messages"]] == ["hello"]
    # The secret is the same: a message between the same addresses joins the open contact.
    again = await served.good("POST", "/v1/messages", served.text("e2", "still there?"))
    assert again["contact"] == contact


async def test_a_backup_that_is_not_whole_is_refused_and_leaves_nothing(
    served: Served, tmp_path: Path
) -> None:
    await served.command("backup", str(tmp_path / "copy"))
    (tmp_path / "copy" / "keys" / "secret").unlink()
    served.data = tmp_path / "restored"
    code, text = await served.attempt("restore", str(tmp_path / "copy"))
    assert code == 2
    assert "secret: is not there; a backup has it" in text
    assert not served.data.exists()


async def test_tail_shows_a_running_servers_events_as_they_come(
    served: Served, tmp_path: Path
) -> None:
    await served.start()
    await served.good("POST", "/v1/contacts", served.text("e1"))
    (tmp_path / "token").write_text(served.token)
    running = ("tail", "--server", f"http://127.0.0.1:{served.port}", "--token-file")
    process = await served.spawn(*running, str(tmp_path / "token"), "--from", "1")
    assert process.stdout is not None
    seen: list[str] = []
    try:
        async with asyncio.timeout(50):
            while "ContactReceived" not in seen:
                seen.append(json.loads(await process.stdout.readline())["type"])
            await served.good("POST", "/v1/contacts", served.text("e2"))
            while seen.count("ContactReceived") < 2:
                seen.append(json.loads(await process.stdout.readline())["type"])
    finally:
        process.kill()
        await process.wait()
    (tmp_path / "token").write_text("crt_wrong")
    code, text = await served.attempt(*running, str(tmp_path / "token"))
    assert code == 1
    assert "401" in text
