"""Several agents of one conversation: what each is, by its name."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from openhands_sessions.core.texts import ModelName

MOST_AGENTS = 16
LONGEST_INSTRUCTIONS = 100_000
NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
AgentName = Annotated[str, Field(pattern=NAME)]
"""1 to 64 letters, digits, `_`, `.` and `-`."""


class AgentDefinition(BaseModel):
    """One of several agents: what it is told about itself, and its model; None for that of the conversation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    instructions: str = Field("", max_length=LONGEST_INSTRUCTIONS)
    llm_model: ModelName | None = None
