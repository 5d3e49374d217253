"""Files of knowledge, as people write them."""

import pytest

from openhands_sessions.adapters.workspace_memory import LONGEST, MOST_TRIGGERS, WorkspaceMemory, read_microagent
from openhands_sessions.core.microagents import Microagent
from tests.fakes.runtime import DictFiles

GIT = "---\nname: git\ntype: knowledge\ntriggers:\n- git\n- 12\n---\n\nRebase, never merge.\n"


def test_a_head_names_it_and_says_when_it_is_wanted() -> None:
    git = Microagent(name="git", type="knowledge", content="Rebase, never merge.", triggers=("git", "12"))
    assert read_microagent("file", GIT) == (git, ())
    assert read_microagent("file", GIT.replace("\n", "\r\n")) == read_microagent("file", GIT)


@pytest.mark.parametrize(
    ("text", "content", "problem"),
    [
        ("Use tabs.", "Use tabs.", ""),
        ("---\n---\nUse tabs.", "Use tabs.", ""),
        ("---\ntriggers: []\nname: 7\n---\nUse tabs.", "Use tabs.", ""),
        ("---\na rule, and no end", "---\na rule, and no end", ""),
        ("---\ntriggers: [null]\n---\nUse tabs.", "Use tabs.", "used from the start"),
        ("---\ntriggers:\n---\nUse tabs.", "Use tabs.", "used from the start"),
        ("---\ntriggers: {a: b}\n---\nUse tabs.", "Use tabs.", "used from the start"),
        *(
            (text, text, problem)
            for text, problem in (
                ("---\n- a\n---\nUse tabs.", "not a list of `key: value`"),
                ("---\nname: x\na: [\n---\nUse tabs.", "not valid YAML, line 4"),
                ("---\na: b: c\n---\nUse tabs.", "not valid YAML, line 2"),
                ("---\na: 2024-13-01\n---\nUse tabs.", "not valid YAML"),
                ("---\na: !!bool maybe\n---\nUse tabs.", "not valid YAML"),
                ("---\na: !!timestamp soon\n---\nUse tabs.", "not valid YAML"),
                ("---\nx: !!python/object/apply:os.getcwd []\n---\nno", "not valid YAML, line 2"),
                ("---\ntriggers: x\nno end", "has no end"),
            )
        ),
    ],
)
def test_without_a_good_head_it_is_told_from_the_beginning(text: str, content: str, problem: str) -> None:
    microagent, problems = read_microagent("file", text)
    assert microagent == Microagent(name="file", type="repo", content=content)
    assert len(problems) == bool(problem)
    assert problem in "".join(problems)


@pytest.mark.parametrize(
    ("head", "triggers", "problem"),
    [
        ("triggers: walrus", ("walrus",), ""),
        ("triggers: walrus, sea lion", ("walrus", "sea lion"), ""),
        ("triggers: 404", ("404",), ""),
        ("triggers: [2024-01-02, 1.5]", ("2024-01-02", "1.5"), ""),
        ("Trigger: walrus", ("walrus",), ""),
        ("triggers: [null, walrus]", ("walrus",), "the others are used"),
        ("triggers: [walrus, [seal], {a: b}]", ("walrus",), "the others are used"),
        ("triggers: [walrus, yes]", ("walrus",), "write it in quotes"),
    ],
)
def test_triggers_are_understood_where_the_intent_is_plain(head: str, triggers: tuple[str, ...], problem: str) -> None:
    microagent, problems = read_microagent("file", f"---\n{head}\n---\nText.")
    assert microagent is not None
    assert (microagent.type, microagent.triggers) == ("knowledge", triggers)
    assert len(problems) == bool(problem)
    assert problem in "".join(problems)


def test_an_empty_one_is_none_and_a_greedy_one_is_bounded() -> None:
    assert read_microagent("file", "---\nname: x\n---\n \n") == (None, ())
    greedy, problems = read_microagent("file", f"---\ntriggers: {[f't{n}' for n in range(500)]}\n---\ntext")
    assert greedy is not None
    assert len(greedy.triggers) == MOST_TRIGGERS
    assert str(MOST_TRIGGERS) in problems[0]


async def test_a_mark_before_the_head_is_passed_over_and_problems_name_their_file() -> None:
    folder = ".openhands/microagents"
    files = DictFiles(
        {
            "AGENTS.md": b"\xef\xbb\xbfUse tabs.",
            f"{folder}/git.md": b"\xef\xbb\xbf" + GIT.encode(),
            f"{folder}/latin.md": b"caf\xe9",
            f"{folder}/broken.md": b"---\na: [\n---\nx",
            f"{folder}/long.md": b"x" * (LONGEST + 1),
        }
    )
    found = await WorkspaceMemory().recall(files)
    assert found.instructions.startswith("From AGENTS.md:\nUse tabs.\n")
    assert [each.triggers for each in found.microagents if each.name == "git"] == [("git", "12")]
    assert [problem.partition(":")[0].rpartition("/")[2] for problem in found.problems] == [
        "broken.md",
        "latin.md",
        "long.md",
    ]


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
