"""The life of a session, against the figure of the plan."""

from itertools import pairwise

import pytest

from openhands_sessions.core.errors import IllegalTransition
from openhands_sessions.core.lifecycle import SET_UP, TRANSITIONS, Lifecycle, SessionState

S = SessionState
ROAD = [
    S.CREATED,
    S.INITIALIZING,
    S.RUNTIME_SETUP,
    S.AGENT_SETUP,
    S.MEMORY_SETUP,
    S.CONTROLLER_SETUP,
    S.READY,
    S.RUNNING,
    S.CLOSING,
    S.CLOSED,
]
"""The states of a life in which nothing goes wrong."""

FIGURE = {
    *pairwise(ROAD),
    (S.RUNNING, S.READY),
    *((state, S.ERROR) for state in ROAD[1:8]),
    *((state, S.CLOSING) for state in ROAD[:8]),
    (S.ERROR, S.CLOSING),
}
"""The arrows as drawn: the road, the way back from Running, Error from each state but the first, Closing from each."""


def lifecycle_in(state: SessionState) -> Lifecycle:
    """One that went there by legal moves."""
    life = Lifecycle()
    road = [*ROAD[1:2], S.ERROR] if state is S.ERROR else ROAD[1 : ROAD.index(state) + 1]
    for step in road:
        life.move(step)
    return life


def test_there_are_eleven_states() -> None:
    assert len(SessionState) == 11
    assert set(TRANSITIONS) == set(SessionState)


@pytest.mark.parametrize("old", SessionState)
@pytest.mark.parametrize("new", SessionState)
def test_a_state_moves_where_the_figure_has_an_arrow_and_nowhere_else(old: SessionState, new: SessionState) -> None:
    life = lifecycle_in(old)
    if (old, new) in FIGURE:
        assert life.move(new) is old
        assert life.state is new
        return
    with pytest.raises(IllegalTransition) as refused:
        life.move(new)
    assert (refused.value.old, refused.value.new) == (old, new)
    assert life.state is old


def test_every_state_but_closed_leads_to_closed() -> None:
    for state in SessionState:
        life = lifecycle_in(state)
        while life.state is not S.CLOSED:
            life.move(S.CLOSED if life.state is S.CLOSING else S.CLOSING)
    assert not TRANSITIONS[S.CLOSED]


def test_the_set_up_states_are_those_between_created_and_ready_in_their_order() -> None:
    assert list(SET_UP) == ROAD[1:6]
