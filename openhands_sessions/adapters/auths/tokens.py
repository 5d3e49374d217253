"""Authentication by signed tokens (JWT), which tell users apart."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Literal

from openhands_sessions.adapters.auths.revocations import Revocations, read_revocations
from openhands_sessions.adapters.auths.token_claims import EXPIRED, TokenRules, read_token, refused
from openhands_sessions.adapters.auths.token_keys import Keys, TokenKey, read_jwks
from openhands_sessions.adapters.auths.token_timer import TokenTimer
from openhands_sessions.adapters.auths.watched_file import WatchedFile
from openhands_sessions.core.errors import Unauthorized
from openhands_sessions.core.permissions import Lapse
from openhands_sessions.ports.access import Credentials, IssuedToken, LoginProof, Principal

MOST_VERIFIED = 10_000
"""Tokens that are remembered as verified."""


class SignedTokens:
    """A caller is whom its token names. A token that was verified is not verified again until keys or revocations
    change. `clock` is the time of day, in seconds."""

    required = True
    asks_for: Literal["token"] = "token"
    by_proxy = False
    local = None

    def __init__(
        self,
        rules: TokenRules,
        revoked: Path,
        *,
        secret: TokenKey | None = None,
        jwks: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises BadInput for files that cannot be used."""
        self._rules = rules
        self._secret = secret
        self._clock = clock
        self._verified: OrderedDict[bytes, Principal] = OrderedDict()
        self._held: set[TokenTimer] = set()
        self._revoked: WatchedFile[Revocations] = WatchedFile(revoked, read_revocations, self._forget)
        self._file: WatchedFile[Keys] | None = None if jwks is None else WatchedFile(jwks, read_jwks, self._rotated)
        self._keys = self._all_keys()

    @property
    def has_keys(self) -> bool:
        """Whether there is a key to verify tokens by."""
        return bool(self._keys)

    async def identify(self, credentials: Credentials) -> Principal:
        text = credentials.key or credentials.login
        if not text:
            raise Unauthorized(
                "a token is missing: a program sends it as Authorization: Bearer or X-Session-API-Key, a browser logs"
                " in when the page is loaded again"
            )
        await self._revoked.refresh()
        if self._file is not None:
            await self._file.refresh()
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        known = self._verified.get(digest)
        if known is None or known.token is None or known.token.expires <= self._clock():
            known = self._read(text)
            self._verified[digest] = known
            if len(self._verified) > MOST_VERIFIED:
                self._verified.popitem(last=False)
        return known

    def login_proof(self, principal: Principal, seconds: int) -> LoginProof:
        """The token itself, which scripts of pages cannot read."""
        token = principal.token
        if token is None:
            return LoginProof("", 0)
        return LoginProof(token.text, max(0, min(seconds, int(token.expires - self._clock()))))

    def watch(self, principal: Principal, lapsed: Callable[[Lapse], None]) -> Callable[[], None]:
        if principal.token is None:
            return _nothing
        held = TokenTimer(principal, principal.token, self._clock, lapsed)
        self._held.add(held)
        held.wait()
        if not self._counts(principal, principal.token):
            held.end_soon("revoked")

        def stop() -> None:
            held.stop()
            self._held.discard(held)

        return stop

    @asynccontextmanager
    async def noticing(self) -> AsyncIterator["SignedTokens"]:
        """While changes of the files count at once."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._revoked.noticed())
            if self._file is not None:
                await stack.enter_async_context(self._file.noticed())
            yield self

    def _read(self, text: str) -> Principal:
        principal = read_token(text, self._keys, self._rules)
        if principal.token is not None and principal.token.expires <= self._clock():
            raise refused(EXPIRED)
        if principal.token is not None and self._revoked.value.cover(principal.owner, principal.token):
            raise refused("was revoked: ask for a new one")
        return principal

    def _all_keys(self) -> Keys:
        secret = {} if self._secret is None else {self._secret.id: self._secret}
        return secret if self._file is None else {**self._file.value, **secret}

    def _rotated(self) -> None:
        before, self._keys = self._keys, self._all_keys()
        self._forget()
        for held in list(self._held):
            old, new = before.get(held.token.key), self._keys.get(held.token.key)
            if old is None or new is None or old.fingerprint != new.fingerprint:
                held.end_soon("revoked")

    def _forget(self) -> None:
        self._verified.clear()
        for held in list(self._held):
            if not self._counts(held.principal, held.token):
                held.end_soon("revoked")

    def _counts(self, principal: Principal, token: IssuedToken) -> bool:
        return token.key in self._keys and not self._revoked.value.cover(principal.owner, token)


def _nothing() -> None:
    """It cannot lapse."""
