"""Files of knowledge, as people write them."""

import pytest

from openhands_sessions.adapters.workspace_memory import MOST_TRIGGERS, WorkspaceMemory, read_microagent
from openhands_sessions.core.microagents import Microagent
from tests.fakes.runtime import DictFiles

GIT = "---\nname: git\ntype: knowledge\ntriggers:\n- git\n- 12\n---\n\nRebase, never merge.\n"


def test_a_head_names_it_and_says_when_it_is_wanted() -> None:
    assert read_microagent("file", GIT) == Microagent(
        name="git", type="knowledge", content="Rebase, never merge.", triggers=("git", "12")
    )
    assert read_microagent("file", GIT.replace("\n", "\r\n")) == read_microagent("file", GIT)


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("Use tabs.", "Use tabs."),
        ("---\n---\nUse tabs.", "Use tabs."),
        ("---\ntriggers: git\nname: 7\n---\nUse tabs.", "Use tabs."),
        ("---\n- a\n---\nUse tabs.", "---\n- a\n---\nUse tabs."),
        ("---\na: [\n---\nUse tabs.", "---\na: [\n---\nUse tabs."),
        ("---\nno end", "---\nno end"),
        ("---\nx: !!python/object/apply:os.getcwd []\n---\nno", "---\nx: !!python/object/apply:os.getcwd []\n---\nno"),
    ],
)
def test_without_a_good_head_it_is_told_from_the_beginning(text: str, content: str) -> None:
    assert read_microagent("file", text) == Microagent(name="file", type="repo", content=content)


def test_an_empty_one_is_none_and_a_greedy_one_is_bounded() -> None:
    assert read_microagent("file", "---\nname: x\n---\n \n") is None
    greedy = read_microagent("file", f"---\ntriggers: {[f't{n}' for n in range(500)]}\n---\ntext")
    assert greedy is not None
    assert len(greedy.triggers) == MOST_TRIGGERS


async def test_a_workspace_tells_its_own_and_keeps_the_rest_until_it_is_wanted() -> None:
    folder = ".openhands/microagents"
    files = DictFiles(
        {
            f"{folder}/git.md": GIT.encode(),
            f"{folder}/repo.md": b"Run make.",
            f"{folder}/README.md": b"for people",
            f"{folder}/notes.txt": b"no",
            f"{folder}/deeper/x.md": b"no",
        }
    )
    found = await WorkspaceMemory().recall(files)
    assert [each.name for each in found.microagents] == ["git", "repo"]
    assert found.instructions == f"From {folder}/repo.md:\nRun make."
