"""A turn in which nothing happens says so, once for each quiet spell, with what it waits for."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from openhands_sessions.core.commands import Stop
from openhands_sessions.ports.gateway import Delta, Status
from openhands_sessions.ports.model import Retry
from openhands_sessions.ports.store import EventLog, SessionStore
from openhands_sessions.session.event_stream import EventStream
from openhands_sessions.session.progress_notice import NO_PROGRESS, ProgressNotice
from tests.fakes.model import FakeModel, FakeReply
from tests.fakes.runtime import FakeRuntimes
from tests.support.feed_follower import Follower, opened
from tests.support.session_harness import SessionHarness, rest, runs, say, says, state, until

QUIET = 60.0
NOTHING = "Nothing has happened for 60 s: waiting for "


@dataclass
class _Call:
    at: float
    callback: Callable[[], None]
    timers: "FakeTimers"

    def cancel(self) -> None:
        if self in self.timers.calls:
            self.timers.calls.remove(self)


@dataclass
class FakeTimers:
    """Time that passes when a test says so."""

    now: float = 0.0
    calls: list[_Call] = field(default_factory=list)

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], None]) -> _Call:
        call = _Call(self.now + delay, callback, self)
        self.calls.append(call)
        return call

    def pass_by(self, seconds: float) -> None:
        self.now += seconds
        while due := [call for call in self.calls if call.at <= self.now]:
            self.calls.remove(due[0])
            due[0].callback()


@pytest.fixture
def timers() -> FakeTimers:
    return FakeTimers()


def scene(store: SessionStore, timers: FakeTimers, *replies: FakeReply, quiet: float = QUIET) -> SessionHarness:
    settings = {"progress_notice": quiet}
    return SessionHarness(store=store, model=FakeModel(replies), settings=settings, timers=lambda: timers)


@dataclass
class Notices:
    follower: Follower

    async def texts(self) -> list[str]:
        await rest()
        return [one.message for one in self.follower.news if isinstance(one, Status) and one.id == NO_PROGRESS]


@asynccontextmanager
async def notices(stream: EventStream) -> AsyncIterator[Notices]:
    """What followers are told, as it comes."""
    follower = Follower(stream)
    following = asyncio.create_task(follower.run())
    try:
        yield Notices(follower)
    finally:
        following.cancel()
        await asyncio.wait([following])


def held(gate: asyncio.Event) -> FakeReply:
    return FakeReply(calls=runs("echo hi").calls, hold=gate)


async def test_a_silent_model_is_told_once_for_each_quiet_spell(
    store: SessionStore, timers: FakeTimers, gate: asyncio.Event
) -> None:
    second = asyncio.Event()
    harness = scene(store, timers, held(gate), held(second), says("Done."))
    async with harness.live() as session, notices(session.event_stream) as told:
        said = await say(session, "go")
        await harness.model.asked(1)
        timers.pass_by(QUIET - 1)
        assert await told.texts() == []
        timers.pass_by(1)
        assert await told.texts() == [f"{NOTHING}the model's reply."]
        timers.pass_by(10 * QUIET)
        assert len(await told.texts()) == 1
        gate.set()
        await harness.model.asked(2)
        await rest()
        timers.pass_by(QUIET)
        assert await told.texts() == [f"{NOTHING}the model's reply."] * 2
        second.set()
        await state(session, "awaiting_user_input", said.id)
        await rest()
        assert timers.calls == []


async def test_a_command_that_prints_nothing_is_named_by_its_event(
    store: SessionStore, timers: FakeTimers, gate: asyncio.Event
) -> None:
    harness = scene(store, timers, runs("wait"), says("Done."))
    harness.runtimes = FakeRuntimes({"wait": ("", 0)}, {"wait": gate})
    async with harness.live() as session, notices(session.event_stream) as told:
        said = await say(session, "go")
        run = await until(session, lambda event: event.KIND == "run", said.id)
        await rest()
        timers.pass_by(QUIET)
        assert await told.texts() == [f"{NOTHING}the result of event {run.id} (run)."]


async def test_a_pause_between_two_tries_is_told_as_one(
    store: SessionStore, timers: FakeTimers, gate: asyncio.Event
) -> None:
    retries = [Retry(attempt=1, wait=100.0, problem="The provider is away.")]
    harness = scene(store, timers, FakeReply(calls=runs("echo hi").calls, retries=retries, hold=gate))
    async with harness.live() as session, notices(session.event_stream) as told:
        await say(session, "go")
        await harness.model.asked(1)
        timers.pass_by(QUIET)
        assert await told.texts() == [f"{NOTHING}the next try of the model call, in 40 s."]


async def test_without_a_turn_there_is_no_timer_and_with_one_there_is_one(
    store: SessionStore, timers: FakeTimers, gate: asyncio.Event
) -> None:
    harness = scene(store, timers, held(gate))
    async with harness.live() as session:
        await rest()
        assert timers.calls == []
        await say(session, "go")
        await harness.model.asked(1)
        assert len(timers.calls) == 1
        await session.submit(Stop())
        assert timers.calls == []


async def test_zero_seconds_mean_never(store: SessionStore, timers: FakeTimers, gate: asyncio.Event) -> None:
    harness = scene(store, timers, held(gate), quiet=0.0)
    async with harness.live() as session:
        await say(session, "go")
        await harness.model.asked(1)
        assert timers.calls == []


async def test_what_streams_is_progress(log: EventLog, timers: FakeTimers) -> None:
    told: list[str] = []
    stream = await opened(log)
    notice = ProgressNotice(stream, QUIET, lambda status, text: told.append(text), lambda: timers)
    notice.begin()
    for piece in range(5):
        timers.pass_by(QUIET - 1)
        stream.publish_transient(Delta("reply", "1", piece, "x"))
        assert len(timers.calls) == 1
    assert told == []
    timers.pass_by(QUIET - 1)
    assert told == []
    timers.pass_by(1)
    assert told == [f"{NOTHING}the model's reply."]
    notice.end()
    assert timers.calls == []


async def test_a_status_is_no_progress(log: EventLog, timers: FakeTimers) -> None:
    told: list[str] = []
    stream = await opened(log)
    notice = ProgressNotice(stream, QUIET, lambda status, text: told.append(text), lambda: timers)
    notice.begin()
    timers.pass_by(QUIET - 1)
    stream.publish_transient(Status("info", "STATUS$LLM_RETRY", "again"))
    timers.pass_by(1)
    assert len(told) == 1
    notice.end()
