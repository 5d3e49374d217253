"""`run_ipython`: calls become cells, and what came of them is told."""

import pytest

from openhands_sessions.adapters.tools.execution import Ipython
from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.actions import RunIpythonAction
from openhands_sessions.core.events.observations import RunIpythonObservation
from openhands_sessions.core.view import ConversationView
from openhands_sessions.ports.runtime import CommandDone, RunCell

TOOL = Ipython()
VIEW = ConversationView()


def test_a_call_becomes_a_cell() -> None:
    action = TOOL.read({"code": "x = 1", "timeout": 5, "security_risk": "HIGH", "invented": True})
    assert action == RunIpythonAction(code="x = 1", security_risk=2, rest={"timeout": 5.0})
    assert TOOL.task(action) == RunCell(code="x = 1", timeout=5.0)
    assert TOOL.task(TOOL.read({"code": ""})) == RunCell(code="")


@pytest.mark.parametrize("arguments", [{}, {"code": 1}, {"code": "a\0"}, {"code": "x", "timeout": 0}])
def test_a_wrong_call_is_refused(arguments: dict[str, str]) -> None:
    with pytest.raises(BadInput):
        TOOL.read(arguments)


@pytest.mark.parametrize(
    ("done", "content"),
    [
        (CommandDone(output="2\n", exit_code=0), "2\n"),
        (CommandDone(output="", exit_code=None, ended="interrupted"), "[The cell was stopped.]"),
        (
            CommandDone(output="x", exit_code=None, ended="timeout"),
            "x\n[The cell was ended: it ran longer than its limit.]",
        ),
    ],
)
def test_what_came_of_a_cell_is_told(done: CommandDone, content: str) -> None:
    observation = TOOL.observe(RunIpythonAction(code="c"), done, VIEW)
    assert observation == RunIpythonObservation(code="c", content=content)


def test_much_output_is_capped() -> None:
    observation = TOOL.observe(RunIpythonAction(code="c"), CommandDone(output="x" * 100_000, exit_code=0), VIEW)
    assert observation is not None
    assert 20_000 < len(observation.content) < 40_000
