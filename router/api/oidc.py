"""The identity provider, as we ask it: where it is, its keys, and a code's exchange for a token.

OpenID Connect Discovery 1.0 and Core 1.0 section 3.1 (authorization code flow), with PKCE
(RFC 7636). Every question has a deadline and every answer a bound; nothing is followed elsewhere.
Nothing is asked at start: a provider that is down keeps nobody else from working.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus, urlencode, urlsplit

import aiohttp
import msgspec

from router.api import id_token
from router.config import OidcSettings
from router.config.forms import LOOPBACK
from router.runtime.clock import Clock

log = logging.getLogger("router.api.oidc")

ASK_S = 10.0
ANSWER_BYTES = 262_144
KEPT_US = 3_600_000_000
"""How long where it is, and its keys, are believed before they are asked for again."""
PAUSE_US = 5_000_000
"""After a failure, and after a key that nobody knows: not asked again before."""
AT_ONCE = 50
"""Sign-ins that ask the provider at a time; the others wait."""
WAITING = 1_000
"""Most who wait for that; beyond it people are asked to try again."""


def wall_s() -> float:
    """Seconds since 1970 by the wall clock: the provider's times are compared with it.

    The server's own time goes on from what the wall clock showed at the start, however it was set
    since; tokens would be refused then.
    """
    return time.time_ns() / 1e9


class Failed(Exception):
    """A sign-in did not come about. `code` has words on the page; `why` is for the log."""

    def __init__(self, code: str, why: str = "") -> None:
        super().__init__(f"{code}: {why}" if why else code)
        self.code = code
        self.why = why


class Discovery(msgspec.Struct):
    """What we need of the provider's description of itself (Discovery 1.0 section 3)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str = ""
    end_session_endpoint: str = ""
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


class Answered(msgspec.Struct):
    """What a code was exchanged for (Core 1.0 section 3.1.3.3)."""

    id_token: str
    access_token: str = ""


class Flow(msgspec.Struct, frozen=True):
    """One sign-in on its way: kept by the browser, sealed, until the provider sends it back."""

    state: str
    nonce: str
    verifier: str
    page: str
    until_us: int


