"""`run_ipython`: a cell of Python in the session's IPython."""

from collections.abc import Mapping

from pydantic import Field

from openhands_sessions.adapters.tools.arguments import Arguments, checked, function, risk_name, said
from openhands_sessions.adapters.tools.bash import capped
from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.actions import RunIpythonAction
from openhands_sessions.core.events.event import Action, Json, Observation
from openhands_sessions.core.events.observations import RunIpythonObservation
from openhands_sessions.core.view import ConversationView
from openhands_sessions.ports.runtime import CommandDone, Outcome, RunCell, Task

_ENDINGS = {
    "timeout": "[The cell was ended: it ran longer than its limit.]",
    "interrupted": "[The cell was stopped.]",
    "killed": "[Python was ended by force; its variables are gone.]",
    "busy": "[Not run: a command is running.]",
}


class _Call(Arguments):
    code: str
    timeout: float | None = Field(None, gt=0, le=86_400)


class Ipython:
    """The tool."""

    name = "run_ipython"
    kinds: tuple[type[Action], ...] = (RunIpythonAction,)
    schema = function(
        name,
        "Run a cell of Python in a persistent IPython inside the sandbox, in /workspace. Variables, functions and"
        " imports are kept between calls; magics such as %pip and !command work. It cannot be given input.",
        ["code"],
        code={"type": "string", "description": "The cell."},
        timeout={"type": "number", "description": "Limit in seconds; the cell is ended when it is over."},
    )

    def read(self, arguments: Mapping[str, Json]) -> Action:
        call = checked(_Call, arguments)
        if "\0" in call.code:
            raise BadInput("code", "must not hold a NUL character")
        return RunIpythonAction(
            code=call.code, security_risk=call.risk, rest={"timeout": call.timeout} if call.timeout else {}
        )

    def arguments(self, action: Action) -> Mapping[str, Json]:
        assert isinstance(action, RunIpythonAction)  # the toolbox gives a tool only actions of its kinds
        timeout = action.rest.get("timeout")
        return said(code=action.code, timeout=timeout, security_risk=risk_name(action.security_risk))

    def task(self, action: Action) -> Task | None:
        assert isinstance(action, RunIpythonAction)  # the toolbox gives a tool only actions of its kinds
        timeout = action.rest.get("timeout")
        return RunCell(code=action.code, timeout=float(timeout) if isinstance(timeout, int | float) else None)

    def observe(self, action: Action, outcome: Outcome | None, view: ConversationView) -> Observation | None:
        assert isinstance(action, RunIpythonAction)
        assert isinstance(outcome, CommandDone)
        text, ending = capped(outcome.output), _ENDINGS.get(outcome.ended, "")
        return RunIpythonObservation(code=action.code, content=f"{text}\n{ending}".lstrip("\n") if ending else text)
