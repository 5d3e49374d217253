"""Bodies of the settings' and secrets' routes."""

from pydantic import BaseModel, ConfigDict, Field

from openhands_sessions.core.texts import Address, Key, Line
from openhands_sessions.server.wire import Payload


class SecretIn(Payload):
    """Body of `POST /api/secrets`."""

    name: str
    value: str
    description: str | None = None


class SecretChangeIn(BaseModel):
    """Body of `PUT /api/secrets/{name}`: the value stays, so a `value` is refused."""

    model_config = ConfigDict(extra="forbid")

    name: str
    description: str | None = None


class TokenIn(BaseModel):
    """A git provider's token; null or empty keeps the one that is stored."""

    token: Key | None = None
    host: Address | None = None
    user_id: Line | None = None


class ProvidersIn(Payload):
    """Body of `POST /api/add-git-providers`."""

    provider_tokens: dict[str, TokenIn] = Field(max_length=16)
