"""Secrets stand in closed files, and nothing shows them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from router.config import Config, load, loads, read_secret
from router.config.redact import redact
from router.errors import ConfigError

LOYALTY = Path(__file__).parents[2] / "config" / "loyalty.yaml"
Good = Callable[[str], Config]


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o666])
def test_a_file_open_to_everybody_is_refused(
    good: Good, good_text: str, directory: Path, mode: int
) -> None:
    (directory / "hook.secret").chmod(mode)
    with pytest.raises(ConfigError) as caught:
        good(good_text)
    [finding] = caught.value.findings
    assert "webhooks.crm.secret_file" in finding
    assert f"is open to everybody on this machine (mode {mode:04o}): chmod 600" in finding
    with pytest.raises(ConfigError, match="open to everybody"):
        read_secret(directory / "hook.secret")


@pytest.mark.parametrize("content", ["", " \n"])
def test_an_empty_file_is_refused(
    good: Good, good_text: str, directory: Path, content: str
) -> None:
    (directory / "redis.secret").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"server\.journal\.password_file: .* is empty"):
        good(good_text)


def test_a_directory_or_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a file, got"):
        read_secret(tmp_path)
    with pytest.raises(ConfigError, match=r"cannot read .*: No such file"):
        read_secret(tmp_path / "nothing")


def test_a_secret_is_read_without_the_line_end(good: Good, good_text: str, directory: Path) -> None:
    hook = good(good_text).workspaces["north"].webhooks["crm"]
    assert hook.secret_file == str(directory / "hook.secret")
    assert read_secret(Path(hook.secret_file)) == b"s3cret"


def test_an_adapters_secret_file_is_found_beside_the_configuration(directory: Path) -> None:
    text = "adapters: {sms: {type: smpp, system: {password_file: hook.secret, ca_file: ca.pem}}}\n"
    adapter = loads(text, str(directory / "x.yaml")).workspaces["main"].adapters["sms"]
    assert adapter.settings == {
        "system": {
            "password_file": str(directory / "hook.secret"),
            "ca_file": str(directory / "ca.pem"),
        }
    }
    (directory / "hook.secret").chmod(0o644)
    with pytest.raises(ConfigError, match=r"adapters\.sms\.system\.password_file: .*chmod 600"):
        loads(text, str(directory / "x.yaml"))


def test_an_adapter_may_make_its_own_secret_file(tmp_path: Path) -> None:
    text = "adapters: {chat: {type: webchat, secret_file: visitors.key}}\n"
    adapter = loads(text, str(tmp_path / "x.yaml")).workspaces["main"].adapters["chat"]
    assert adapter.settings["secret_file"] == str(tmp_path / "visitors.key")


def test_a_dump_shows_expressions_as_they_are_written() -> None:
    dump = json.loads(json.dumps(redact(load(LOYALTY))))
    rules = dump["workspaces"]["main"]["policy"]["rules"]
    assert "complains" in {segment["when"] for segment in rules["segments"]}
    assert 'segment == "loyal"' in json.dumps(rules["rules"]).replace('\\"', '"')


def test_a_dump_shows_everything_but_secrets(good: Good, good_text: str) -> None:
    text = good_text.replace(
        "https://crm.example.com/hook", "https://crm.example.com/hook?key=hunter2"
    ).replace("          topic: billing", "          token: hunter2")
    dump = redact(good(text))
    shown = json.dumps(dump)
    assert "hunter2" not in shown
    assert "s3cret" not in shown
    north = dump["workspaces"]["north"]
    assert north["webhooks"]["crm"]["url"] == "https://crm.example.com/hook?(hidden)"
    assert north["policy"]["entry_points"]["hotline"]["attributes"] == {"token": "(hidden)"}
    assert north["policy"]["queues"]["care"]["recheck_us"] == 5_000_000
    assert north["policy"]["channels"]["chat"]["cost"] == 33
    assert dump["server"]["limits"]["body_bytes"] == 1_048_576
