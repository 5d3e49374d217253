"""Events and values that logs in tests are made of."""

from typing import Any

from openhands_sessions.core.events.actions import ChangeAgentStateAction
from openhands_sessions.core.events.event import Action, AgentState, Event, Source
from openhands_sessions.core.events.observations import AgentStateChangedObservation, RunMetadata, RunObservation


def state(agent_state: AgentState) -> tuple[Event, Event]:
    return ChangeAgentStateAction(agent_state=agent_state), AgentStateChangedObservation(agent_state=agent_state)


def cost(dollars: float, tokens: int = 10) -> dict[str, Any]:
    return {"accumulated_cost": dollars, "accumulated_token_usage": {"prompt_tokens": tokens}}


def run_result(action: Action, text: str, code: int = 0) -> RunObservation:
    return RunObservation(
        cause=action.id,
        source=Source.AGENT,
        command="ls",
        content=text,
        metadata=RunMetadata(exit_code=code),
        tool_call_metadata=action.tool_call_metadata,
    )


def id_of(action: Event) -> str:
    assert action.tool_call_metadata is not None
    return action.tool_call_metadata.tool_call_id
