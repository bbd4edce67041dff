"""A provider that is slow, wrong, or somebody else's: what we make of it. No real one does this."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web

from router.api.grants import claim, grant_for
from router.api.oidc import ANSWER_BYTES, Failed, Flow, Provider
from router.config.server import GrantSettings, OidcSettings, Person
from router.runtime.clock import ManualClock
from tests.api.test_id_token import SET, token

BACK = "https://router.example.com/v1/oidc/callback"
Answers = dict[str, Callable[[web.Request], Any]]


class Wrong:
    """An HTTP server that answers as a test says."""

    def __init__(self) -> None:
        self.answers: Answers = {}
        self.asked: list[str] = []
        self.issuer = ""

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        answer = self.answers[request.path](request)
        return answer if isinstance(answer, web.StreamResponse) else web.json_response(answer)

    def describe(self, **more: Any) -> None:
        here = self.issuer
        self.answers["/.well-known/openid-configuration"] = lambda _: {
            "issuer": here, "authorization_endpoint": f"{here}/auth",
            "token_endpoint": f"{here}/token", "jwks_uri": f"{here}/jwks", **more,
        }  # fmt: skip


@pytest.fixture
async def wrong() -> AsyncIterator[Wrong]:
    peer = Wrong()
    runner = web.ServerRunner(web.Server(peer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    peer.issuer = f"http://127.0.0.1:{runner.addresses[0][1]}"
    peer.describe()
    yield peer
    await runner.cleanup()


@pytest.fixture
async def provider(wrong: Wrong) -> AsyncIterator[Provider]:
    settings = OidcSettings(
        issuer=wrong.issuer, client_id="router", grants=(GrantSettings(role=Person.AGENT),)
    )
    made = Provider(settings, secret="s", redirect=BACK, clock=ManualClock())
    yield made
    await made.close()


FLOW = Flow(state="desk.x", nonce="n", verifier="v", page="desk", until_us=1)


async def code_of(provider: Provider, **query: str) -> str:
    with pytest.raises(Failed) as caught:
        await provider.redeem(FLOW, {"code": "c", **query}, lambda _: False)
    return caught.value.code


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (lambda _: web.Response(status=500), "unreachable"),
        (lambda _: web.Response(text="<html>hello"), "misconfigured"),
        (lambda _: web.json_response([]), "misconfigured"),
        (lambda _: web.Response(body=b"[" * 50_000), "misconfigured"),
        (lambda _: web.Response(body=b" " * (ANSWER_BYTES + 1)), "unreachable"),
        (lambda _: web.Response(status=302, headers={"Location": "/elsewhere"}), "unreachable"),
    ],
    ids=["500", "a page", "a list", "nested deeply", "huge", "elsewhere"],
)
async def test_a_description_that_is_none(
    wrong: Wrong, provider: Provider, answer: Any, code: str
) -> None:
    wrong.answers["/.well-known/openid-configuration"] = answer
    assert await code_of(provider) == code
    assert "/elsewhere" not in wrong.asked


@pytest.mark.parametrize(
    "more",
    [
        {"issuer": "http://127.0.0.1:9"},
        {"token_endpoint": "http://id.example.com/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"end_session_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": 7},
    ],
    ids=lambda more: next(iter(more)),
)
async def test_a_description_that_leads_astray(
    wrong: Wrong, provider: Provider, more: dict[str, Any]
) -> None:
    wrong.describe(**more)
    assert await code_of(provider) == "misconfigured"


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (400, {"error": "invalid_grant"}, "stale"),
        (401, {"error": "invalid_client"}, "misconfigured"),
        (400, {"error": "unsupported_grant_type"}, "misconfigured"),
        (400, {"error": ["x"]}, "misconfigured"),
        (503, {}, "provider"),
        (200, {}, "token"),
        (200, {"id_token": 7}, "token"),
        (200, "hello", "token"),
    ],
)
async def test_a_code_that_brings_no_token(
    wrong: Wrong, provider: Provider, status: int, body: Any, code: str
) -> None:
    wrong.answers["/token"] = lambda _: web.json_response(body, status=status)
    assert await code_of(provider) == code


async def test_what_comes_back_must_be_an_answer(wrong: Wrong, provider: Provider) -> None:
    assert await code_of(provider, error="access_denied") == "denied"
    assert await code_of(provider, error="login_required") == "provider"
    assert await code_of(provider, error="<script>") == "provider"
    assert await code_of(provider, code="") == "provider"
    assert await code_of(provider, code="x" * 5_000) == "provider"
    assert await code_of(provider, iss="https://evil.example") == "token"
    assert "/token" not in wrong.asked
    wrong.describe(authorization_response_iss_parameter_supported=True)
    provider._found = None
    assert await code_of(provider) == "token", "it says that it always names itself, and did not"


async def test_claims_of_somebody_else_are_not_joined(wrong: Wrong, provider: Provider) -> None:
    found = await provider.discover()
    found.userinfo_endpoint = f"{wrong.issuer}/me"
    wrong.answers["/me"] = lambda _: {"sub": "sue", "groups": ["leads"]}
    with pytest.raises(Failed, match="somebody else"):
        await provider._userinfo(found, "t", "ana")


async def test_a_provider_that_is_down_is_not_asked_by_everybody(
    wrong: Wrong, provider: Provider
) -> None:
    wrong.answers["/.well-known/openid-configuration"] = lambda _: web.Response(status=502)
    for _ in range(5):
        assert await code_of(provider) == "unreachable"
    assert len(wrong.asked) == 1
    wrong.describe()
    provider._clock.advance(6_000_000)  # type: ignore[attr-defined]
    assert (await provider.discover()).issuer == wrong.issuer


async def test_what_it_said_is_believed_while_it_is_down(wrong: Wrong, provider: Provider) -> None:
    await provider.discover()
    wrong.answers["/.well-known/openid-configuration"] = lambda _: web.Response(status=502)
    provider._clock.advance(7_200_000_000)  # type: ignore[attr-defined]
    assert (await provider.discover()).issuer == wrong.issuer
    assert len(wrong.asked) == 2


async def test_made_up_keys_do_not_make_us_ask_all_the_time(
    wrong: Wrong, provider: Provider
) -> None:
    wrong.answers["/jwks"] = lambda _: SET
    for _ in range(5):
        with pytest.raises(Failed, match="key"):
            await provider.verify(token({"alg": "RS256", "kid": "made-up"}))
    assert wrong.asked.count("/jwks") == 1
    provider._clock.advance(6_000_000)  # type: ignore[attr-defined]
    wrong.answers["/jwks"] = lambda _: web.Response(status=500)
    with pytest.raises(Failed, match="key"):
        await provider.verify(token({"alg": "RS256", "kid": "made-up"}))
    assert wrong.asked.count("/jwks") == 2
    assert (await provider.verify(token({"alg": "RS256", "kid": "a"})))["aud"] == "router"


def test_grants_are_asked_in_their_order_for_the_page() -> None:
    agent = GrantSettings(role=Person.AGENT, claim="groups", value="care")
    lead = GrantSettings(role=Person.SUPERVISOR, claim="groups", value="leads")
    boss = GrantSettings(role=Person.ADMIN, claim="https://oak.example/role", value="boss")
    inner = GrantSettings(role=Person.ADMIN, claim="realm_access.roles", value="router")
    grants = (agent, boss, lead, inner)
    both = {"groups": ["leads", "care"], "https://oak.example/role": "boss"}
    assert grant_for("desk", both, grants) is agent
    assert grant_for("wallboard", both, grants) is boss
    assert grant_for("wallboard", {"groups": "leads"}, grants) is lead
    assert grant_for("wallboard", {"realm_access": {"roles": ["x", "router"]}}, grants) is inner
    for nothing in ({}, {"groups": []}, {"groups": "care,leads"}, {"groups": {"leads": True}},
                    {"realm_access": "router"}, {"groups": ["Leads"]}):  # fmt: skip
        assert grant_for("wallboard", nothing, grants) is None, nothing
    assert claim({"a.b": 1, "a": {"b": 2}}, "a.b") == 1
    truth = GrantSettings(role=Person.AGENT, claim="care", value="true")
    assert grant_for("desk", {"care": True}, (truth,)) is truth
    assert grant_for("desk", {"care": 1}, (truth,)) is None
