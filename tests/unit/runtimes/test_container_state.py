"""A container's states change along one table."""

import pytest

from openhands_sessions.adapters.runtimes.docker.container_state import (
    TRANSITIONS,
    ContainerState,
    ContainerStateMachine,
)
from openhands_sessions.core.errors import IllegalTransition

WAYS: dict[ContainerState, list[ContainerState]] = {
    ContainerState.ABSENT: [],
    ContainerState.RUNNING: [ContainerState.RUNNING],
    ContainerState.PAUSED: [ContainerState.RUNNING, ContainerState.PAUSED],
    ContainerState.EXITED: [ContainerState.RUNNING, ContainerState.EXITED],
    ContainerState.CLOSED: [ContainerState.CLOSED],
}


def container_in(state: ContainerState) -> ContainerStateMachine:
    machine = ContainerStateMachine()
    for step in WAYS[state]:
        machine.move(step)
    return machine


@pytest.mark.parametrize("old", ContainerState)
@pytest.mark.parametrize("new", ContainerState)
def test_only_the_moves_of_the_table_are_made(old: ContainerState, new: ContainerState) -> None:
    machine = container_in(old)
    if new in TRANSITIONS[old] or new == old:
        machine.move(new)
        assert machine.state == new
    else:
        with pytest.raises(IllegalTransition):
            machine.move(new)
        assert machine.state == old


@pytest.mark.parametrize("old", [state for state in ContainerState if state != ContainerState.CLOSED])
@pytest.mark.parametrize(
    ("status", "new"),
    [
        ("running", ContainerState.RUNNING),
        ("paused", ContainerState.PAUSED),
        ("exited", ContainerState.EXITED),
        ("removing", ContainerState.EXITED),
    ],
)
def test_whatever_the_engine_says_of_a_container_is_taken_over(
    old: ContainerState, status: str, new: ContainerState
) -> None:
    machine = container_in(old)
    machine.observe(status)
    assert machine.state == new


def test_a_closed_container_stays_closed() -> None:
    assert TRANSITIONS[ContainerState.CLOSED] == frozenset()
