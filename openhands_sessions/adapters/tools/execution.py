"""`execute_bash` and `run_ipython`: commands in the session's shell, cells of Python in its IPython."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from openhands_sessions.adapters.tools.arguments import Arguments, checked, function, present, risk_name
from openhands_sessions.adapters.tools.keys import typed
from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.actions import RunAction, RunIpythonAction
from openhands_sessions.core.events.event import Action, Json, Observation
from openhands_sessions.core.events.observations import (
    LEFT_RUNNING,
    NO_EXIT_CODE,
    RunIpythonObservation,
    RunMetadata,
    RunObservation,
)
from openhands_sessions.core.view import ConversationView
from openhands_sessions.ports.runtime import CommandDone, GiveInput, Outcome, RunCell, RunCommand, Task

SHOWN = 30_000
"""Characters of output in an observation: half from its head, half from its tail."""

PATIENCE = 30.0
"""Seconds without output after which the agent continues while the command keeps running."""
STILL_RUNNING = "[The command runs on: no output for a while. Wait with an empty is_input, give it input, or send C-c.]"
PROMPTING = "[The command waits for input: give it a line or keys with is_input, or send C-c.]"

_COMMAND_ENDINGS = {
    "waiting": STILL_RUNNING,
    "prompt": PROMPTING,
    "busy": "[Not run. A command is running: only one can, and input needs one. See is_input.]",
    "timeout": "[The command was ended: it ran longer than its limit.]",
    "interrupted": "[The command was stopped.]",
    "killed": "[The command was ended by force.]",
    "shell_exit": "[The shell ended with the command; the next one begins in the same folder.]",
}
_CELL_ENDINGS = {
    "timeout": "[The cell was ended: it ran longer than its limit.]",
    "interrupted": "[The cell was stopped.]",
    "killed": "[Python was ended by force; its variables are gone.]",
    "busy": "[Not run: a command is running.]",
}


class _CommandCall(Arguments):
    command: str
    is_input: bool | Literal["true", "false"] = False
    enter: bool | Literal["true", "false"] | None = None
    timeout: float | None = Field(None, gt=0, le=86_400)


class Bash:
    """The tool."""

    name = "execute_bash"
    kinds: tuple[type[Action], ...] = (RunAction,)
    independent: tuple[type[Action], ...] = ()
    schema = function(
        name,
        "Run a command in a persistent bash shell inside the sandbox. The working folder, variables and background"
        " jobs are kept between calls. You get your turn back when the command ends, waits for input, or is silent for"
        " a while; it runs on then: give it a line or keys with is_input, wait with an empty one, or send C-c. Output"
        " is shown as a terminal shows it. Put servers in the background, with their output in a file.",
        ["command"],
        command={
            "type": "string",
            "description": "The command, or with is_input the text or keys for the running one.",
        },
        is_input={
            "type": "boolean",
            "description": "Type the text for the running command, followed by Enter. Names of keys are pressed"
            " instead, one or more with blanks between: Enter, Escape, Tab, Space, Backspace, Delete, Up, Down, Left,"
            " Right, Home, End, PageUp, PageDown, F1 to F12, and C-<letter>, such as C-c, C-d or C-z.",
        },
        enter={
            "type": "boolean",
            "description": "With is_input: type the text as it is, also the name of a key; then press Enter (true) or"
            " not (false, such as q in a pager).",
        },
        timeout={"type": "number", "description": "Limit in seconds; the whole command is ended when it is over."},
    )

    def read(self, arguments: Mapping[str, Json]) -> Action:
        call = checked(_CommandCall, arguments)
        if "\0" in call.command:
            raise BadInput("command", "must not hold a NUL character")
        enter = None if call.enter is None else call.enter in (True, "true")
        return RunAction(
            command=call.command,
            is_input=call.is_input in (True, "true"),
            security_risk=call.risk,
            rest=dict(present(timeout=call.timeout, enter=enter)),
        )

    def arguments(self, action: Action) -> Mapping[str, Json]:
        assert isinstance(action, RunAction)  # the toolbox gives a tool only actions of its kinds
        return present(
            command=action.command,
            is_input=action.is_input or None,
            enter=action.rest.get("enter"),
            timeout=action.rest.get("timeout"),
            security_risk=risk_name(action.security_risk),
        )

    def task(self, action: Action) -> Task | None:
        assert isinstance(action, RunAction)  # the toolbox gives a tool only actions of its kinds
        if action.is_input:
            enter = action.rest.get("enter")
            text = typed(action.command, enter=enter if isinstance(enter, bool) else None)
            return GiveInput(text=text, patience=PATIENCE)
        return RunCommand(
            command=action.command,
            timeout=_timeout(action),
            cwd=action.cwd,
            patience=None if action.blocking else PATIENCE,
        )

    def observe(self, action: Action, outcome: Outcome | None, view: ConversationView) -> Observation | None:
        assert isinstance(action, RunAction)
        assert isinstance(outcome, CommandDone)
        code = NO_EXIT_CODE if outcome.exit_code is None else outcome.exit_code
        return RunObservation(
            command=action.command,
            content=_shown(outcome.output, _COMMAND_ENDINGS.get(outcome.ended, "")),
            hidden=action.hidden,
            metadata=RunMetadata(
                exit_code=code,
                pid=outcome.pid,
                working_dir=outcome.working_dir,
                suffix=LEFT_RUNNING if outcome.ended in ("waiting", "prompt") else "",
            ),
        )


class _CellCall(Arguments):
    code: str
    timeout: float | None = Field(None, gt=0, le=86_400)


class Ipython:
    """The tool."""

    name = "run_ipython"
    kinds: tuple[type[Action], ...] = (RunIpythonAction,)
    independent: tuple[type[Action], ...] = ()
    schema = function(
        name,
        "Run a cell of Python in a persistent IPython inside the sandbox, in /workspace. Variables, functions and"
        " imports are kept between calls; magics such as %pip and !command work. It cannot be given input.",
        ["code"],
        code={"type": "string", "description": "The cell."},
        timeout={"type": "number", "description": "Limit in seconds; the cell is ended when it is over."},
    )

    def read(self, arguments: Mapping[str, Json]) -> Action:
        call = checked(_CellCall, arguments)
        if "\0" in call.code:
            raise BadInput("code", "must not hold a NUL character")
        return RunIpythonAction(
            code=call.code, security_risk=call.risk, rest={"timeout": call.timeout} if call.timeout else {}
        )

    def arguments(self, action: Action) -> Mapping[str, Json]:
        assert isinstance(action, RunIpythonAction)  # the toolbox gives a tool only actions of its kinds
        timeout, risk = action.rest.get("timeout"), risk_name(action.security_risk)
        return present(code=action.code, timeout=timeout, security_risk=risk)

    def task(self, action: Action) -> Task | None:
        assert isinstance(action, RunIpythonAction)  # the toolbox gives a tool only actions of its kinds
        return RunCell(code=action.code, timeout=_timeout(action))

    def observe(self, action: Action, outcome: Outcome | None, view: ConversationView) -> Observation | None:
        assert isinstance(action, RunIpythonAction)
        assert isinstance(outcome, CommandDone)
        content = _shown(outcome.output, _CELL_ENDINGS.get(outcome.ended, ""))
        return RunIpythonObservation(code=action.code, content=content)


def capped(text: str, shown: int = SHOWN) -> str:
    """The text, or its head and tail with a line between them that counts the omitted characters."""
    if len(text) <= shown:
        return text
    half = shown // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half} characters left out …]\n{text[-half:]}"


def _timeout(action: RunAction | RunIpythonAction) -> float | None:
    """The limit that the call names, in seconds."""
    timeout = action.rest.get("timeout")
    return float(timeout) if isinstance(timeout, int | float) else None


def _shown(output: str, ending: str) -> str:
    text = capped(output)
    return f"{text}\n{ending}".lstrip("\n") if ending else text
