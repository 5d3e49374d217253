"""Knowledge that a message brings up is recorded behind it, told to the model before it, and told once."""

import asyncio
from contextlib import aclosing

from openhands_sessions.core.commands import SendMessage
from openhands_sessions.core.events.actions import RecallAction
from openhands_sessions.core.events.observations import ErrorObservation, RecallObservation
from openhands_sessions.core.repository import repository
from openhands_sessions.ports.gateway import Status
from openhands_sessions.ports.runtime import RuntimeSpec
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.session.repository_setup import clone_commands
from openhands_sessions.session.setup import InitialInput
from tests.fakes.model import FakeModel, FakeReply
from tests.fakes.runtime import FakeRuntimes
from tests.support.session_harness import LONG, SessionHarness, ask, only, runs, says, state
from tests.support.store_entries import TALK

GIT = "---\ntriggers: [git]\n---\nRebase, never merge."


async def test_it_comes_up_with_its_word_and_not_before(store: SessionStore) -> None:
    harness = await knowing(store, says("Hello."), says("I rebase."), says("Again."))
    async with harness.live() as session:
        for text in ("hello", "use git", "git again"):
            await ask(session, text)
    first, second = only(await harness.events(), RecallObservation)
    assert (first.recall_type, first.microagent_knowledge) == ("workspace_context", ())
    [told] = second.microagent_knowledge
    assert (second.recall_type, told.name, told.trigger) == ("knowledge", "git", "git")
    assert told.content == "Rebase, never merge."
    assert [action.query for action in only(await harness.events(), RecallAction)] == ["hello", "use git"]
    assert second.cause == only(await harness.events(), RecallAction)[1].id
    shown = [str(message["content"]) for message in harness.model.requests[1].messages]
    assert shown[-1] == "use git"
    assert shown[-2].endswith("Rebase, never merge.")


async def test_a_first_message_may_bring_it_up_with_what_is_known_of_the_workspace(store: SessionStore) -> None:
    harness = await knowing(store, says("I rebase."))
    harness.opening = InitialInput(message="use git")
    harness.settings = {"custom_secrets": {"TOKEN": {"value": "hunter2-hunter2", "description": "for the registry"}}}
    async with harness.live() as session:
        await state(session, "awaiting_user_input")
    [recalled] = only(await harness.events(), RecallObservation)
    assert [known.name for known in recalled.microagent_knowledge] == ["git"]
    assert recalled.custom_secrets_descriptions == {"TOKEN": "for the registry"}
    shown = str(harness.model.requests[0].messages)
    assert "$TOKEN: for the registry" in shown
    assert "hunter2" not in shown


async def test_what_the_conversation_was_begun_with_is_recorded_and_told_once(store: SessionStore) -> None:
    harness = await knowing(store, says("Hello."))
    wanted = repository("octo/hello", "github", "topic")
    harness.runtimes = FakeRuntimes({clone_commands(wanted): ("", 0)})
    harness.opening = InitialInput(repository=wanted)
    harness.settings = {"conversation_instructions": "Speak like a pirate."}
    for texts in ((), ("hi",)):
        async with harness.live() as session:
            for text in texts:
                await ask(session, text)
    [recalled] = only(await harness.events(), RecallObservation)
    assert (recalled.repo_name, recalled.repo_branch) == ("octo/hello", "topic")
    assert (recalled.repo_directory, recalled.working_dir) == ("/workspace", "/workspace")
    assert recalled.conversation_instructions == "Speak like a pirate."
    shown = [str(message["content"]) for message in harness.model.requests[0].messages]
    assert sum(text.count("Speak like a pirate.") for text in shown) == 1
    assert "The conversation began with the repository octo/hello in /workspace, on the branch topic." in shown[1]


async def test_nothing_is_said_of_a_repository_where_there_is_none(store: SessionStore) -> None:
    harness = await knowing(store, says("Hello."))
    async with harness.live() as session:
        await ask(session, "hi")
    [recalled] = only(await harness.events(), RecallObservation)
    assert (recalled.repo_name, recalled.repo_directory, recalled.repo_branch) == ("", "", "")
    assert "repository" not in str(harness.model.requests[0].messages)


async def test_a_message_in_the_middle_of_a_turn_brings_it_up_too(store: SessionStore) -> None:
    harness = await knowing(store, runs("echo one"), says("I rebase."))
    async with harness.live() as session:
        await session.submit(SendMessage(content="hello"))
        await session.submit(SendMessage(content="with git"))
        await state(session, "awaiting_user_input")
    kinds = [recalled.recall_type for recalled in only(await harness.events(), RecallObservation)]
    assert kinds == ["workspace_context", "knowledge"]


async def test_a_file_that_is_not_understood_is_told_by_its_name_and_recorded_once(store: SessionStore) -> None:
    harness = await knowing(store, knowledge="---\ntriggers: [null, git]\na: [\n---\nRebase.")
    told = ".openhands/microagents/git.md: its front matter is not valid YAML, line 4; all of it is used as text"
    for _ in range(2):
        async with asyncio.timeout(LONG), asyncio.TaskGroup() as tasks:
            status = tasks.create_task(first_status(harness, "STATUS$ERROR_MEMORY"))
            async with harness.live():
                assert await status == Status("info", "STATUS$ERROR_MEMORY", told)
    [event] = only(await harness.events(), ErrorObservation)
    assert (event.content, event.error_id) == (told, "MICROAGENT$NOT_UNDERSTOOD")


async def first_status(harness: SessionHarness, wanted: str) -> Status:
    async with aclosing(harness.feed.follow(-1)) as following:
        async for news in following:
            if isinstance(news, Status) and news.id == wanted:
                return news
    raise AssertionError(f"{wanted} was not told")


async def knowing(store: SessionStore, *replies: FakeReply, knowledge: str = GIT) -> SessionHarness:
    """A scene in whose workspace there is knowledge about git."""
    runtimes = FakeRuntimes()
    async with runtimes.open(RuntimeSpec(sid=TALK, term=0)) as runtime:
        await runtime.files.write(".openhands/microagents/git.md", knowledge.encode())
    return SessionHarness(store=store, model=FakeModel(replies), runtimes=runtimes)
