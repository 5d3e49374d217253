"""Authentication by the token of a link to a shared conversation, beside another kind."""

import asyncio
import time
from collections.abc import Callable
from typing import Literal

from openhands_sessions.adapters.auths.token_timer import TokenTimer
from openhands_sessions.core.ids import LINK_PREFIX, OwnerId
from openhands_sessions.core.permissions import Lapse
from openhands_sessions.ports.access import Auth, Credentials, IssuedToken, LoginProof, Principal, Role
from openhands_sessions.ports.sharing import LinkTokens, SharedLink

PREFIX = "ohs-link."
"""What tokens of links begin with, and nothing else that is sent as a key."""


class LazyLinkTokens:
    """A LinkTokens that is loaded, in a thread, when it is first needed: most servers never need it."""

    def __init__(self, load: Callable[[], LinkTokens]) -> None:
        self._load = load
        self._loaded: LinkTokens | None = None
        self._loading = asyncio.Lock()

    async def issue(self, link: SharedLink) -> str:
        return await (await self._tokens()).issue(link)

    async def read(self, token: str) -> SharedLink:
        return await (await self._tokens()).read(token)

    async def _tokens(self) -> LinkTokens:
        async with self._loading:
            if self._loaded is None:
                self._loaded = await asyncio.to_thread(self._load)
            return self._loaded


class SharedLinks:
    """An Auth: who shows the token of a link is let in by it, and sees what it is of; all others as `auth` says. That a
    link was revoked is noticed where a conversation is asked for. `clock` is the time of day, in seconds."""

    def __init__(self, auth: Auth, tokens: LinkTokens, clock: Callable[[], float] = time.time) -> None:
        self._auth = auth
        self._tokens = tokens
        self._clock = clock

    @property
    def required(self) -> bool:
        return self._auth.required

    @property
    def asks_for(self) -> Literal["key", "token"] | None:
        return self._auth.asks_for

    @property
    def by_proxy(self) -> bool:
        return self._auth.by_proxy

    @property
    def local(self) -> Principal | None:
        return self._auth.local

    async def identify(self, credentials: Credentials) -> Principal:
        text = credentials.key or credentials.login
        if not text.startswith(PREFIX):
            return await self._auth.identify(credentials)
        link = await self._tokens.read(text)
        token = IssuedToken(text=text, id=link.id, key="", issued=None, expires=link.expires)
        return Principal(owner=OwnerId(LINK_PREFIX + link.id), role=Role.USER, token=token, link=link)

    def login_proof(self, principal: Principal, seconds: int) -> LoginProof:
        """The link's token itself: a browser that has logged in by a link may do no more than that."""
        if principal.link is None:
            return self._auth.login_proof(principal, seconds)
        if principal.token is None:
            return LoginProof("", 0)
        return LoginProof(principal.token.text, max(0, min(seconds, int(principal.link.expires - self._clock()))))

    def watch(self, principal: Principal, lapsed: Callable[[Lapse], None]) -> Callable[[], None]:
        if principal.link is None or principal.token is None:
            return self._auth.watch(principal, lapsed)
        timer = TokenTimer(principal, principal.token, self._clock, lapsed)
        timer.wait()
        return timer.stop
