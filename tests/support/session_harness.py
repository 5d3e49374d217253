"""One session over a memory store, a scripted model and a fake sandbox, and ways to wait for its events."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from openhands_sessions.adapters.agents.model_agent import ModelAgents
from openhands_sessions.adapters.agents.shell import AgentChoice, ShellAgents
from openhands_sessions.adapters.confirmation_policy import ConfirmationMode
from openhands_sessions.adapters.tools.editor import Editor
from openhands_sessions.adapters.tools.execution import Bash, Ipython
from openhands_sessions.adapters.tools.mcp import McpTool
from openhands_sessions.adapters.tools.notes import Finish, TaskTracker, Think
from openhands_sessions.adapters.window_condenser import WindowCondenser
from openhands_sessions.adapters.workspace_memory import WorkspaceMemory
from openhands_sessions.core.commands import SendMessage
from openhands_sessions.core.events.actions import ChangeAgentStateAction, MessageAction, RunAction
from openhands_sessions.core.events.codec import decode
from openhands_sessions.core.events.event import Event
from openhands_sessions.core.events.observations import AgentStateChangedObservation, ErrorObservation, RunObservation
from openhands_sessions.core.events.own import (
    InvalidCallAction,
    ModelCalledObservation,
    ToolCallsAction,
    TurnEndedObservation,
)
from openhands_sessions.core.ids import EventId
from openhands_sessions.core.layered_settings import LayeredSettings
from openhands_sessions.core.lifecycle import SessionState
from openhands_sessions.core.quotas import Quota
from openhands_sessions.ports.agent import Agents
from openhands_sessions.ports.gateway import Accepted, FeedItem, SessionClosed, SessionEnded
from openhands_sessions.ports.mcp import McpServers
from openhands_sessions.ports.memory import Memory
from openhands_sessions.ports.runtime import Runtimes
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.session.agent_session import AgentSession
from openhands_sessions.session.dependencies import Dependencies
from openhands_sessions.session.feed import Feed
from openhands_sessions.session.progress_notice import Timers
from openhands_sessions.session.setup import InitialInput
from openhands_sessions.session.setup_stages import STAGES
from tests.fakes.model import FakeCall, FakeModel, FakeModels, FakeReply
from tests.fakes.openings import DoorAgents, DoorMemory, DoorRuntimes, DoorStore, Doorway
from tests.fakes.runtime import FakeRuntimes
from tests.fakes.store import MortalStore
from tests.support.store_entries import NOW, TALK, read

E = TypeVar("E", bound=Event)
LONG = 30.0
"""Seconds that nothing here takes, unless it hangs."""


def runs(*commands: str, text: str = "") -> FakeReply:
    """A reply that runs commands."""
    return FakeReply(text=text, calls=[FakeCall("execute_bash", {"command": command}) for command in commands])


def says(text: str, **about: Any) -> FakeReply:
    return FakeReply(text=text, **about)


def finishes(text: str = "done") -> FakeReply:
    return FakeReply(calls=[FakeCall("finish", {"message": text})])


@dataclass(kw_only=True)
class SessionHarness:
    """What sessions of one conversation share; a session after another is as after a restart."""

    store: SessionStore
    model: FakeModel
    others: Sequence[FakeModel] = ()
    """Other models that there are."""
    runtimes: Runtimes = field(default_factory=FakeRuntimes)
    settings: dict[str, Any] = field(default_factory=dict)
    operators: dict[str, Any] = field(default_factory=lambda: {"llm_model": "fake"})
    """The operator's settings."""
    opening: InitialInput = field(default_factory=InitialInput)
    memory: Memory = field(default_factory=WorkspaceMemory)
    agents: Agents | None = None
    mcp: McpServers | None = None
    limits: Mapping[SessionState, float] = field(default_factory=dict)
    """Seconds that set-up states may take, where not as usual."""
    timers: Callable[[], Timers] = asyncio.get_running_loop
    quotas: Sequence[Quota] = ()
    clock: Callable[[], datetime] = lambda: NOW
    changes: list[SessionState] = field(default_factory=list)
    """The states that sessions went through."""

    def __post_init__(self) -> None:
        self.feed = Feed(self.store.log(TALK))

    def new_session(self, store: SessionStore | None = None) -> AgentSession:
        if self.feed.ended:
            self.feed = Feed(self.store.log(TALK))
        default = AgentChoice({"default": ModelAgents(FakeModels(self.model, *self.others)), "shell": ShellAgents()})
        parts = Dependencies(
            store=store or self.store,
            runtimes=self.runtimes,
            agents=self.agents or default,
            memory=self.memory,
            tools=(Bash(), Editor(), Think(), Finish(), TaskTracker()),
            ipython=Ipython(),
            mcp=self.mcp,
            mcp_tool=McpTool,
            policy=ConfirmationMode(),
            condenser=WindowCondenser("Sum up!"),
            quotas=self.quotas,
            clock=self.clock,
            version="test",
            timers=self.timers,
        )
        return AgentSession(
            TALK,
            LayeredSettings((self.operators,), (self.settings,)).settings,
            parts,
            self.feed,
            initial=self.opening,
            on_change=lambda session: self.changes.append(session.state),
            stages={
                state: replace(stage, limit=self.limits.get(state, stage.limit)) for state, stage in STAGES.items()
            },
        )

    @asynccontextmanager
    async def live(self, store: SessionStore | None = None) -> AsyncIterator[AgentSession]:
        """A session at work, closed as by a shutdown at the end, unless it is closed already; no task is left."""
        before = our_tasks()
        session = self.new_session(store)
        life = asyncio.create_task(session.run())
        try:
            async with asyncio.timeout(LONG):
                await session.settled()
            yield session
        finally:
            async with asyncio.timeout(LONG):
                await session.close("shutdown")
                await life
        assert our_tasks() <= before, "a task is left behind"

    @asynccontextmanager
    async def killed(self, store: MortalStore) -> AsyncIterator[AgentSession]:
        """A session whose store dies with it: at the end its task is cancelled, and can do nothing any more."""
        before = our_tasks()
        session = self.new_session(store)
        life = asyncio.create_task(session.run())
        try:
            yield session
            async with asyncio.timeout(LONG):
                await store.dead.wait()
        finally:
            life.cancel()
            store.bury()
            async with asyncio.timeout(LONG):
                await asyncio.wait([life])
        assert our_tasks() <= before, "a task is left behind"

    async def events(self) -> list[Event]:
        return [decode(entry.text, entry.schema) for entry in await read(self.store.log(TALK))]

    async def told(self) -> list[str]:
        return outline(await self.events())


