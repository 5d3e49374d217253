"""A workspace's repository is fetched once, whatever ends meanwhile; what went wrong is told, and tried again."""

import asyncio

from openhands_sessions.core.errors import StageFailed
from openhands_sessions.core.events.actions import RunAction, SystemAction
from openhands_sessions.core.events.event import Source
from openhands_sessions.core.events.observations import RunObservation
from openhands_sessions.core.lifecycle import SessionState
from openhands_sessions.core.repository import Repository, repository
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.session.repository_setup import clone_commands
from openhands_sessions.session.setup import InitialInput
from tests.fakes.model import FakeModel
from tests.fakes.runtime import FakeRuntimes
from tests.support.session_harness import LONG, SessionHarness, only, until

WANTED = repository("octo/hello")
COMMAND = clone_commands(WANTED)


def scene(store: SessionStore, runtimes: FakeRuntimes, wanted: Repository = WANTED) -> SessionHarness:
    return SessionHarness(store=store, model=FakeModel([]), runtimes=runtimes, opening=InitialInput(repository=wanted))


async def test_a_repository_is_fetched_before_the_agent_begins_and_only_once(store: SessionStore) -> None:
    harness = scene(store, FakeRuntimes({COMMAND: ("fetched\n", 0)}))
    for _ in range(2):
        async with harness.live() as session:
            assert session.state is SessionState.READY
    events = await harness.events()
    [action], [observation] = only(events, RunAction), only(events, RunObservation)
    assert (action.source, action.hidden, action.message) == (Source.ENVIRONMENT, True, "Cloning octo/hello")
    assert (observation.cause, observation.hidden, observation.source) == (action.id, True, Source.ENVIRONMENT)
    assert action.id < only(events, SystemAction)[0].id


async def test_a_fetch_that_outlives_its_session_is_joined_by_the_next(store: SessionStore) -> None:
    held = asyncio.Event()
    runtimes = FakeRuntimes({COMMAND: ("fetched\n", 0)}, {COMMAND: held})
    harness = scene(store, runtimes)
    first = harness.new_session()
    life = asyncio.create_task(first.run())
    begun = await until(first, lambda event: isinstance(event, RunAction))
    await first.close("shutdown")
    await life
    second = harness.new_session()
    life = asyncio.create_task(second.run())
    held.set()
    async with asyncio.timeout(LONG):
        await second.settled()
    assert second.state is SessionState.READY
    await second.close("shutdown")
    await life
    events = await harness.events()
    assert [action.id for action in only(events, RunAction)] == [begun.id]
    assert [one.cause for one in only(events, RunObservation)] == [begun.id]


async def test_a_fetch_that_fails_says_why_and_is_tried_again(store: SessionStore) -> None:
    async with scene(store, FakeRuntimes({COMMAND: ("fatal: not found\n", 128)})).live() as session:
        assert isinstance(session.problem, StageFailed)
        assert "the repository could not be set up: fatal: not found" in session.problem.message
    harness = scene(store, FakeRuntimes({COMMAND: ("fetched\n", 0)}))
    async with harness.live() as session:
        assert session.state is SessionState.READY
    assert [one.metadata.exit_code for one in only(await harness.events(), RunObservation)] == [128, 0]


def test_no_word_of_the_user_is_more_than_a_word_of_the_command() -> None:
    wanted = repository("https://example.org/$(id);'x", None, "a;$(id)")
    command = clone_commands(wanted)
    assert "-- 'https://example.org/$(id);'\"'\"'x'" in command
    assert "branch='a;$(id)'" in command
    assert "GIT_ALLOW_PROTOCOL=https:ssh:git;" in command
    assert "init -q -b 'x;y' ." in clone_commands(Repository(branch="x;y"))


def test_a_token_is_only_told_to_the_provider_it_is_for() -> None:
    assert "GITHUB_TOKEN" in clone_commands(repository("a/b"))
    assert "TOKEN" not in clone_commands(repository("https://example.org/a/b"))
