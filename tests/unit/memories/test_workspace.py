"""What the workspace says about itself is recalled, word by word."""

import pytest

from openhands_sessions.adapters.workspace_memory import LONGEST, WorkspaceMemory
from openhands_sessions.core.errors import RuntimeUnavailable
from openhands_sessions.ports.memory import RecalledKnowledge
from tests.fakes.runtime import DictFiles


async def test_an_empty_workspace_says_nothing() -> None:
    assert await WorkspaceMemory().recall(DictFiles({})) == RecalledKnowledge()


async def test_every_note_is_recalled_with_its_name() -> None:
    files = DictFiles(
        {
            "AGENTS.md": b"Use tabs.\n",
            ".openhands_instructions": b"Be kind.",
            ".openhands/microagents/repo.md": b"Run make.",
            "README.md": b"not for agents",
        }
    )
    found = await WorkspaceMemory().recall(files)
    assert found.instructions == (
        "From AGENTS.md:\nUse tabs.\n\nFrom .openhands_instructions:\nBe kind."
        "\n\nFrom .openhands/microagents/repo.md:\nRun make."
    )


@pytest.mark.parametrize("content", [b"", b" \n ", b"x" * (LONGEST + 1)])
async def test_an_empty_or_endless_note_is_passed_over(content: bytes) -> None:
    assert await WorkspaceMemory().recall(DictFiles({"AGENTS.md": content})) == RecalledKnowledge()


async def test_a_note_in_another_encoding_is_read_as_far_as_it_goes() -> None:
    found = await WorkspaceMemory().recall(DictFiles({"AGENTS.md": b"caf\xe9"}))
    assert found.instructions == "From AGENTS.md:\ncaf\N{REPLACEMENT CHARACTER}"


class GoneFiles(DictFiles):
    async def read(self, path: str, *, limit: int = 1 << 20) -> bytes:
        raise RuntimeUnavailable("the sandbox is gone")


async def test_a_sandbox_that_is_gone_is_no_empty_workspace() -> None:
    with pytest.raises(RuntimeUnavailable):
        await WorkspaceMemory().recall(GoneFiles({}))