class Provider:
    """The configured identity provider."""

    def __init__(self, settings: OidcSettings, *, secret: str, redirect: str, clock: Clock) -> None:
        """`secret` empty: a public client. `redirect`: where it sends people back to."""
        self.settings = settings
        self._secret = secret
        self._redirect = redirect
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._found: Discovery | None = None
        self._found_at_us = 0
        self._failed_at_us = -PAUSE_US
        self._finding = asyncio.Lock()
        self._keys: list[id_token.Key] = []
        self._keys_at_us = 0
        self._asked_keys_at_us = -PAUSE_US
        self._room = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    @property
    def label(self) -> str:
        """What people call it."""
        return self.settings.label or urlsplit(self.settings.issuer).hostname or ""

    async def close(self) -> None:
        """No more questions."""
        if self._session is not None:
            await self._session.close()

    # --- where it is --------------------------------------------------------------------------

    async def discover(self) -> Discovery:
        """Where its parts are. Raises Failed (unreachable, misconfigured)."""
        async with self._finding:
            now_us = self._clock.now_us()
            if self._found is not None and now_us - self._found_at_us < KEPT_US:
                return self._found
            if now_us - self._failed_at_us < PAUSE_US and self._found is None:
                raise Failed("unreachable", "it did not answer a moment ago")
            try:
                found = await self._discover()
            except Failed as failed:
                self._failed_at_us = self._clock.now_us()
                if self._found is None or failed.code != "unreachable":
                    raise
                log.warning(
                    "identity provider: goes on with what it said", extra={"why": str(failed)}
                )
                self._found_at_us = now_us - KEPT_US + 12 * PAUSE_US
                return self._found
            self._found, self._found_at_us = found, now_us
            return found

    async def _discover(self) -> Discovery:
        issuer = self.settings.issuer
        url = issuer.rstrip("/") + "/.well-known/openid-configuration"
        status, document = await self._ask("GET", url)
        if status != 200:
            raise Failed("unreachable", f"status {status} for its description")
        try:
            found = msgspec.convert(document, Discovery)
        except msgspec.ValidationError as error:
            raise Failed("misconfigured", f"its description: {error}") from None
        if found.issuer != issuer:  # section 4.3: exactly
            raise Failed("misconfigured", f"it calls itself {found.issuer!r:.100}, not {issuer!r}")
        for place in (found.authorization_endpoint, found.token_endpoint, found.jwks_uri):
            _check_place(place)
        for place in (found.userinfo_endpoint, found.end_session_endpoint):
            if place:
                _check_place(place)
        return found

    # --- a sign-in ----------------------------------------------------------------------------

    def begin(self, page: str, now_us: int, length_us: int) -> Flow:
        """A new sign-in to a page."""
        return Flow(
            # The page leads so that an answer that nobody waits for still finds its way there.
            state=f"{page}.{secrets.token_urlsafe(24)}",
            nonce=secrets.token_urlsafe(24),
            verifier=secrets.token_urlsafe(48),
            page=page,
            until_us=now_us + length_us,
        )

    async def address(self, flow: Flow) -> str:
        """Where the browser goes to sign in (section 3.1.2.1). Raises Failed."""
        found = await self.discover()
        challenge = urlsafe_b64encode(hashlib.sha256(flow.verifier.encode()).digest())
        return _with_query(
            found.authorization_endpoint,
            response_type="code",
            client_id=self.settings.client_id,
            redirect_uri=self._redirect,
            scope=" ".join(self.settings.scopes),
            state=flow.state,
            nonce=flow.nonce,
            code_challenge=challenge.rstrip(b"=").decode(),
            code_challenge_method="S256",
        )

    async def leaving(self, back: str) -> str:
        """Where the browser goes to sign out there too; empty: nowhere.

        RP-Initiated Logout 1.0 section 2.
        """
        found = await self.discover()
        if not found.end_session_endpoint:
            return ""
        return _with_query(
            found.end_session_endpoint,
            client_id=self.settings.client_id,
            post_logout_redirect_uri=back,
        )

    async def redeem(
        self, flow: Flow, query: Mapping[str, str], needs: Callable[[Mapping[str, Any]], bool]
    ) -> tuple[str, dict[str, Any]]:
        """(sub, claims) of who came back with this query. Raises Failed.

        `needs(claims)` tells whether the ID token's claims are not enough: then the provider is
        asked for more of them (Core 1.0 section 5.3).
        """
        if self._waiting >= WAITING:
            raise Failed("busy")
        self._waiting += 1
        try:
            async with self._room:
                return await self._redeem(flow, query, needs)
        finally:
            self._waiting -= 1

    async def _redeem(
        self, flow: Flow, query: Mapping[str, str], needs: Callable[[Mapping[str, Any]], bool]
    ) -> tuple[str, dict[str, Any]]:
        found = await self.discover()
        self._check_answer(found, query)
        answered = await self._exchange(found, query["code"], flow.verifier)
        claims = await self.verify(answered.id_token)
        try:
            subject = id_token.check_id_token(
                claims,
                issuer=self.settings.issuer,
                client=self.settings.client_id,
                nonce=flow.nonce,
                now_s=wall_s(),
            )
        except id_token.Untrusted as error:
            raise Failed("token", error.code) from None
        if needs(claims) and found.userinfo_endpoint and answered.access_token:
            more = await self._userinfo(found, answered.access_token, subject)
            claims = {**more, **claims}
        return subject, claims

    def _check_answer(self, found: Discovery, query: Mapping[str, str]) -> None:
        # RFC 9207: said by this provider, and not by another one that we are mixed up with.
        said = query.get("iss", "")
        if said != found.issuer and (said or found.authorization_response_iss_parameter_supported):
            raise Failed("token", "answer of another issuer")
        error = query.get("error", "")
        if error:
            code = "denied" if error == "access_denied" else "provider"
            raise Failed(code, error if error.replace("_", "").isalnum() else "an error")
        if not 0 < len(query.get("code", "")) <= 4096:
            raise Failed("provider", "no code")

    async def _exchange(self, found: Discovery, code: str, verifier: str) -> Answered:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect,
            "code_verifier": verifier,
        }
        headers: dict[str, str] = {}
        client, methods = self.settings.client_id, found.token_endpoint_auth_methods_supported
        if not self._secret:
            form["client_id"] = client
        elif "client_secret_basic" in methods or "client_secret_post" not in methods:
            # RFC 6749 section 2.3.1: both are form-encoded before they are joined.
            pair = f"{quote_plus(client)}:{quote_plus(self._secret)}"
            headers["Authorization"] = "Basic " + b64encode(pair.encode()).decode()
        else:
            form |= {"client_id": client, "client_secret": self._secret}
        status, body = await self._ask("POST", found.token_endpoint, form=form, headers=headers)
        if status != 200:
            error = body.get("error") if isinstance(body, dict) else ""
            word = error if isinstance(error, str) and len(error) < 60 else ""
            code_ = "stale" if word == "invalid_grant" else "misconfigured"
            raise Failed("provider" if status >= 500 else code_, f"status {status} {word!r}")
        try:
            return msgspec.convert(body, Answered)
        except msgspec.ValidationError:
            raise Failed("token", "no ID token in the answer") from None

    async def _userinfo(self, found: Discovery, token: str, subject: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {token}"}
        status, body = await self._ask("GET", found.userinfo_endpoint, headers=headers)
        if status != 200 or not isinstance(body, dict):
            raise Failed("provider", f"status {status} for more claims")
        if body.get("sub") != subject:  # section 5.3.4: else it may be somebody else's
            raise Failed("token", "claims of somebody else")
        return body

    # --- its keys -----------------------------------------------------------------------------

    async def verify(self, token: str, types: tuple[str, ...] = ("JWT",)) -> dict[str, Any]:
        """The claims of a token that the provider has signed. Raises Failed."""
        found = await self.discover()
        now_us = self._clock.now_us()
        try:
            if not self._keys or now_us - self._keys_at_us > KEPT_US:
                await self._fetch_keys(found)
            try:
                return id_token.read(token, self._keys, types=types)
            except id_token.UnknownKey:
                # It may have changed its keys; who makes up keys cannot make us ask all the time.
                if not await self._fetch_keys(found):
                    raise
                return id_token.read(token, self._keys, types=types)
        except id_token.Untrusted as error:
            raise Failed("token", error.code) from None

    async def _fetch_keys(self, found: Discovery) -> bool:
        """Ask for its keys; False: asked a moment ago. Without an answer the old ones go on."""
        now_us = self._clock.now_us()
        if now_us - self._asked_keys_at_us < PAUSE_US and self._keys:
            return False
        self._asked_keys_at_us = now_us
        try:
            status, document = await self._ask("GET", found.jwks_uri)
            keys = id_token.keys_of(document) if isinstance(document, dict) else []
            if status != 200 or not keys:
                raise Failed("unreachable", f"status {status}, {len(keys)} keys")
        except Failed as failed:
            if not self._keys:
                raise
            log.warning("identity provider: goes on with its old keys", extra={"why": str(failed)})
            return False
        self._keys, self._keys_at_us = keys, now_us
        return True

    # --- asking -------------------------------------------------------------------------------

    async def _ask(
        self,
        method: str,
        url: str,
        *,
        form: dict[str, str] | None = None,
        headers: Mapping[str, str] = {},
    ) -> tuple[int, Any]:
        """(status, decoded JSON or None). Raises Failed (unreachable)."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=ASK_S), cookie_jar=aiohttp.DummyCookieJar()
            )
        try:
            async with self._session.request(
                method,
                url,
                data=form,
                headers={"Accept": "application/json", **headers},
                allow_redirects=False,
            ) as response:
                data = bytearray()
                async for chunk in response.content.iter_chunked(65_536):
                    data += chunk
                    if len(data) > ANSWER_BYTES:
                        raise Failed("unreachable", f"over {ANSWER_BYTES} bytes")
                return response.status, _decoded(bytes(data))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Failed("unreachable", type(error).__name__) from None


def _decoded(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _check_place(url: str) -> None:
    parts = urlsplit(url)
    is_local = parts.scheme == "http" and parts.hostname in LOOPBACK
    if not parts.hostname or not (parts.scheme == "https" or is_local):
        raise Failed("misconfigured", f"expected https, got {url!r:.100}")


def _with_query(url: str, **values: str) -> str:
    joint = "&" if urlsplit(url).query else "?"
    return url + joint + urlencode(values, quote_via=quote)
