"""The tokens of links to shared conversations: signed (JWT, HS256) by a key of this server."""

import time
from collections.abc import Callable

import jwt

from openhands_sessions.adapters.auths.shared_links import PREFIX
from openhands_sessions.core.errors import BadInput, Unauthorized
from openhands_sessions.core.ids import conversation_id
from openhands_sessions.ports.sharing import SharedLink

ALGORITHM = "HS256"
MOST_CHARACTERS = 1_000
REQUIRED = ("jti", "conversation", "exp")


class SignedLinks:
    """A LinkTokens. `clock` is the time of day, in seconds."""

    def __init__(self, key: bytes, clock: Callable[[], float] = time.time) -> None:
        self._key = key
        self._clock = clock

    async def issue(self, link: SharedLink) -> str:
        claims = {"jti": link.id, "conversation": link.conversation, "exp": int(link.expires)}
        return PREFIX + jwt.encode(claims, self._key, algorithm=ALGORITHM)

    async def read(self, token: str) -> SharedLink:
        link = self._verified(token)
        if link.expires <= self._clock():
            raise Unauthorized("the link has expired: ask whoever gave it to you for a new one")
        return link

    def _verified(self, token: str) -> SharedLink:
        try:
            if len(token) > MOST_CHARACTERS:
                raise ValueError("it is too long")
            claims = jwt.decode(
                token.removeprefix(PREFIX),
                self._key,
                algorithms=[ALGORITHM],
                options={"verify_exp": False, "require": list(REQUIRED)},
            )
            return SharedLink(str(claims["jti"]), conversation_id(claims["conversation"]), float(claims["exp"]))
        except (jwt.PyJWTError, BadInput, ValueError, TypeError, OverflowError, RecursionError):
            raise Unauthorized("the link's token is not of this server: copy all of it, or ask for a new one") from None
