"""Has calls with a known price run without a question, as far as the conversation's auto-approval budget reaches."""

from collections.abc import Iterable, Sequence

from openhands_sessions.core.events.budget import BudgetReservedAction, BudgetSetAction, ReservedCall
from openhands_sessions.core.events.event import Action, Source
from openhands_sessions.core.money import micro_dollars
from openhands_sessions.core.settings import SessionSettings
from openhands_sessions.ports.policy import Verdict
from openhands_sessions.session.event_stream import EventStream


class CallBudget:
    """Of one session. A call is named by its reply and its own id there."""

    def __init__(self, stream: EventStream) -> None:
        self._stream = stream

    def asks(self, verdict: Verdict, action: Action, reserving: Sequence[BudgetReservedAction] = ()) -> bool:
        """Whether the user is asked about a call: with a budget that decides about it, where nothing is reserved for
        it, neither in the log nor by what is about to be appended."""
        if verdict.price is None or self._stream.view.budget.cap is None:
            return verdict.decision == "ask"
        response, call = _named(action)
        new = any(each.call == call for one in reserving for each in one.calls)
        return not (new or self._stream.view.budget.holds(response, call))

    def reserving(self, calls: Iterable[tuple[Action, Verdict]]) -> Sequence[BudgetReservedAction]:
        """What reserves the prices of calls of one reply: in their order, each that still fits. It is appended with
        what the first of them leads to. Nothing where none fits."""
        budget = self._stream.view.budget
        if budget.cap is None:
            return ()
        rest, reserved, response = budget.rest, list[ReservedCall](), ""
        for action, verdict in calls:
            response, call = _named(action)
            if verdict.price is None or verdict.price > rest or budget.holds(response, call):
                continue
            rest -= verdict.price
            reserved.append(ReservedCall(call=call, micro_dollars=verdict.price))
        if not reserved:
            return ()
        return (BudgetReservedAction(source=Source.AGENT, response=response, calls=tuple(reserved)),)


def first_budget(settings: SessionSettings) -> Sequence[BudgetSetAction]:
    """What a new conversation begins with."""
    cap = micro_dollars(settings.auto_approval_budget)
    return (BudgetSetAction(micro_dollars=cap),) if cap else ()


def _named(action: Action) -> tuple[str, str]:
    call = action.tool_call_metadata
    return ("", "") if call is None else (str(call.model_response.get("id") or ""), call.tool_call_id)
