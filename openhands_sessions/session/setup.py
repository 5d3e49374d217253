"""What is built in each set-up state, and what a session has once all of it is built."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from openhands_sessions.core.errors import DamagedRecord, OwnedElsewhere, RuntimeFailure, SessionsError, StageFailed
from openhands_sessions.core.events.actions import ChangeAgentStateAction, MessageAction, SystemAction
from openhands_sessions.core.events.event import AgentState, Event, Source
from openhands_sessions.core.events.observations import REPLAY_LOST_ID, AgentStateChangedObservation, ErrorObservation
from openhands_sessions.core.events.own import ReplayBegunObservation, ReplayEndedObservation
from openhands_sessions.core.ids import UNNUMBERED, ConversationId, EventId, OwnerId
from openhands_sessions.core.lifecycle import SessionState
from openhands_sessions.core.masking import without_paths
from openhands_sessions.core.repository import Repository
from openhands_sessions.core.settings import SessionSettings
from openhands_sessions.core.trajectory import TrajectoryStep
from openhands_sessions.ports.gateway import Status
from openhands_sessions.ports.memory import RecalledKnowledge
from openhands_sessions.ports.runtime import Runtime, RuntimeSpec
from openhands_sessions.ports.tool import Tool
from openhands_sessions.session.action_runner import ActionRunner
from openhands_sessions.session.agent_controller import AgentController
from openhands_sessions.session.agent_controllers import AgentControllers
from openhands_sessions.session.call_budget import first_budget
from openhands_sessions.session.dependencies import Dependencies, Participant
from openhands_sessions.session.event_stream import EventStream
from openhands_sessions.session.knowledge_recall import KnowledgeRecall
from openhands_sessions.session.live_credentials import LiveCredentials
from openhands_sessions.session.log_folding import Folding, loading, saving
from openhands_sessions.session.new_sandbox import note_new_sandbox
from openhands_sessions.session.participants import OpenedParticipant, ParticipantOpening
from openhands_sessions.session.progress_limit import ProgressLimit
from openhands_sessions.session.replay import Replay
from openhands_sessions.session.repository_setup import RepositorySetup
from openhands_sessions.session.setup_stages import SetupStage
from openhands_sessions.session.stop import is_over
from openhands_sessions.session.switchable_agent import AgentOpening, SwitchableAgent
from openhands_sessions.session.tool_registry import ToolRegistry
from openhands_sessions.session.turn_context import TurnContext
from openhands_sessions.session.turn_runner import turn_is_owed

T = TypeVar("T")
NO_IMAGES = "cannot be looked at by this model: choose another one, or send the message without images"
REPLAY_LOST = "The recorded steps are lost; the conversation goes on without them."


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
    author: OwnerId | None = None
    """Who wrote the message."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ready:
    """What a session has once it is set up. `interrupted`: the log ends in the middle of a turn."""

    sid: ConversationId
    term: int
    snapshot_head: EventId
    interrupted: bool
    runtime: Runtime
    agent: SwitchableAgent
    knowledge: KnowledgeRecall
    controller: AgentControllers


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionSetup:
    """Builds one session, stage by stage: each needs what the earlier ones give. What is opened lies on `stack`."""

    sid: ConversationId
    owner: OwnerId
    settings: SessionSettings
    opening: AgentOpening
    """Of the first agent."""
    participants: Sequence[Participant]
    dependencies: Dependencies
    credentials: LiveCredentials
    initial: InitialInput
    stream: EventStream
    stack: AsyncExitStack
    move: Callable[[SessionState], None]
    stages: Mapping[SessionState, SetupStage]
    limit: ProgressLimit = field(default_factory=ProgressLimit)
    """Of the stage that runs."""

    async def run(self) -> Ready:
        """Raises StageFailed, and what is no error of ours as it is."""
        term, snapshot_head = await self._stage(SessionState.INITIALIZING, self._load_log)
        interrupted = turn_is_owed(self.stream.view)
        runtime, tools = await self._stage(SessionState.RUNTIME_SETUP, partial(self._open_runtime, term))
        agents = await self._stage(SessionState.AGENT_SETUP, partial(self._open_agents, runtime, tools))
        knowledge = await self._stage(SessionState.MEMORY_SETUP, partial(self._recall, runtime, tools))
        make = partial(self._make_controller, runtime, agents, knowledge)
        controller = await self._stage(SessionState.CONTROLLER_SETUP, make)
        return Ready(
            sid=self.sid,
            term=term,
            snapshot_head=snapshot_head,
            interrupted=interrupted,
            runtime=runtime,
            agent=agents[0].agent,
            knowledge=knowledge,
            controller=controller,
        )

    async def _stage(self, state: SessionState, build: Callable[[], Awaitable[T]]) -> T:
        stage = self.stages[state]
        self.move(state)
        self.stream.publish_transient(Status("info", stage.status, ""))
        try:
            async with self.limit.running(stage.limit):
                return await build()
        except TimeoutError as error:
            raise StageFailed(state, "TimeoutError", f"it took longer than {stage.limit:.0f} s") from error
        except (DamagedRecord, OwnedElsewhere):
            raise  # not the stage has failed: the log must not be written to, or another server works on it
        except SessionsError as error:
            raise StageFailed(state, type(error).__name__, without_paths(error.message)) from error
        except OSError as error:
            raise StageFailed(state, type(error).__name__, error.strerror or "the system refused") from error

    async def _load_log(self) -> tuple[int, EventId]:
        """The term, and the newest event of the snapshot that is stored."""
        store, stream = self.dependencies.store, self.stream
        term = await store.claim(self.sid)
        snapshot = await store.snapshots.load(self.sid)
        how = Folding(
            load=loading(store.snapshots, self.sid),
            save=saving(store.snapshots, self.sid),
            turns=self.dependencies.fold_turns,
            limit=self.limit,
            tell=self._tell_reading,
        )
        await stream.load(term, snapshot, how, agent=self.participants[0].name)
        self.opening.ledger.begin()
        if stream.view.head == UNNUMBERED:
            await stream.append(AgentStateChangedObservation(agent_state=AgentState.LOADING))
        return term, UNNUMBERED if snapshot is None else snapshot.head

    def _tell_reading(self, events: int) -> None:
        status = self.stages[SessionState.INITIALIZING].status
        self.stream.publish_transient(Status("info", status, f"Reading {events:,} events of the log."))

    async def _open_runtime(self, term: int) -> tuple[Runtime, Sequence[Tool]]:
        def on_step(status: str, words: str) -> None:
            self.stream.publish_transient(Status("info", status, words))

        parts = self.dependencies
        spec = RuntimeSpec(
            sid=self.sid,
            term=term,
            environment=self.credentials.environment,
            secrets=self.credentials.secrets,
            on_step=on_step,
        )
        runtime = await self.stack.enter_async_context(parts.runtimes.open(spec))
        await note_new_sandbox(self.sid, self.stream, runtime)
        if parts.ipython is not None and await parts.runtimes.has_ipython():
            return runtime, (*parts.tools, parts.ipython)
        return runtime, parts.tools

    async def _open_agents(self, runtime: Runtime, tools: Sequence[Tool]) -> Sequence[OpenedParticipant]:
        """The first one with a model that the user has chosen for this conversation."""
        parts, ledger, view = self.dependencies, self.opening.ledger, self.stream.view
        opening = ParticipantOpening(
            stack=self.stack,
            parts=parts,
            ledger=ledger,
            runtime=runtime,
            tools=tools,
            current=self.credentials.mcp,
            model=view.model,
            whose=(self.sid, self.owner),
        )
        return await opening.open(self.participants)

    async def _recall(self, runtime: Runtime, tools: Sequence[Tool]) -> KnowledgeRecall:
        view, repository = self.stream.view, self.initial.repository
        if repository is not None and view.system == UNNUMBERED:
            await RepositorySetup(self.stream, self._runner(runtime, ToolRegistry(tools))).take(repository)
        try:
            found = await self.dependencies.memory.recall(runtime.files)
        except RuntimeFailure:
            if not view.recalled:
                raise
            found = RecalledKnowledge()  # a conversation that knows its workspace already can be read without it
        return KnowledgeRecall(found, self.settings, self.dependencies.clock, repository)

    async def _make_controller(
        self, runtime: Runtime, agents: Sequence[OpenedParticipant], knowledge: KnowledgeRecall
    ) -> AgentControllers:
        steps = await self._steps()
        for problem in dict.fromkeys(told for each in agents if each.mcp is not None for told in each.mcp.problems):
            await self.stream.append(ErrorObservation(content=problem, error_id="MCP$UNAVAILABLE"))
        if knowledge.problems:
            await self._tell_problems("\n".join(knowledge.problems))
        controllers = {
            each.name: self._controller(runtime, each, Replay(steps, each.tools, knowledge)) for each in agents
        }
        await self._begin(agents, knowledge, steps)
        return AgentControllers(self.stream, controllers)

    def _controller(self, runtime: Runtime, agent: OpenedParticipant, replay: Replay) -> AgentController:
        parts = self.dependencies
        context = TurnContext(
            agent=agent.agent,
            runner=self._runner(runtime, agent.tools, agent),
            tools=agent.tools,
            policy=parts.policy,
            condenser=parts.condenser,
            replay=replay,
            ledger=self.opening.ledger,
            viewer=agent.viewer,
            timers=parts.timers,
        )
        return AgentController(self.stream, context, agent.settings)

    async def _tell_problems(self, problems: str) -> None:
        """A status each time, and an event in a new conversation: the log of an older one has it."""
        self.stream.publish_transient(Status("info", "STATUS$ERROR_MEMORY", problems))
        if self.stream.view.system == UNNUMBERED:
            await self.stream.append(ErrorObservation(content=problems, error_id="MICROAGENT$NOT_UNDERSTOOD"))

    async def _begin(
        self, agents: Sequence[OpenedParticipant], knowledge: KnowledgeRecall, steps: Sequence[TrajectoryStep]
    ) -> None:
        """Append the first events of a new conversation; of an older one, that the agent waits again."""
        stream = self.stream
        if stream.view.system == UNNUMBERED:
            images = () if self.initial.images is None else tuple(await self.initial.images())
            replay = (ReplayBegunObservation(steps=len(steps)),) if steps else ()
            await stream.append(*self._first_events(agents, knowledge, images), *replay, *first_budget(self.settings))
        elif not stream.view.owed and await is_over(stream):
            await stream.append(*_waiting(stream.view.pending))

    def _first_events(
        self, agents: Sequence[OpenedParticipant], knowledge: KnowledgeRecall, images: tuple[str, ...]
    ) -> Sequence[Event]:
        """The prompts, then the first message or the wait for it."""
        prompts = [
            SystemAction(
                source=Source.AGENT,
                content=each.prompt,
                tools=tuple(each.tools.schemas),
                openhands_version=self.dependencies.version,
                agent_class=each.agent.name,
                agent_name=each.name,
            )
            for each in agents
        ]
        if images and not agents[0].agent.vision and self.initial.replay is None:
            refusal = f"The message was not taken: its images {NO_IMAGES}"
            return (*prompts, AgentStateChangedObservation(agent_state=AgentState.ERROR, reason=refusal))
        if self.initial.message is None:
            return (*prompts, *_waiting())
        message = MessageAction(
            source=Source.USER,
            content=self.initial.message,
            image_urls=images,
            wait_for_response=False,
            author=self.initial.author,
        )
        running = ChangeAgentStateAction(agent_state=AgentState.RUNNING)
        asked = self.stream.next_id + len(prompts)
        recalled = knowledge.taking_up(self.initial.message, asked + 2, whole=True)
        return (*prompts, message, running, *recalled)

    async def _steps(self) -> Sequence[TrajectoryStep]:
        """The recorded steps, where any are still to be issued."""
        view = self.stream.view
        if self.initial.replay is None or (view.system != UNNUMBERED and not view.replaying):
            return ()
        steps = await self.initial.replay()
        if steps is None:
            ended = () if view.replay is None else (ReplayEndedObservation(done=view.replay.done),)
            await self.stream.append(ErrorObservation(content=REPLAY_LOST, error_id=REPLAY_LOST_ID), *ended)
        return steps or ()

    def _runner(self, runtime: Runtime, tools: ToolRegistry, agent: OpenedParticipant | None = None) -> ActionRunner:
        mcp, model = (None, None) if agent is None else (agent.mcp, agent.agent)
        limit = self.settings.command_timeout
        return ActionRunner(
            self.sid,
            self.stream,
            runtime,
            tools,
            limit,
            spans=self.opening.ledger.spans,
            mcp=mcp,
            vision=lambda: model is not None and model.vision,
        )


def _waiting(pending: EventId | None = None) -> Sequence[Event]:
    """That the agent waits for the user, or for the answer to the action `pending`."""
    if pending is not None:
        return (AgentStateChangedObservation(agent_state=AgentState.AWAITING_USER_CONFIRMATION),)
    state = AgentState.AWAITING_USER_INPUT
    return (ChangeAgentStateAction(agent_state=state), AgentStateChangedObservation(agent_state=state))
