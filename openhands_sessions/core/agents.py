"""Several agents of one conversation: what each is, by its name."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from openhands_sessions.core.texts import ModelName

MOST_AGENTS = 16
LONGEST_INSTRUCTIONS = 100_000
NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
HANDOFF = "transfer_to_{}"
"""The name of the tool."""
AgentName = Annotated[str, Field(pattern=NAME)]
"""1 to 64 letters, digits, `_`, `.` and `-`."""


class AgentDefinition(BaseModel):
    """One of several agents: what it is told about itself; its model, None for that of the conversation; and to which
    of the others it may hand over."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    instructions: str = Field("", max_length=LONGEST_INSTRUCTIONS)
    llm_model: ModelName | None = None
    handoffs: tuple[AgentName, ...] = Field((), max_length=MOST_AGENTS)


def _with_known_handoffs(agents: dict[str, AgentDefinition]) -> dict[str, AgentDefinition]:
    for name, agent in agents.items():
        if unknown := [other for other in agent.handoffs if other == name or other not in agents]:
            raise ValueError(f"the handoffs of {name!r} must be other agents, and {unknown[0]!r} is none")
    return agents


DefinedAgents = Annotated[
    dict[AgentName, AgentDefinition], Field(max_length=MOST_AGENTS), AfterValidator(_with_known_handoffs)
]
"""By name, the first one first."""
