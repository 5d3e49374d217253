"""Logs with moves between their turns, and the views that they lead to, folded event by event."""

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from openhands_sessions.core.events.branches import BranchDeletedObservation
from openhands_sessions.core.events.event import AgentState, Event
from openhands_sessions.core.events.own import CheckpointCreatedObservation, HistoryMovedObservation, MoveReason
from openhands_sessions.core.ids import UNNUMBERED, EventId
from openhands_sessions.core.lineage import MAIN, goes_back_to
from openhands_sessions.core.view import ConversationView, reduce
from tests.support.log_builder import STEPS, LogBuilder
from tests.support.log_pieces import state


def views_of(events: Sequence[Event], view: ConversationView | None = None) -> list[ConversationView]:
    """The view, and the one after each event, folded event by event. A move takes what is of its chain from the view at
    the event that it goes back to."""
    views = [view or ConversationView()]
    known = {views[0].head: views[0]}
    for event in events:
        to = goes_back_to(event) if isinstance(event, HistoryMovedObservation) else None
        views.append(reduce(views[-1], event, None if to is None else known[to]))
        known[event.id] = views[-1]
    return views


def move(book: LogBuilder, to: EventId, **about: Any) -> None:
    """Go on after event `to`, the end of a turn."""
    view = views_of(book.events)[-1]
    told = {"reason": MoveReason.MOVE, "branch": MAIN, "left_branch": view.lineage.new_name(), **about}
    moved = HistoryMovedObservation(to=to, left_tip=view.settled, content="The files are as they are.", **told)
    book.append(moved, state(AgentState.AWAITING_USER_INPUT)[1])


def ends_of_turns(book: LogBuilder) -> list[EventId]:
    """Where a move can go, on any branch."""
    return [each.settled for each in views_of(book.events) if each.head == each.settled > UNNUMBERED]


@st.composite
def books(draw: st.DrawFn) -> LogBuilder:
    """Stories with moves between their turns."""
    book = LogBuilder()
    book.begin()
    often = ["message", "speak", "move", "label", "delete branch"] * 4
    for step in draw(st.lists(st.sampled_from([*STEPS, *often]), max_size=40)):
        if step == "label":
            book.append(CheckpointCreatedObservation(name=draw(st.sampled_from(["a", "b"]))))
        elif step == "delete branch":
            names = [branch.name for branch in views_of(book.events)[-1].lineage.branches]
            book.append(BranchDeletedObservation(name=draw(st.sampled_from([*names, "unknown"]))))
        elif step != "move":
            STEPS[step](book)
        elif views_of(book.events)[-1].between_turns:
            move(book, draw(st.sampled_from(ends_of_turns(book))))
    return book
