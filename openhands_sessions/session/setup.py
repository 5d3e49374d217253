"""What is built in each set-up state: one row per state, each with its own limit and status."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime

from openhands_sessions.core.errors import RuntimeFailure
from openhands_sessions.core.events.actions import ChangeAgentStateAction, MessageAction, SystemAction
from openhands_sessions.core.events.event import AgentState, Event, Source
from openhands_sessions.core.events.observations import REPLAY_LOST_ID, AgentStateChangedObservation, ErrorObservation
from openhands_sessions.core.events.own import ReplayBegunObservation, ReplayEndedObservation
from openhands_sessions.core.ids import UNNUMBERED, ConversationId, EventId
from openhands_sessions.core.lifecycle import SessionState
from openhands_sessions.core.repository import Repository
from openhands_sessions.core.settings import SessionSettings, environment
from openhands_sessions.core.trajectory import TrajectoryStep
from openhands_sessions.ports.agent import Agent, Agents
from openhands_sessions.ports.condenser import Condenser
from openhands_sessions.ports.gateway import Status
from openhands_sessions.ports.mcp import McpFunction, McpServers, McpTools
from openhands_sessions.ports.memory import Memory, RecalledKnowledge
from openhands_sessions.ports.policy import Policy
from openhands_sessions.ports.runtime import Runtime, Runtimes, RuntimeSpec
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.ports.tool import Tool
from openhands_sessions.session.action_runner import ActionRunner
from openhands_sessions.session.agent_controller import AgentController, TurnContext
from openhands_sessions.session.event_stream import EventStream, saving
from openhands_sessions.session.knowledge_recall import KnowledgeRecall
from openhands_sessions.session.replay import Replay
from openhands_sessions.session.repository_setup import RepositorySetup
from openhands_sessions.session.tool_registry import ToolRegistry

REPLAY_LOST = "The recorded steps are lost; the conversation goes on without them."
NO_IMAGES = "cannot be looked at by this model: choose another one, or send the message without images"


@dataclass(frozen=True, kw_only=True, slots=True)
class Dependencies:
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
    ipython: Tool | None = None
    """Offered where the sandbox has IPython."""
    mcp: McpServers | None = None
    mcp_tool: Callable[[McpFunction], Tool] | None = None
    """Makes the tool of a function."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InitialInput:
    """What a conversation begins with. The message and its images are looked at only while its log has no system prompt
    yet."""

    message: str | None = None
    images: Callable[[], Awaitable[Sequence[str]]] | None = None
    """Loads those of the message."""
    repository: Repository | None = None
    replay: Callable[[], Awaitable[Sequence[TrajectoryStep] | None]] | None = None
    """Loads the recorded steps that follow the message; None where they are lost. Asked for until they have all been
    issued."""


@dataclass(kw_only=True, slots=True)
class SetupContext:
    """A session while it is being built: each stage adds its part, and what must be closed to the stack."""

    sid: ConversationId
    settings: SessionSettings
    parts: Dependencies
    opening: InitialInput
    stream: EventStream
    stack: AsyncExitStack
    term: int = 0
    snapshot_head: EventId = UNNUMBERED
    interrupted: bool = False
    """Whether the log ends in the middle of a turn."""
    runtime: Runtime | None = None
    tools: Sequence[Tool] = ()
    mcp: McpTools | None = None
    agent: Agent | None = None
    knowledge: KnowledgeRecall | None = None
    controller: AgentController | None = None


_FAILURES = tuple(f"{state} failed: " for state in SessionState)
"""How the reasons of StageFailed begin."""


@dataclass(frozen=True, slots=True)
class SetupStage:
    """One set-up state: `limit` in seconds, `status` as clients are told, `build` adds the part."""

    limit: float
    status: str
    build: Callable[[SetupContext], Awaitable[None]]


async def _load_log(work: SetupContext) -> None:
    store = work.parts.store
    work.term = await store.claim(work.sid)
    snapshot = await store.snapshots.load(work.sid)
    await work.stream.load(work.term, snapshot, saving(store.snapshots, work.sid))
    work.snapshot_head = UNNUMBERED if snapshot is None else snapshot.head
    work.interrupted = work.stream.view.owed and work.stream.view.pending is None
    if work.stream.view.head == UNNUMBERED:
        await work.stream.append(AgentStateChangedObservation(agent_state=AgentState.LOADING))


async def _open_runtime(work: SetupContext) -> None:
    def tell(status: str, words: str) -> None:
        work.stream.publish_transient(Status("info", status, words))

    spec = RuntimeSpec(sid=work.sid, term=work.term, environment=environment(work.settings), on_step=tell)
    work.runtime = await work.stack.enter_async_context(work.parts.runtimes.open(spec))
    work.tools = work.parts.tools
    if work.parts.ipython is not None and await work.parts.runtimes.has_ipython():
        work.tools = (*work.tools, work.parts.ipython)


async def _open_agent(work: SetupContext) -> None:
    work.agent = await work.stack.enter_async_context(work.parts.agents.open(work.settings))
    config, parts = work.settings.mcp_config, work.parts
    if config is not None and not config.empty and parts.mcp is not None and parts.mcp_tool is not None:
        assert work.runtime is not None  # RuntimeSetup comes before
        work.mcp = await work.stack.enter_async_context(parts.mcp.open(config, work.runtime.programs))
        work.tools = (*work.tools, *(parts.mcp_tool(function) for function in work.mcp.functions))


