"""The auto-approval budget as a fold: never overdrawn, never spent twice, never blocked for good."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openhands_sessions.core.budget import Budget, ReservedPrice, budget_after
from openhands_sessions.core.events.actions import RunAction
from openhands_sessions.core.events.budget import (
    BudgetReservedAction,
    BudgetSetAction,
    ReservedCall,
    SpendingPausedAction,
)
from openhands_sessions.core.events.event import ConfirmationState, Event, Source, ToolCall
from openhands_sessions.core.events.observations import (
    BAD_CALL_ID,
    DENIED_ID,
    NOT_RUN_ID,
    STOPPED_ID,
    TOOL_FAILED_ID,
    UNKNOWN_OUTCOME_ID,
    ErrorObservation,
    NullObservation,
    UserRejectedObservation,
)
from openhands_sessions.core.events.own import (
    HistoryMovedObservation,
    InvalidCallAction,
    MoveReason,
    StopReason,
    TurnEndedObservation,
)
from openhands_sessions.core.ids import EventId

OVER = TurnEndedObservation(stop_reason=StopReason.DONE, seen=0)
ASKS = TurnEndedObservation(stop_reason=StopReason.APPROVAL, seen=0)
MOVED = HistoryMovedObservation(to=EventId(0), reason=MoveReason.UNDO, branch="main")
UNTOLD = (STOPPED_ID, TOOL_FAILED_ID, UNKNOWN_OUTCOME_ID, "")
CERTAIN = (NOT_RUN_ID, BAD_CALL_ID, DENIED_ID)


def reserve(*calls: tuple[str, int], response: str = "r") -> BudgetReservedAction:
    return BudgetReservedAction(
        response=response, calls=tuple(ReservedCall(call=call, micro_dollars=price) for call, price in calls)
    )


def act(
    call: str, number: int, *, response: str = "r", state: ConfirmationState = ConfirmationState.CONFIRMED
) -> Event:
    about = ToolCall(function_name="execute_bash", tool_call_id=call, model_response={"id": response})
    action = RunAction(command="x", tool_call_metadata=about, confirmation_state=state)
    return replace(action, id=EventId(number), source=Source.AGENT)


def failed(cause: int, error: str) -> Event:
    return ErrorObservation(content="no", error_id=error, cause=EventId(cause))


def folded(*events: Event) -> Budget:
    budget = Budget()
    for event in events:
        budget = budget_after(budget, event)
    return budget


def amounts(budget: Budget) -> tuple[int, int, int]:
    return budget.spent, budget.held, budget.rest


BEGUN = (BudgetSetAction(micro_dollars=10), reserve(("a", 4), ("b", 5)))


def test_what_is_reserved_is_spent_with_the_results_of_its_calls() -> None:
    assert amounts(folded(*BEGUN)) == (0, 9, 1)
    begun = (*BEGUN, act("a", 3), act("b", 4))
    assert amounts(folded(*begun)) == (0, 9, 1)
    assert amounts(folded(*begun, NullObservation(cause=EventId(3)))) == (4, 5, 1)
    assert amounts(folded(*begun, NullObservation(cause=EventId(3)), NullObservation(cause=EventId(4)))) == (9, 0, 1)


@pytest.mark.parametrize("error", UNTOLD)
def test_a_call_that_may_have_run_is_spent(error: str) -> None:
    assert amounts(folded(*BEGUN, act("a", 3), failed(3, error), OVER)) == (4, 0, 6)


@pytest.mark.parametrize("error", CERTAIN)
def test_a_call_that_was_certainly_not_run_is_free_again(error: str) -> None:
    assert amounts(folded(*BEGUN, act("a", 3), failed(3, error), OVER)) == (0, 0, 10)
    rejected = UserRejectedObservation(content="no", cause=EventId(3))
    assert amounts(folded(*BEGUN, act("a", 3), rejected, OVER)) == (0, 0, 10)


def test_a_call_that_cannot_be_carried_out_takes_its_reservation_over_and_gives_it_back() -> None:
    about = ToolCall(function_name="gone", tool_call_id="a", model_response={"id": "r"})
    invalid = InvalidCallAction(id=EventId(3), tool_call_metadata=about)
    assert amounts(folded(*BEGUN, invalid, failed(3, BAD_CALL_ID))) == (0, 5, 5)


def test_what_no_action_has_taken_over_is_free_with_the_end_of_the_turn_but_not_while_a_question_is_open() -> None:
    assert amounts(folded(*BEGUN, ASKS)) == (0, 9, 1)
    assert amounts(folded(*BEGUN, act("a", 3), OVER)) == (0, 4, 6)


def test_a_move_of_the_history_leaves_nothing_reserved_and_spends_what_may_have_run() -> None:
    assert amounts(folded(*BEGUN, act("a", 3), MOVED)) == (4, 0, 6)


def test_only_the_call_of_the_same_reply_takes_a_reservation_over() -> None:
    others = (act("a", 3, response="s"), act("c", 4), act("a", 5, state=ConfirmationState.AWAITING))
    assert all(one.action == -1 for one in folded(*BEGUN, *others).reserved)
    assert folded(*BEGUN, act("a", 6)).reserved[0] == ReservedPrice(
        response="r", call="a", micro_dollars=4, action=EventId(6)
    )


def test_a_budget_that_is_lowered_has_no_rest_below_nothing_and_one_that_is_off_has_none() -> None:
    assert amounts(folded(*BEGUN, BudgetSetAction(micro_dollars=3))) == (0, 9, 0)
    assert amounts(folded(*BEGUN, BudgetSetAction(micro_dollars=None))) == (0, 9, 0)


def test_only_a_yes_raises_the_threshold_of_the_spending() -> None:
    question = SpendingPausedAction(spent=6, threshold=5, then=10)
    assert folded(question).pause_at == 0
    assert folded(replace(question, confirmation_state=ConfirmationState.REJECTED)).pause_at == 0
    assert folded(replace(question, confirmation_state=ConfirmationState.CONFIRMED)).pause_at == 10


@given(data=st.data())
def test_whatever_happens_the_rest_is_what_was_not_spent_and_nothing_stays_reserved(data: st.DataObject) -> None:
    """A session reserves what fits; every action has a result in the end, also behind a cut, and each turn ends."""
    cap, budget, spent, number = 0, Budget(), 0, 0
    log: list[Event] = []

    def take(event: Event) -> None:
        nonlocal budget, number
        number += 1
        log.append(replace(event, id=EventId(number)))
        budget = budget_after(budget, log[-1])
        assert budget.rest >= 0

    for turn in range(data.draw(st.integers(1, 5))):
        if data.draw(st.booleans()):
            cap = data.draw(st.integers(0, 50))
            take(BudgetSetAction(micro_dollars=cap))
        prices = data.draw(st.lists(st.integers(0, 20), max_size=5))
        rest, fits = budget.rest, []
        for place, price in enumerate(prices):
            if price <= rest and budget.cap is not None:
                rest -= price
                fits.append((f"c{place}", price))
        take(reserve(*fits, response=str(turn)))
        assert budget.rest == rest
        begun = data.draw(st.integers(0, len(fits)))  # the turn is cut behind so many
        for call, price in fits[:begun]:
            take(act(call, 0, response=str(turn)))
            error = data.draw(st.sampled_from((None, *UNTOLD, *CERTAIN)))
            take(NullObservation(cause=EventId(number)) if error is None else failed(number, error))
            spent += 0 if error in CERTAIN else price
        take(OVER)
        assert (budget.spent, budget.held) == (spent, 0)
    for one, other in pairwise([folded(*log[:end]) for end in range(len(log) + 1)]):
        assert other.spent >= one.spent  # a cut at any place has spent no more than the whole
