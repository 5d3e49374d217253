"""Bodies of the routes below one conversation, and what they show."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from openhands_sessions.core.events.event import Json
from openhands_sessions.core.microagents import Microagent
from openhands_sessions.server.wire import Payload, Text


class SayIn(Payload):
    """Body of `POST /api/conversations/{id}/message`."""

    message: Text = Field(min_length=1)


class FeedbackIn(BaseModel):
    """Body of `POST /api/conversations/{id}/submit-feedback`. Other keys are passed over: what the client adds of the
    events is in the log already."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    email: str = Field("", max_length=300)
    version: str = Field("", max_length=100)
    permissions: Literal["public", "private"] = "private"
    polarity: Literal["positive", "negative"]
    feedback: str | None = Field(None, max_length=100_000)


def microagent_wire(microagent: Microagent) -> dict[str, Json]:
    """One file of knowledge, as the V0 client lists it."""
    return {
        "name": microagent.name,
        "type": microagent.type,
        "content": microagent.content,
        "triggers": list(microagent.triggers),
        "inputs": [],
        "tools": [],
    }
