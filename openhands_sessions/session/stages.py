"""What is built in each set-up state: one row per state, each with its own limit and status."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime

from openhands_sessions.core.events.actions import ChangeAgentStateAction, MessageAction, RecallAction, SystemAction
from openhands_sessions.core.events.event import AgentState, Event, Source
from openhands_sessions.core.events.observations import AgentStateChangedObservation, RecallObservation
from openhands_sessions.core.ids import UNNUMBERED, ConversationId, EventId
from openhands_sessions.core.lifecycle import SessionState
from openhands_sessions.core.repository import Repository
from openhands_sessions.core.settings import SessionSettings, environment
from openhands_sessions.ports.agent import Agent, Agents
from openhands_sessions.ports.condenser import Condenser
from openhands_sessions.ports.gateway import Status
from openhands_sessions.ports.memory import Memory, Recollection
from openhands_sessions.ports.policy import Policy
from openhands_sessions.ports.runtime import Runtime, Runtimes, RuntimeSpec
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.ports.tool import Tool
from openhands_sessions.session.actor import Actor
from openhands_sessions.session.checkout import Checkout
from openhands_sessions.session.controller import Controller, Crew
from openhands_sessions.session.stream import EventStream
from openhands_sessions.session.toolbox import Toolbox

NO_IMAGES = "cannot be looked at by this model: choose another one, or send the message without images"


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """What every session of a server is built from."""

    store: SessionStore
    runtimes: Runtimes
    agents: Agents
    memory: Memory
    tools: Sequence[Tool]
    policy: Policy
    condenser: Condenser
    clock: Callable[[], datetime]
    version: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Opening:
    """What a conversation begins with; looked at only while its log has no system prompt yet."""

    message: str | None = None
    image_urls: tuple[str, ...] = ()
    repository: Repository | None = None


@dataclass(kw_only=True, slots=True)
class Workshop:
    """A session while it is being built: each stage adds its part, and what must be closed to the stack."""

    sid: ConversationId
    settings: SessionSettings
    parts: Parts
    opening: Opening
    stream: EventStream
    stack: AsyncExitStack
    term: int = 0
    snapshot_head: EventId = UNNUMBERED
    interrupted: bool = False
    """Whether the log ends in the middle of a turn."""
    runtime: Runtime | None = None
    agent: Agent | None = None
    recollection: Recollection | None = None
    controller: Controller | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """One set-up state: `limit` in seconds, `status` as clients are told, `build` adds the part."""

    limit: float
    status: str
    build: Callable[[Workshop], Awaitable[None]]


async def _load_log(work: Workshop) -> None:
    store = work.parts.store
    work.term = await store.next_term(work.sid)
    snapshot = await store.snapshots.load(work.sid)
    await work.stream.load(work.term, snapshot)
    work.snapshot_head = UNNUMBERED if snapshot is None else snapshot.head
    work.interrupted = work.stream.view.owed and work.stream.view.pending is None
    if work.stream.view.head == UNNUMBERED:
        await work.stream.append(AgentStateChangedObservation(agent_state=AgentState.LOADING))


async def _open_runtime(work: Workshop) -> None:
    def tell(status: str, words: str) -> None:
        work.stream.whisper(Status("info", status, words))

    spec = RuntimeSpec(sid=work.sid, term=work.term, environment=environment(work.settings), on_step=tell)
    work.runtime = await work.stack.enter_async_context(work.parts.runtimes.open(spec))


async def _open_agent(work: Workshop) -> None:
    work.agent = await work.stack.enter_async_context(work.parts.agents.open(work.settings))


async def _recall(work: Workshop) -> None:
    if work.stream.view.recalled:
        return
    assert work.runtime is not None  # RuntimeSetup comes before
    if work.opening.repository is not None and work.stream.view.system == UNNUMBERED:
        actor = Actor(work.sid, work.stream, work.runtime, Toolbox(work.parts.tools), work.settings.command_timeout)
        await Checkout(work.stream, actor).take(work.opening.repository)
    work.recollection = await work.parts.memory.recall(work.runtime.files)


async def _make_controller(work: Workshop) -> None:
    assert work.runtime is not None  # RuntimeSetup comes before
    assert work.agent is not None  # AgentSetup comes before
    toolbox = Toolbox(work.parts.tools)
    actor = Actor(work.sid, work.stream, work.runtime, toolbox, work.settings.command_timeout)
    crew = Crew(work.agent, actor, toolbox, work.parts.policy, work.parts.condenser)
    work.controller = Controller(work.stream, crew, work.settings)
    if work.stream.view.system == UNNUMBERED:
        await work.stream.append(*_beginning(work, work.agent, toolbox))
    elif work.stream.view.agent_state in (AgentState.STOPPED, AgentState.LOADING) and not work.stream.view.owed:
        await work.stream.append(*_waiting())


def _beginning(work: Workshop, agent: Agent, toolbox: Toolbox) -> Sequence[Event]:
    """The first events of a conversation, one append: the prompt, then the first message or the wait for it."""
    instructions = work.settings.conversation_instructions
    system = SystemAction(
        source=Source.AGENT,
        content=f"{agent.prompt}\n\n{instructions}" if instructions else agent.prompt,
        tools=tuple(toolbox.schemas),
        openhands_version=work.parts.version,
        agent_class=agent.name,
    )
    if work.opening.image_urls and not agent.vision:
        refusal = f"The message was not taken: its images {NO_IMAGES}"
        return (system, AgentStateChangedObservation(agent_state=AgentState.ERROR, reason=refusal))
    if work.opening.message is None:
        return (system, *_waiting())
    message = MessageAction(
        source=Source.USER, content=work.opening.message, image_urls=work.opening.image_urls, wait_for_response=False
    )
    running = ChangeAgentStateAction(agent_state=AgentState.RUNNING)
    first = work.stream.next_id + 3
    recalled = taking_up(work.opening.message, work.recollection, first, work.parts.clock())
    return (system, message, running, *recalled)


def _waiting() -> Sequence[Event]:
    state = AgentState.AWAITING_USER_INPUT
    return (ChangeAgentStateAction(agent_state=state), AgentStateChangedObservation(agent_state=state))


def taking_up(query: str, found: Recollection | None, first: int, moment: datetime) -> Sequence[Event]:
    """What follows a message that begins a turn: the first time with what memory found. `first` is the id of the
    first of these events."""
    running = AgentStateChangedObservation(agent_state=AgentState.RUNNING)
    if found is None:
        return (running,)
    kind = "workspace_context"
    return (
        RecallAction(source=Source.USER, recall_type=kind, query=query),
        running,
        RecallObservation(
            cause=EventId(first),
            content="Added what is known of the workspace.",
            recall_type=kind,
            repo_name=found.repository,
            repo_instructions=found.instructions,
            working_dir=found.working_dir,
            date=moment.date().isoformat(),
        ),
    )


STAGES: Mapping[SessionState, Stage] = {
    SessionState.INITIALIZING: Stage(20.0, "STATUS$INITIALIZING", _load_log),
    SessionState.RUNTIME_SETUP: Stage(120.0, "STATUS$STARTING_RUNTIME", _open_runtime),
    SessionState.AGENT_SETUP: Stage(60.0, "STATUS$SETTING_UP_AGENT", _open_agent),
    SessionState.MEMORY_SETUP: Stage(300.0, "STATUS$SETTING_UP_WORKSPACE", _recall),
    SessionState.CONTROLLER_SETUP: Stage(15.0, "STATUS$SETTING_UP_CONTROLLER", _make_controller),
}
