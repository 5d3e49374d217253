"""Who is calling."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from openhands_sessions.core.ids import OwnerId


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller: whose conversations it sees, and whether it may watch all of them."""

    owner: OwnerId
    operator: bool


class Auth(Protocol):
    """Turns credentials into a principal."""

    required: bool
    """Whether a caller without credentials is refused."""

    async def identify(self, credentials: Mapping[str, str]) -> Principal:
        """`credentials` may hold `session_api_key`. Compares in constant time. Raises Unauthorized."""
