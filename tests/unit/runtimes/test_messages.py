"""What an executor answers, where it says more than any executor does."""

from typing import Any

import pytest

from openhands_sessions.adapters.runtimes.executor_client.messages import MOST_OUTPUT, outcome_of, refusal, truncated
from openhands_sessions.core.errors import RuntimeUnavailable
from openhands_sessions.ports.runtime import CommandDone, EditDone

LONG = "x" * (7 << 20)
SMALL = 1 << 10


def command(**fields: object) -> dict[str, Any]:
    return {"kind": "command", "output": "", "exit_code": 0, "ended": "exit", **fields}


def edit(**fields: object) -> dict[str, Any]:
    texts = {"content": "", "path": "/workspace/a", "old_content": "old", "new_content": "new", "diff": ""}
    return {"kind": "edit", "ok": True, "prev_exist": True, **texts, **fields}


def test_an_output_is_cut_where_no_executor_keeps_more() -> None:
    done = outcome_of(command(output=LONG))
    assert isinstance(done, CommandDone)
    assert MOST_OUTPUT < len(done.output) < MOST_OUTPUT + 2 * SMALL
    assert done.output.endswith("more than it may ...]\n")


def test_an_output_is_cut_where_its_executor_was_told_to_keep_less() -> None:
    done = truncated(outcome_of(command(output="x" * 100_000)), 1000)
    assert isinstance(done, CommandDone)
    assert 1000 < len(done.output) < 1000 + 2 * SMALL
    kept = outcome_of(command(output="x" * 1000 + "\n[... 5 bytes left out ...]\n"))
    assert truncated(kept, 1000) == kept


def test_no_other_text_of_an_outcome_is_of_any_length() -> None:
    done = outcome_of(command(working_dir="/" + LONG))
    assert isinstance(done, CommandDone)
    assert len(done.working_dir) < 8 * SMALL
    changed = outcome_of(edit(content=LONG, path=LONG, old_content=LONG, new_content=LONG, diff=LONG))
    assert isinstance(changed, EditDone)
    assert len(changed.content) + len(changed.path) < 500 * SMALL
    assert (changed.old_content, changed.new_content, changed.diff) == (None, None, None)


@pytest.mark.parametrize("field", ["exit_code", "pid", "omitted"])
def test_a_number_that_no_system_knows_is_nonsense(field: str) -> None:
    with pytest.raises(RuntimeUnavailable, match="cannot be understood"):
        outcome_of(command(**{field: 10**30}))


def test_a_refusal_says_no_more_than_a_person_reads() -> None:
    assert len(refusal("file_problem", LONG).message) <= SMALL
    assert refusal("busy", "too many requests at once").message == "too many requests at once"
