"""What a sandbox notes of its actions holds no secret in clear, and says the same to every owner."""

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from openhands_sessions.adapters.runtimes.executor_client.journal import recorded_outcome
from openhands_sessions.adapters.runtimes.local.runtimes import LocalRuntimes
from openhands_sessions.executor.capture import OutputCapture
from openhands_sessions.executor.masking import MASK, TextMasker
from openhands_sessions.ports.runtime import EditFile, Runtime, RuntimeSpec
from tests.support.sandboxes import SID, Hearing, edit, key, run

SECRET = "hunter2-and-a-half"
OTHER = "the-one-that-came-after"


def knowing(runtimes: LocalRuntimes, secret: str, term: int = 1) -> AbstractAsyncContextManager[Runtime]:
    """The sandbox of a conversation with this secret."""
    return runtimes.open(RuntimeSpec(sid=SID, term=term, environment={"TOKEN": secret}, secrets=(secret,)))


def state(tmp_path: Path) -> Path:
    [folder] = tmp_path.glob("sandboxes/*/state")
    return folder


async def test_the_journal_holds_no_secret_that_a_command_or_an_edit_has_seen(
    runtimes: LocalRuntimes, tmp_path: Path
) -> None:
    async with knowing(runtimes, SECRET) as runtime:
        hearing = Hearing()
        command = 'mkdir "$TOKEN"; cd "$TOKEN"; echo "$TOKEN" | tee ../kept; wc -c < ../kept'
        printed = await run(runtime, 1, command, hearing)
        edited = await edit(runtime, 2, EditFile(command="str_replace", path="kept", old_str="hunter2", new_str="new"))
        undone = await edit(runtime, 3, EditFile(command="undo_edit", path="kept"))
        assert await runtime.files.read("kept") == f"{SECRET}\n".encode()
    assert printed.output.split() == [MASK, str(len(SECRET) + 1)]
    assert printed.working_dir == f"/workspace/{MASK}"
    assert SECRET in hearing.text, "what is not recorded is masked by who records it"
    assert (edited.old_content, edited.new_content) == (f"{MASK}\n", "new-and-a-half\n")
    assert undone.diff is not None
    assert undone.diff.endswith(f"+{MASK}")
    journal = (state(tmp_path) / "journal").read_text()
    assert MASK in journal
    assert SECRET not in journal


async def test_an_adopted_commands_result_is_masked_like_the_live_one(runtimes: LocalRuntimes, tmp_path: Path) -> None:
    command = 'echo begun; until [ -e go ]; do sleep 0.05; done; echo "$TOKEN"'
    async with knowing(runtimes, SECRET) as runtime:
        hearing = Hearing()
        begun = asyncio.create_task(run(runtime, 1, command, hearing))
        await hearing.hears("begun\n")
        begun.cancel()
        await asyncio.wait([begun])
    async with knowing(runtimes, OTHER, term=2) as runtime:  # the secret has changed meanwhile
        adopted = asyncio.create_task(run(runtime, 1, command))
        await runtime.files.write("go", b"")
        outcome = await adopted
        assert await runtime.inquire(key(1)) == outcome
    assert outcome.output == f"begun\n{MASK}\n"
    assert recorded_outcome(state(tmp_path), key(1)) == outcome


async def test_a_secret_that_is_a_word_of_the_protocol_does_not_make_outcomes_unreadable(
    runtimes: LocalRuntimes,
) -> None:
    async with knowing(runtimes, "exit") as runtime:
        done = await run(runtime, 1, "echo exit; false")
    assert (done.output, done.ended, done.exit_code) == (f"{MASK}\n", "exit", 1)


@pytest.mark.parametrize("before", range(len(SECRET) + 1))
def test_no_part_of_a_secret_is_left_where_an_output_is_cut(before: int) -> None:
    """`before` of its characters stand before the cut, and as many are at the beginning of what is kept of the end."""
    capture = OutputCapture(4 + before, 4 + before)
    capture.add(f"head{SECRET}{'x' * 1000}{SECRET}tail".encode())
    text, omitted = capture.text(TextMasker([SECRET]))
    assert omitted > 900
    parts = [SECRET[start : start + 4] for start in range(len(SECRET) - 3)]
    assert not [part for part in parts if part in text.replace(MASK, "")]


def test_what_is_masked_already_stays_as_it_is() -> None:
    masker = TextMasker(["secret", "hidden"])
    assert masker.text(masker.text("a secret, hidden")) == f"a {MASK}, {MASK}"
