"""Whatever users do, whenever, and however often the server is restarted meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openhands_sessions.core.commands import (
    Answer,
    Command,
    EditQueued,
    GiveFeedback,
    Pause,
    RemoveQueued,
    Resume,
    SendMessage,
    Stop,
)
from openhands_sessions.core.errors import BadInput, ModelFailure, NotAccepting
from openhands_sessions.core.events.actions import ChangeAgentStateAction, MessageAction
from openhands_sessions.core.events.event import AgentState, Event, Source
from openhands_sessions.core.events.observations import AgentStateChangedObservation
from openhands_sessions.core.events.own import CallPurpose, FeedbackKind, ModelCalledObservation
from openhands_sessions.core.history_commands import (
    Compact,
    CreateCheckpoint,
    DeleteBranch,
    EditMessage,
    GoBack,
    Regenerate,
    Seed,
    SwitchBranch,
    Undo,
)
from openhands_sessions.core.ids import EventId
from openhands_sessions.core.lifecycle import SessionState
from openhands_sessions.ports.model import ModelReply, ModelRequest
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.session.agent_session import AgentSession
from tests.fakes.memory_store import open_memory
from tests.fakes.model import FakeCall, FakeModel, FakeReply
from tests.fakes.store import HeldLog, MortalStore
from tests.support.log_invariant import check_log
from tests.support.session_harness import LONG, SessionHarness, finishes, runs, says
from tests.support.store_entries import TALK, row
from tests.support.valid_history import valid

REPLIES = {
    "speaks": says("Hm."),
    "runs": runs("echo x >> ran"),
    "runs three": runs("echo x >> ran", "true", "echo x >> ran", text="Three."),
    "edits": FakeReply(calls=[FakeCall("str_replace_editor", {"command": "create", "path": "a", "file_text": "x"})]),
    "errs": FakeReply(calls=[FakeCall("dance", "{"), FakeCall("think", {"thought": "hm"})]),
    "fails": FakeReply(fail=ModelFailure("STATUS$ERROR", "no")),
    "finishes": finishes(),
    "says nothing": FakeReply(),
}
COMMANDS: dict[str, Command] = {
    "message": SendMessage(content="go"),
    "stop": Stop(),
    "pause": Pause(),
    "resume": Resume(),
    "yes": Answer(confirmed=True),
    "no": Answer(confirmed=False),
    "queue": SendMessage(content="then this", mode="queue"),
    "edit what is queued": EditQueued(queued=EventId(8), content="rather this"),
    "remove what is queued": RemoveQueued(EventId(8)),
    "stop that turn": Stop(EventId(8)),
    "yes, but": Answer(confirmed=True, arguments='{"command": "true"}'),
    "no, because": Answer(confirmed=False, feedback="not now"),
    "undo": Undo(),
    "regenerate": Regenerate(),
    "edit": EditMessage(message=EventId(5), content="go elsewhere"),
    "go back": GoBack(message=EventId(5)),
    "label": CreateCheckpoint(name="here"),
    "restore": GoBack(checkpoint="here"),
    "switch": SwitchBranch(branch="1"),
    "delete branch": DeleteBranch(branch="1"),
    "compact": Compact(),
    "feedback": GiveFeedback(feedback=FeedbackKind.UP, about=EventId(1)),
    "seed": Seed(messages=({"role": "user", "content": "earlier"},)),
}
ACTS = st.lists(
    st.tuples(
        st.sampled_from([*COMMANDS, *["message", "queue", "yes", "undo"] * 2, "restart"]),
        st.sampled_from([0, 1, 2, 3, 5, 8, 13, 40]),
    ),
    max_size=14,
)


class EndlessModel(FakeModel):
    """Plays its script, then speaks; every history that it is shown must be valid."""

    async def complete(
        self, request: ModelRequest, on_text: Any, on_retry: Any, on_thought: Any = None, on_lost: Any = None
    ) -> ModelReply:
        messages: Any = list(request.messages)
        assert valid(messages)
        if not self.script:
            self.play(says("Enough."))
        return await super().complete(request, on_text, on_retry)


async def lives(harness: SessionHarness, store: SessionStore, acts: list[tuple[str, int]]) -> None:
    """One session, to the first restart of `acts`, which are used up."""
    session = harness.new_session(store)
    life = asyncio.create_task(session.run())
    async with asyncio.timeout(LONG), asyncio.TaskGroup() as group:
        while acts:
            name, turns = acts.pop(0)
            if name == "restart":
                break
            group.create_task(gives(session, COMMANDS[name]))
            for _ in range(turns):
                await asyncio.sleep(0)
        if not acts:
            await comes_to_rest(session)
        assert session.state is not SessionState.ERROR, session.problem
        view = session.event_stream.view
        await session.close("shutdown")
    async with asyncio.timeout(LONG):
        await life
    assert view.head <= session.event_stream.view.head


async def gives(session: AgentSession, command: Command) -> None:
    with suppress(NotAccepting, BadInput):
        await session.submit(command)


async def comes_to_rest(session: AgentSession) -> None:
    quiet = 0
    while quiet < 5:
        await asyncio.sleep(0)
        quiet = quiet + 1 if session.state is SessionState.READY and not session.busy else 0


def check(events: list[Event]) -> None:
    check_log(events)
    for event in events:
        if isinstance(event, AgentStateChangedObservation) and event.agent_state is AgentState.STOPPED:
            behind = next((one for one in events[event.id + 1 :]), None)
            assert behind is None or starts_anew(behind), f"{behind} follows a stop"


def starts_anew(event: Event) -> bool:
    """What may come first behind a stop: the user again, who may have asked for a summary, or a session that is
    opened."""
    if isinstance(event, ModelCalledObservation):
        return event.purpose is CallPurpose.SEED
    return event.source is Source.USER or isinstance(event, ChangeAgentStateAction | MessageAction)


@asynccontextmanager
async def unhurried(store: SessionStore, pace: int) -> AsyncIterator[SessionStore]:
    """The store with a disk that takes so many turns of the loop for each write."""
    slow = MortalStore(store, dies_at=-1, stored=True)
    held = slow.logs[TALK] = HeldLog(store.log(TALK), holds=pace > 0)

    async def writes() -> None:
        while True:
            for _ in range(pace or 1):
                await asyncio.sleep(0)
            await held.release(1)

    writing = asyncio.create_task(writes())
    try:
        yield slow
    finally:
        writing.cancel()
        await asyncio.wait([writing])


@given(st.lists(st.sampled_from(list(REPLIES)), max_size=8), ACTS, st.booleans(), st.sampled_from([0, 1, 2, 5]))
@settings(max_examples=150, deadline=None)
@pytest.mark.slow
def test_whatever_users_do_the_log_makes_sense(
    replies: list[str], acts: list[tuple[str, int]], asks: bool, pace: int
) -> None:
    async def story() -> None:
        async with open_memory() as store, unhurried(store, pace) as slow:
            await store.conversations.create(row(TALK))
            model = EndlessModel([REPLIES[name] for name in replies])
            harness = SessionHarness(store=store, model=model, settings={"confirmation_mode": asks})
            left = list(acts)
            while left:
                await lives(harness, slow, left)
            await lives(harness, slow, [])
            check(await harness.events())

    asyncio.run(story())