@dataclass
class Held:
    """A set-up state in which sessions wait for ever. `store` is to be given to the session, where it is not None."""

    entered: asyncio.Event
    store: SessionStore | None = None


def hold(harness: SessionHarness, stage: SessionState) -> Held:
    """Have sessions wait in one set-up state."""
    door, store = Doorway(held=asyncio.Event()), None
    match stage:
        case SessionState.INITIALIZING:
            store = DoorStore(harness.store, door)
        case SessionState.RUNTIME_SETUP:
            harness.runtimes = DoorRuntimes(door)
        case SessionState.AGENT_SETUP:
            harness.agents = DoorAgents(door)
        case SessionState.MEMORY_SETUP:
            harness.memory = DoorMemory(door)
        case _:
            harness.opening = InitialInput(message="hi", images=door.images)
    return Held(door.entered, store)


def our_tasks() -> set["asyncio.Task[Any]"]:
    """Those that run the package's code; a sandbox's go on without a session."""
    return {task for task in asyncio.all_tasks() if "/openhands_sessions/" in _file_of(task)}


def _file_of(task: "asyncio.Task[Any]") -> str:
    code = getattr(task.get_coro(), "cr_code", None) or getattr(task.get_coro(), "ag_code", None)
    return "" if code is None else str(code.co_filename)


async def until(session: AgentSession, happened: Callable[[Event], bool], after: int = -1) -> Event:
    """Wait for an event, from the one behind `after` on."""
    async with asyncio.timeout(LONG):
        following = session.event_stream.feed.follow(after)
        try:
            async for news in following:
                for event in events_of(news):
                    if happened(event):
                        return event
        finally:
            await following.aclose()
    raise AssertionError("a stream never ends but by SessionEnded")


def events_of(item: FeedItem) -> list[Event]:
    return [decode(entry.text, entry.schema) for entry in item] if isinstance(item, Sequence) else []


async def state(session: AgentSession, name: str, after: int = -1) -> Event:
    """Wait for a state of the agent."""
    return await until(
        session, lambda one: isinstance(one, AgentStateChangedObservation) and one.agent_state == name, after
    )


async def turn_ended(session: AgentSession, turn: EventId | None) -> TurnEndedObservation:
    """Wait for the end of a turn."""
    event = await until(session, lambda one: isinstance(one, TurnEndedObservation) and one.turn == turn)
    assert isinstance(event, TurnEndedObservation)
    return event


async def rest() -> None:
    """Let everything that can go on now do so: a session at a gate comes to it."""
    for _ in range(30):
        await asyncio.sleep(0)


async def say(session: AgentSession, text: str) -> Accepted:
    async with asyncio.timeout(LONG):
        return await session.submit(SendMessage(content=text))


async def ask(session: AgentSession, text: str, last: str = "awaiting_user_input") -> EventId:
    """Say something and wait until the agent has come to the state `last`."""
    accepted = await say(session, text)
    return (await state(session, last, accepted.id)).id


async def reason_of_end(session: AgentSession) -> str:
    """Follow to the end, and return why it came."""
    async with asyncio.timeout(LONG):
        try:
            async for item in session.event_stream.feed.follow(-1):
                if isinstance(item, SessionClosed):
                    return item.reason
        except SessionEnded as end:
            return end.reason
    raise AssertionError("a feed never ends but by SessionEnded")


def only(events: Sequence[Event], kind: type[E]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]


def outline(events: Sequence[Event]) -> list[str]:
    """A log in words, one line each; without the records of model calls."""
    return [_line(event) for event in events if not isinstance(event, ModelCalledObservation)]


def _line(event: Event) -> str:
    match event:
        case MessageAction():
            return f"{event.source}: {event.content}"
        case ChangeAgentStateAction():
            return f"{event.source} -> {event.agent_state}"
        case AgentStateChangedObservation():
            return f"state {event.agent_state}"
        case TurnEndedObservation():
            return f"turn ended: {event.stop_reason}"
        case RunAction():
            return f"run {event.command} ({event.confirmation_state})"
        case RunObservation():
            return f"ran {event.command}: {event.content} [{event.metadata.exit_code}]"
        case ErrorObservation():
            return f"error {event.error_id}"
        case ToolCallsAction():
            return f"{len(event.calls)} calls"
        case InvalidCallAction():
            return "invalid call"
        case _:
            return event.KIND


def arguments(message: Mapping[str, Any]) -> list[str]:
    return [call["function"]["arguments"] for call in message["tool_calls"]]
