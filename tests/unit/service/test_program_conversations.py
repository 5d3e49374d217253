"""Conversations that programs run, as other processes and their own treat them."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from openhands_sessions.adapters.runtimes.none import NoSandboxes
from openhands_sessions.core.commands import SendMessage
from openhands_sessions.core.errors import BadInput, NotAccepting
from openhands_sessions.core.events.actions import SystemAction
from openhands_sessions.core.events.codec import decode
from openhands_sessions.core.ids import LOCAL_OWNER
from openhands_sessions.core.permissions import Permission
from openhands_sessions.ports.access import Principal, Role
from openhands_sessions.ports.gateway import SessionSpec
from openhands_sessions.ports.mcp import CallMcp, McpDone, McpFunction
from openhands_sessions.ports.program import PROGRAM, ProgramAgent
from tests.fakes.memory_store import MemoryStore
from tests.fakes.model import FakeModel, FakeModels
from tests.support.service_layer import TALK, ServiceLayer, running_service
from tests.support.session_harness import LONG

SPEC = SessionSpec(id=TALK, create=True, trigger=PROGRAM, title="talk")


class Functions:
    """One function, which does nothing."""

    functions: Sequence[McpFunction] = (McpFunction(name="look", description="Looks.", parameters={"type": "object"}),)
    problems: Sequence[str] = ()

    async def call(self, call: CallMcp) -> McpDone:
        return McpDone(text="")


def agent(**settings: str | int) -> ProgramAgent:
    return ProgramAgent(settings=settings, prompt="You are helper.", functions=Functions(), runtimes=NoSandboxes())


@pytest.fixture
async def service(store: MemoryStore) -> AsyncIterator[ServiceLayer]:
    layer = ServiceLayer(store=store, models=FakeModels(FakeModel([])))
    async with running_service(layer) as running:
        running.directory.programs.put(TALK, agent(llm_model="fake", max_iterations=7))
        session = await running.open("talk", trigger=PROGRAM, title="talk")
        assert session.problem is None
        yield running


async def test_its_sessions_have_the_programs_prompt_and_settings_and_no_sandbox(service: ServiceLayer) -> None:
    session = service.directory.find(TALK)
    assert session is not None
    assert (session.settings.llm_model, session.settings.max_iterations) == ("fake", 7)
    async for batch in service.store.log(TALK).read():
        for event in (decode(entry.text, entry.schema) for entry in batch):
            if isinstance(event, SystemAction):
                assert event.content == "You are helper."
                assert event.tools == ()  # none of a sandbox
                return
    raise AssertionError("no prompt")


async def test_the_settings_of_the_program_are_not_stored_and_count_again_each_time(service: ServiceLayer) -> None:
    row = await service.store.conversations.get(TALK)
    assert row is not None
    assert row.settings == {}
    await service.directory.close(TALK, "idle")
    service.directory.programs.put(TALK, agent(llm_model="fake", max_iterations=9))
    session = await service.open("talk")
    assert session.settings.max_iterations == 9


async def test_without_a_model_it_is_refused_and_not_given_to_the_shell_agent(service: ServiceLayer) -> None:
    await service.directory.close(TALK, "idle")
    service.directory.programs.put(TALK, agent())
    with pytest.raises(BadInput, match="llm"):
        await service.gateway.open(SPEC)


async def test_another_process_reads_it_and_opens_no_session(service: ServiceLayer) -> None:
    await service.directory.close(TALK, "idle")
    async with running_service(ServiceLayer(store=service.store, files=service.files)) as other:
        info = await other.gateway.open(SPEC)
        assert (info.state, info.trigger) == (None, PROGRAM)
        assert (await other.gateway.describe(TALK)).head == info.head
        with pytest.raises(NotAccepting, match="a program runs this conversation"):
            await other.gateway.submit(TALK, SendMessage(content="Hello"))
        async with asyncio.timeout(LONG), other.gateway.follow(TALK, -1) as items:
            assert isinstance(await anext(items), Sequence)
        await other.gateway.close(TALK, "stopped")
        assert other.directory.find(TALK) is None
        assert [each.id for each in (await other.conversations.page(limit=5)).conversations] == [TALK]


async def test_recovery_leaves_it_to_its_program(service: ServiceLayer) -> None:
    await service.directory.close(TALK, "idle")
    term = await service.store.claim(TALK)  # its program has died
    async with running_service(ServiceLayer(store=service.store, files=service.files)) as other:
        async with asyncio.timeout(LONG):
            await other.sessions.recover(waits=(0.0,))
        assert other.directory.find(TALK) is None
    assert await service.store.claim(TALK) == term + 1


async def test_what_was_forgotten_is_a_conversation_of_another_program(service: ServiceLayer) -> None:
    programs = service.directory.programs
    row = await service.sessions.row(Principal(owner=LOCAL_OWNER, role=Role.USER), TALK, Permission.VIEW)
    first = programs.get(TALK)
    assert first is not None
    assert not programs.elsewhere(row)
    programs.forget(TALK, agent())  # not the one that runs it
    assert not programs.elsewhere(row)
    programs.forget(TALK, first)
    assert programs.elsewhere(row)


def _local(service: ServiceLayer) -> Principal:
    return Principal(owner=LOCAL_OWNER, role=Role.USER)
