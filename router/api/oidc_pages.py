"""Signing in with the company's account, as the browser walks it: there, back, and out again.

/v1/oidc/start     to the provider, with what must come back kept in a sealed cookie
/v1/oidc/callback  back from it: the code becomes a ticket, which the page exchanges as any other
/v1/oidc/leave     to the provider's own sign-out
/v1/oidc/logout    the provider tells that somebody is signed out (back-channel)

These are no operations of the API: browsers and the provider come here, not programs with a token.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from router.api import id_token
from router.api.grants import PAGES, claim, grant_for, is_missing
from router.api.limits import place_of
from router.api.oidc import Failed, Flow, Provider, wall_s
from router.api.oidc_nodes import Arrived, OidcNodes, SignedOut
from router.api.problems import ApiError, problem
from router.config import OidcSettings, read_secret
from router.errors import RouterError

if TYPE_CHECKING:
    from router.api.http import Api

log = logging.getLogger("router.api.oidc")

FLOW_US = 600_000_000
"""Within this time somebody has signed in at the provider, second factor and all."""
BODY_S = 15.0
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Flow).decode
_PLAIN = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


def mount(app: web.Application, api: Api) -> None:
    """Add the paths, if a provider is configured. Raises ConfigError for its secret."""
    settings = api.settings.oidc
    if settings is None:
        return
    pages = OidcPages(api, settings)
    api.provider = pages.provider
    app.router.add_get("/v1/oidc/start", pages.start)
    app.router.add_get("/v1/oidc/callback", pages.callback)
    app.router.add_get("/v1/oidc/leave", pages.leave)
    app.router.add_post("/v1/oidc/logout", pages.logout)
    app.on_cleanup.append(pages.close)
    if api.proxy is not None:
        pages.nodes.mount(app)


class OidcPages:
    """The walk of one provider's people."""

    def __init__(self, api: Api, settings: OidcSettings) -> None:
        self._api = api
        self._settings = settings
        self._base = api.settings.public_url.rstrip("/")
        self._is_tls = self._base.startswith("https:")
        key = hmac.digest(api.context.secret, b"oidc-flow", "sha256")
        self._cipher = AESGCM(key)
        file = settings.client_secret_file
        self.nodes = OidcNodes(api)
        self.provider = Provider(
            settings,
            secret=read_secret(Path(file)).decode() if file else "",
            redirect=f"{self._base}/v1/oidc/callback",
            clock=api.clock,
        )

    async def close(self, _app: web.Application) -> None:
        """The server ends."""
        await self.provider.close()

    # --- there --------------------------------------------------------------------------------

    async def start(self, request: web.Request) -> web.StreamResponse:
        """To the provider."""
        page = request.query.get("page", "desk")
        if page not in PAGES:
            page = "desk"
        flow = self.provider.begin(page, self._api.clock.now_us(), FLOW_US)
        try:
            address = await self.provider.address(flow)
        except Failed as failed:
            return self._refuse(page, failed)
        response = _to(address)
        response.set_cookie(
            self._cookie(page),
            self._sealed(flow),
            max_age=FLOW_US // 1_000_000,
            path="/v1/oidc/",
            httponly=True,
            secure=self._is_tls,
            samesite="Lax",  # Strict would not come along when the provider sends people back
        )
        return response

    async def leave(self, request: web.Request) -> web.StreamResponse:
        """To the provider's sign-out; our own session has ended before."""
        page = request.query.get("page", "desk")
        back = f"{self._base}/{page if page in PAGES else 'desk'}"
        try:
            address = await self.provider.leaving(back)
        except Failed as failed:
            return self._refuse(page, failed)
        return _to(address or back)

    # --- back ---------------------------------------------------------------------------------

    async def callback(self, request: web.Request) -> web.StreamResponse:
        """Back from the provider."""
        query = request.query
        page = query.get("state", "").partition(".")[0]
        if page not in PAGES:
            page = "desk"
        try:
            text = await self._sign_in(request, page)
        except Failed as failed:
            response = self._refuse(page, failed)
        except RouterError as error:
            response = self._refuse(page, Failed("later", type(error).__name__))
        else:
            self._count("ok")
            response = _to(f"/{page}#ticket={text}")
        response.del_cookie(self._cookie(page), path="/v1/oidc/", secure=self._is_tls)
        return response

    async def _sign_in(self, request: web.Request, page: str) -> str:
        """The ticket of who came back. Raises Failed, RouterError."""
        api, settings = self._api, self._settings
        flow = self._flow(request, page)
        if flow is None or api.context.stopping:
            raise Failed("stale" if flow is None else "later")
        subject, claims = await self.provider.redeem(
            flow, request.query, lambda claims: self._lacks(page, claims)
        )
        grant = grant_for(page, claims, settings.grants)
        if grant is None:
            raise Failed("no_grant")
        name = claim(claims, settings.name_claim)
        if not isinstance(name, str) or not name.strip():
            raise Failed("no_name")
        arrived = Arrived(
            workspace=grant.workspace or next(iter(api.context.config.workspaces)),
            role=grant.role.value,
            name=name,
            subject=subject,
            session=_text(claims.get("sid")),
        )
        return await self.nodes.ticket(request, arrived)

    def _lacks(self, page: str, claims: Mapping[str, Any]) -> bool:
        settings = self._settings
        return claim(claims, settings.name_claim) is None or is_missing(
            page, claims, settings.grants
        )

    def _flow(self, request: web.Request, page: str) -> Flow | None:
        """What this browser began; None: nothing that this answer belongs to."""
        sealed = request.cookies.get(self._cookie(page), "")
        try:
            data = bytes.fromhex(sealed)
            flow = _decode(self._cipher.decrypt(data[:12], data[12:], b"flow"))
        except (ValueError, InvalidTag, msgspec.MsgspecError):
            return None
        given = request.query.get("state", "")
        if not hmac.compare_digest(flow.state.encode(), given.encode("utf-8", "replace")):
            return None
        return flow if flow.until_us > self._api.clock.now_us() else None

    def _sealed(self, flow: Flow) -> str:
        nonce = secrets.token_bytes(12)
        return (nonce + self._cipher.encrypt(nonce, _encode(flow), b"flow")).hex()

    def _cookie(self, page: str) -> str:
        # One for each page, so that desk and wallboard may sign in side by side.
        return f"{'__Secure-' if self._is_tls else ''}router_sign_in_{page}"

    # --- out ----------------------------------------------------------------------------------

    async def logout(self, request: web.Request) -> web.StreamResponse:
        """The provider says that somebody is signed out: their sessions here end.

        OpenID Connect Back-Channel Logout 1.0 section 2.8.
        """
        api, now_us = self._api, self._api.clock.now_us()
        address = api.address(request)
        try:
            api.limits.charge_address(address, now_us)
        except ApiError as error:
            return problem(error)
        try:
            async with asyncio.timeout(BODY_S):
                form = await request.post()
            token = form.get("logout_token")
            if not isinstance(token, str):
                raise Failed("token", "none")
            claims = await self.provider.verify(token, types=("logout+jwt", "JWT"))
            subject, session = id_token.check_logout_token(
                claims,
                issuer=self._settings.issuer,
                client=self._settings.client_id,
                now_s=wall_s(),
            )
            api.limits.addresses.give_back(place_of(address), now_us)
            await self.nodes.end_everywhere(request, SignedOut(subject, session))
        except TimeoutError:
            return problem(ApiError(408, "too_slow", f"the body took over {BODY_S:.0f} s"))
        except (Failed, id_token.Untrusted) as error:
            log.warning("identity provider's sign-out refused", extra={"why": str(error)})
            return web.json_response({"error": "invalid_request"}, status=400, headers=_PLAIN)
        except (ApiError, RouterError) as error:  # not in all: the provider may say it again
            return problem(error)
        return web.Response(status=200, headers=_PLAIN)

    # --- words --------------------------------------------------------------------------------

    def _refuse(self, page: str, failed: Failed) -> web.Response:
        """Back to the page, which has words for it."""
        log.warning("sign-in refused", extra={"code": failed.code, "why": failed.why})
        self._count(failed.code)
        return _to(f"/{page if page in PAGES else 'desk'}#refused={failed.code}")

    def _count(self, outcome: str) -> None:
        self._api.context.metrics.sign_ins.labels("oidc", outcome).inc()


def _text(value: Any) -> str:
    return value if isinstance(value, str) and len(value) <= 255 else ""


def _to(address: str) -> web.Response:
    return web.Response(status=303, headers={**_PLAIN, "Location": address})
