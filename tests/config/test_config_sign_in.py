"""Sign-in by an identity provider and tracing: what the settings refuse, and what they mean."""

import re
from pathlib import Path

import pytest

from router.config import loads
from router.config.server import Person
from router.errors import ConfigError

GOOD = """
server:
  public_url: https://router.example.com
  oidc:
    issuer: https://id.example.com/realms/oak
    client_id: router
    client_secret_file: oidc.secret
    grants: [{claim: groups, value: leads, role: supervisor}, {role: agent}]
queues: {front: {}}
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    secret = tmp_path / "oidc.secret"
    secret.write_text("s3cret", encoding="utf-8")
    secret.chmod(0o600)
    return tmp_path


def findings(directory: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loads(text, str(directory / "x.yaml"))
    return caught.value.findings


def test_the_secret_is_found_beside_the_configuration(directory: Path) -> None:
    oidc = loads(GOOD, str(directory / "x.yaml")).server.oidc
    assert oidc is not None
    assert oidc.client_secret_file == str(directory / "oidc.secret")
    assert [grant.role for grant in oidc.grants] == [Person.SUPERVISOR, Person.AGENT]
    assert oidc.name_claim == "preferred_username"


def test_nothing_of_it_is_there_by_default() -> None:
    server = loads("queues: {front: {}}").server
    assert (server.oidc, server.tracing) == (None, None)


@pytest.mark.parametrize(
    ("was", "becomes", "finding"),
    [
        ("https://id.example.com/realms/oak", "http://id.example.com", "expected https"),
        ("https://id.example.com/realms/oak", "https://id.example.com?x=1", "without \\? and #"),
        ("public_url: https://router.example.com", "port: 8081", "server.public_url"),
        ("https://router.example.com", "http://router.example.com", "oidc needs https"),
        ("https://router.example.com", "https://example.com/router", "without a path"),
        ("role: agent}", "role: client}", "expected one of agent, supervisor, admin"),
        ("{role: agent}", "{role: agent, claim: groups}", "claim and value together"),
        ("{role: agent}", "{role: agent, workspace: elm}", "no workspace 'elm'"),
        ("[{claim: groups, value: leads, role: supervisor}, {role: agent}]", "[]", "1 to 200"),
        ("client_id: router", "client_id: router\n    scopes: [email]", "openid among them"),
        ("oidc.secret", "nothing.secret", "cannot read"),
        ("queues:", "workspaces: {oak: {}, elm: {}}\nqueues:", "one of oak, elm"),
    ],
)
def test_what_cannot_be_meant_is_said(
    directory: Path, was: str, becomes: str, finding: str
) -> None:
    assert was in GOOD
    found = findings(directory, GOOD.replace(was, becomes))
    assert any(re.search(finding, line) for line in found), found


def test_this_machine_may_do_without_tls(directory: Path) -> None:
    text = GOOD.replace("https://id.example.com/realms/oak", "http://127.0.0.1:4000").replace(
        "https://router.example.com", "http://localhost:8080"
    )
    assert loads(text, str(directory / "x.yaml")).server.oidc is not None


def test_the_collectors_key_stands_in_a_file(directory: Path) -> None:
    text = 'server: {tracing: {url: "http://localhost:4318/v1/traces", headers_file: no.key}}\n'
    [finding] = findings(directory, text + "queues: {front: {}}")
    assert "server.tracing.headers_file: cannot read" in finding
    tracing = loads(
        text.replace("no.key", "oidc.secret") + "queues: {front: {}}", str(directory / "x.yaml")
    ).server.tracing
    assert tracing is not None
    assert tracing.headers_file == str(directory / "oidc.secret")
