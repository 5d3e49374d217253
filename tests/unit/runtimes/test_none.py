"""What an agent without a sandbox has in its place."""

import pytest

from openhands_sessions.adapters.runtimes.none import NoSandboxes
from openhands_sessions.adapters.workspace_memory import WorkspaceMemory
from openhands_sessions.core.errors import FileProblem, NotAsked, RuntimeUnavailable
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.ports.memory import RecalledKnowledge
from openhands_sessions.ports.programs import ProgramSpec
from openhands_sessions.ports.runtime import Query, RunCommand, RuntimeSpec, UnknownAction

SPEC = RuntimeSpec(sid=ConversationId("talk"), term=1)


async def test_nothing_runs_and_every_action_is_known_not_to_have_run() -> None:
    sandboxes = NoSandboxes()
    async with sandboxes.open(SPEC) as runtime:
        with pytest.raises(NotAsked, match="no sandbox"):
            await runtime.perform("key", RunCommand(command="true"), lambda text: None)
        assert await runtime.inquire("key") == UnknownAction()
        assert not await runtime.replaced("key")
        assert not await runtime.send_input("y")
        await runtime.interrupt("key")
        with pytest.raises(RuntimeUnavailable, match="no sandbox"):
            await runtime.query(Query(words=("true",)))
        with pytest.raises(RuntimeUnavailable, match="no sandbox"):
            async with runtime.programs.open(ProgramSpec(words=("true",))):
                pass
    assert not await sandboxes.has_ipython()
    await sandboxes.discard(SPEC.sid)
    assert (sandboxes.counts.made, sandboxes.counts.removed) == (0, 0)


async def test_there_are_no_files_and_no_knowledge_in_them() -> None:
    async with NoSandboxes().open(SPEC) as runtime:
        files = runtime.files
        assert await WorkspaceMemory().recall(files) == RecalledKnowledge()
        with pytest.raises(FileProblem, match="no sandbox"):
            await files.write("a", b"")
        with pytest.raises(FileProblem, match="no sandbox"):
            await files.receive("a", files.pieces("b"), limit=1)
        for pieces in (files.pieces("a"), files.archive()):
            with pytest.raises(FileProblem, match="no sandbox"):
                [piece async for piece in pieces]
