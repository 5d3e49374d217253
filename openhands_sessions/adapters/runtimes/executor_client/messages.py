"""Requests to an executor and its answers. A sandbox is not trusted: every answer is checked."""

import base64
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, Literal, TypeVar, get_args

from openhands_sessions.core.errors import (
    FileProblem,
    PathRefused,
    RuntimeFailure,
    RuntimeUnavailable,
    SessionsError,
    TooLarge,
)
from openhands_sessions.core.events.event import Json
from openhands_sessions.executor.frames import Message
from openhands_sessions.ports.runtime import (
    WORKSPACE,
    CommandDone,
    EditDone,
    EditFile,
    GiveInput,
    OnOutput,
    Outcome,
    Printed,
    Query,
    RunCell,
    Task,
)

MOST_OUTPUT = 1 << 20
"""Bytes of an output that an executor keeps at most, whatever its options say."""
_MOST_NOTES = 1 << 10
"""Characters that an executor adds to an output."""
_MOST_CONTENT = 1 << 18
_MOST_PATH = 1 << 12
_MOST_WORDS = 500
_MOST_NUMBER = 1 << 53
_CUT = "\n[... cut here: the sandbox gave more than it may ...]\n"

T = TypeVar("T")
Ended = Literal["exit", "timeout", "interrupted", "killed", "shell_exit", "prompt", "waiting", "busy"]

_REFUSALS: Mapping[str, type[SessionsError]] = {
    "too_large": TooLarge,
    "path_refused": PathRefused,
    "file_problem": FileProblem,
    "bad_request": RuntimeFailure,
}


def task_message(task: Task, *, environment: Mapping[str, str], timeout: float) -> dict[str, Json]:
    """A task in the executor's protocol; `timeout` (seconds) is for commands that have none."""
    if isinstance(task, GiveInput):
        return {"kind": "input", "text": task.text, "patience": task.patience}
    if isinstance(task, EditFile):
        return {"kind": "edit", **asdict(task)}
    limits: dict[str, Json] = {
        "timeout": timeout if task.timeout is None else task.timeout,
        "environment": dict(environment),
    }
    if isinstance(task, RunCell):
        return {"kind": "cell", "command": task.code, **limits}
    return {"kind": "command", "command": task.command, "cwd": task.cwd, "patience": task.patience, **limits}


def outcome_of(value: object) -> Outcome:
    """Raises RuntimeUnavailable for a malformed value. Texts over the limits of any executor are cut."""
    if isinstance(value, dict):
        try:
            return _edit(value) if value.get("kind") == "edit" else _command(value)
        except (KeyError, TypeError):
            pass
    raise malformed_answer()


def truncated(outcome: Outcome, output_limit: int) -> Outcome:
    """The outcome with at most `output_limit` of output, in bytes as executors count them, plus their notes."""
    if isinstance(outcome, CommandDone):
        return replace(outcome, output=_cut(outcome.output, output_limit + _MOST_NOTES))
    return outcome


def query_message(query: Query, *, environment: Mapping[str, str]) -> dict[str, Json]:
    """A query in the executor's protocol."""
    return {
        "words": list(query.words),
        "timeout": query.timeout,
        "limit": query.limit,
        "environment": dict(environment),
    }


def query_result(answer: Mapping[str, Any]) -> Printed:
    """The answer to a query. Raises RuntimeUnavailable for a malformed one."""
    try:
        code = answer["exit_code"]
        output = base64.b64decode(_typed(answer["printed"], str), validate=True)
        return Printed(output, None if code is None else _number(code))
    except (KeyError, TypeError, ValueError):
        raise malformed_answer() from None


def refusal(code: str, message: str) -> SessionsError:
    """The error for a request that the executor refused with this code."""
    return _REFUSALS.get(code, RuntimeUnavailable)(message[:_MOST_WORDS])


def malformed_answer() -> RuntimeUnavailable:
    return RuntimeUnavailable("the sandbox gave an answer that cannot be understood")


def _command(value: dict[str, Any]) -> CommandDone:
    return CommandDone(
        output=_cut(_typed(value["output"], str), MOST_OUTPUT + _MOST_NOTES),
        exit_code=None if value["exit_code"] is None else _number(value["exit_code"]),
        ended=_ended(value["ended"]),
        pid=_number(value.get("pid", -1)),
        working_dir=_typed(value.get("working_dir", WORKSPACE), str)[:_MOST_PATH],
        omitted=_number(value.get("omitted", 0)),
    )


def _edit(value: dict[str, Any]) -> EditDone:
    return EditDone(
        ok=_typed(value["ok"], bool),
        content=_cut(_typed(value["content"], str), _MOST_CONTENT),
        path=_typed(value["path"], str)[:_MOST_PATH],
        prev_exist=_typed(value["prev_exist"], bool),
        old_content=_text_or_none(value["old_content"]),
        new_content=_text_or_none(value["new_content"]),
        diff=_text_or_none(value["diff"]),
    )


def _ended(value: Any) -> Ended:
    if value not in get_args(Ended):
        raise TypeError(value)
    ended: Ended = value
    return ended


def _text_or_none(value: object) -> str | None:
    """None also for a text over the limit of any executor."""
    text = None if value is None else _typed(value, str)
    return text if text is None or len(text) <= _MOST_CONTENT else None


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - len(_CUT)] + _CUT


def _number(value: object) -> int:
    number = _typed(value, int)
    if abs(number) >= _MOST_NUMBER:
        raise TypeError(value)
    return number


def _typed(value: object, kind: type[T]) -> T:
    if not isinstance(value, kind):
        raise TypeError(value)
    return value


class OutputChunks:
    """Passes a command's output on, with a note where bytes of it were not received."""

    def __init__(self, on_output: OnOutput) -> None:
        self._on_output = on_output
        self.end = 0
        """Offset after the last received byte."""

    def take(self, chunk: Message) -> None:
        start, end, text = chunk.get("from"), chunk.get("to"), chunk.get("text")
        if not (isinstance(start, int) and isinstance(end, int) and isinstance(text, str)):
            return
        if start != self.end:
            text = f"\n[... {start - self.end} bytes not shown ...]\n{text}"
        self.end = end
        self._on_output(text)
