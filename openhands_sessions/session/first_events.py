"""The events that a conversation begins with, and those that a session which is set up again adds."""

from collections.abc import Sequence
from dataclasses import dataclass

from openhands_sessions.core.events.actions import ChangeAgentStateAction, MessageAction, SystemAction
from openhands_sessions.core.events.event import AgentState, Event, Source
from openhands_sessions.core.events.observations import AgentStateChangedObservation
from openhands_sessions.core.ids import EventId, OwnerId
from openhands_sessions.core.settings import SessionSettings
from openhands_sessions.ports.agent import Agent
from openhands_sessions.session.knowledge_recall import KnowledgeRecall
from openhands_sessions.session.tool_registry import ToolRegistry

NO_IMAGES = "cannot be looked at by this model: choose another one, or send the message without images"


@dataclass(frozen=True, kw_only=True, slots=True)
class Beginning:
    """What the first events are made of. `replayed`: recorded steps follow the message."""

    settings: SessionSettings
    agent: Agent
    tools: ToolRegistry
    version: str
    message: str | None
    images: tuple[str, ...]
    replayed: bool
    knowledge: KnowledgeRecall
    author: OwnerId | None


def first_events(beginning: Beginning, first: EventId) -> Sequence[Event]:
    """One append: the prompt, then the first message or the wait for it. `first` is the id of the first event."""
    agent, instructions = beginning.agent, beginning.settings.conversation_instructions
    system = SystemAction(
        source=Source.AGENT,
        content=f"{agent.prompt}\n\n{instructions}" if instructions else agent.prompt,
        tools=tuple(beginning.tools.schemas),
        openhands_version=beginning.version,
        agent_class=agent.name,
    )
    if beginning.images and not agent.vision and not beginning.replayed:
        refusal = f"The message was not taken: its images {NO_IMAGES}"
        return (system, AgentStateChangedObservation(agent_state=AgentState.ERROR, reason=refusal))
    if beginning.message is None:
        return (system, *waiting())
    message = MessageAction(
        source=Source.USER,
        content=beginning.message,
        image_urls=beginning.images,
        wait_for_response=False,
        author=beginning.author,
    )
    running = ChangeAgentStateAction(agent_state=AgentState.RUNNING)
    recalled = beginning.knowledge.taking_up(beginning.message, first + 3, whole=True)
    return (system, message, running, *recalled)


def waiting(pending: EventId | None = None) -> Sequence[Event]:
    """That the agent waits for the user, or for the answer to the action `pending`."""
    if pending is not None:
        return (AgentStateChangedObservation(agent_state=AgentState.AWAITING_USER_CONFIRMATION),)
    state = AgentState.AWAITING_USER_INPUT
    return (ChangeAgentStateAction(agent_state=state), AgentStateChangedObservation(agent_state=state))