async def _recall(work: SetupContext) -> None:
    assert work.runtime is not None  # RuntimeSetup comes before
    if work.opening.repository is not None and work.stream.view.system == UNNUMBERED:
        tools = ToolRegistry(work.tools)
        actor = ActionRunner(work.sid, work.stream, work.runtime, tools, work.settings.command_timeout)
        await RepositorySetup(work.stream, actor).take(work.opening.repository)
    try:
        found = await work.parts.memory.recall(work.runtime.files)
    except RuntimeFailure:
        if not work.stream.view.recalled:
            raise
        found = RecalledKnowledge()  # a conversation that knows its workspace already can be read without it
    work.knowledge = KnowledgeRecall(found, work.settings, work.parts.clock, work.opening.repository)


async def _make_controller(work: SetupContext) -> None:
    assert work.runtime is not None  # RuntimeSetup comes before
    assert work.agent is not None  # AgentSetup comes before
    assert work.knowledge is not None  # MemorySetup comes before
    toolbox = ToolRegistry(work.tools)
    steps = await _steps(work)
    replaying = Replay(steps, toolbox, work.knowledge)
    actor = ActionRunner(work.sid, work.stream, work.runtime, toolbox, work.settings.command_timeout, mcp=work.mcp)
    for problem in () if work.mcp is None else work.mcp.problems:
        await work.stream.append(ErrorObservation(content=problem, error_id="MCP$UNAVAILABLE"))
    context = TurnContext(work.agent, actor, toolbox, work.parts.policy, work.parts.condenser, replaying)
    work.controller = AgentController(work.stream, context, work.settings)
    if work.stream.view.system == UNNUMBERED:
        replay = (ReplayBegunObservation(steps=len(steps)),) if steps else ()
        images = () if work.opening.images is None else tuple(await work.opening.images())
        await work.stream.append(*_beginning(work, work.agent, toolbox, images), *replay)
    elif not work.stream.view.owed and await _says_that_it_is_over(work.stream):
        await work.stream.append(*_waiting(work.stream.view.pending))


async def _steps(work: SetupContext) -> Sequence[TrajectoryStep]:
    """The recorded steps, where any are still to be issued."""
    begun = work.stream.view.system != UNNUMBERED
    if work.opening.replay is None or (begun and not work.stream.view.replaying):
        return ()
    steps = await work.opening.replay()
    if steps is None:
        replay = work.stream.view.replay
        ended = () if replay is None else (ReplayEndedObservation(done=replay.done),)
        await work.stream.append(ErrorObservation(content=REPLAY_LOST, error_id=REPLAY_LOST_ID), *ended)
    return steps or ()


def _beginning(work: SetupContext, agent: Agent, toolbox: ToolRegistry, images: tuple[str, ...]) -> Sequence[Event]:
    """The first events of a conversation, one append: the prompt, then the first message or the wait for it."""
    instructions = work.settings.conversation_instructions
    system = SystemAction(
        source=Source.AGENT,
        content=f"{agent.prompt}\n\n{instructions}" if instructions else agent.prompt,
        tools=tuple(toolbox.schemas),
        openhands_version=work.parts.version,
        agent_class=agent.name,
    )
    if images and not agent.vision and work.opening.replay is None:
        refusal = f"The message was not taken: its images {NO_IMAGES}"
        return (system, AgentStateChangedObservation(agent_state=AgentState.ERROR, reason=refusal))
    if work.opening.message is None:
        return (system, *_waiting())
    assert work.knowledge is not None  # MemorySetup comes before
    message = MessageAction(
        source=Source.USER, content=work.opening.message, image_urls=images, wait_for_response=False
    )
    running = ChangeAgentStateAction(agent_state=AgentState.RUNNING)
    first = work.stream.next_id + 3
    recalled = work.knowledge.taking_up(work.opening.message, first, whole=True)
    return (system, message, running, *recalled)


async def _says_that_it_is_over(stream: EventStream) -> bool:
    """Whether the newest state is that of a session that was stopped or has failed. A turn that has failed stands."""
    if stream.view.agent_state is not AgentState.ERROR:
        return stream.view.agent_state in (AgentState.STOPPED, AgentState.LOADING)
    newest = await stream.event(stream.view.last_state)
    return isinstance(newest, AgentStateChangedObservation) and newest.reason.startswith(_FAILURES)


def _waiting(pending: EventId | None = None) -> Sequence[Event]:
    """That the agent waits for the user, or for the answer to the action `pending`."""
    if pending is not None:
        return (AgentStateChangedObservation(agent_state=AgentState.AWAITING_USER_CONFIRMATION),)
    state = AgentState.AWAITING_USER_INPUT
    return (ChangeAgentStateAction(agent_state=state), AgentStateChangedObservation(agent_state=state))


STAGES: Mapping[SessionState, SetupStage] = {
    SessionState.INITIALIZING: SetupStage(20.0, "STATUS$INITIALIZING", _load_log),
    SessionState.RUNTIME_SETUP: SetupStage(120.0, "STATUS$STARTING_RUNTIME", _open_runtime),
    SessionState.AGENT_SETUP: SetupStage(60.0, "STATUS$SETTING_UP_AGENT", _open_agent),
    SessionState.MEMORY_SETUP: SetupStage(300.0, "STATUS$SETTING_UP_WORKSPACE", _recall),
    SessionState.CONTROLLER_SETUP: SetupStage(15.0, "STATUS$SETTING_UP_CONTROLLER", _make_controller),
}
