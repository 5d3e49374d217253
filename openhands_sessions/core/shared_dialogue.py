"""What one of several agents is shown of the log that they share. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from openhands_sessions.core.dialogue import result_text
from openhands_sessions.core.events.actions import (
    CondensationAction,
    DelegateAction,
    FinishAction,
    MessageAction,
    RecallAction,
    RejectAction,
    SystemAction,
)
from openhands_sessions.core.events.budget import SpendingPausedAction
from openhands_sessions.core.events.event import Action, Event, Observation, Source
from openhands_sessions.core.events.observations import RecallObservation
from openhands_sessions.core.events.own import HistoryMovedObservation, HistorySeededAction, SandboxReplacedObservation
from openhands_sessions.core.evolve import evolve
from openhands_sessions.core.ids import EventId

TO = "[To the agent {}]"
ANSWERED = "[The agent {} answered]"
HANDS_OVER = "[The agent {} hands over to you]"
CALLED = "[The agent {} called {}({})]"
GOT = "[The agent {} got the result]"

_FOR_ALL = (
    *(RecallAction, RecallObservation, HistoryMovedObservation, HistorySeededAction, SandboxReplacedObservation),
    *(CondensationAction, SpendingPausedAction),
)
"""What is about the conversation: every agent sees it, whichever agent's turn it is in."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Viewer:
    """One of several agents, as it looks at the log. The `first` one has what names no agent. `full`: it is shown the
    tool calls of the others."""

    name: str
    prompt: str
    first: bool = False
    full: bool = False

    def owns(self, event: Event) -> bool:
        """Whether it is this agent's."""
        return event.agent_name == self.name or (event.agent_name is None and self.first)


def seen_by(viewer: Viewer, events: Sequence[Event]) -> Iterator[Event]:
    """The events for its dialogue: its prompt first, its own as they are, and what is said to the others and by them as
    messages that name them. A call stays with its result: both are shown, or neither."""
    own = [event for event in events if isinstance(event, SystemAction) and viewer.owns(event)]
    prompt = own[-1] if own else SystemAction(content=viewer.prompt)
    if events:
        yield evolve(prompt, id=events[0].id)
    others = _Others(viewer)
    for event in events:
        if isinstance(event, SystemAction):
            continue
        if viewer.owns(event) or isinstance(event, _FOR_ALL):
            others.note(event)
            yield event
        else:
            yield from others.shown(event)


class _Others:
    """Tells what other agents do."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._questions: set[EventId | None] = set()
        """About spending; a message tells each to the user."""
        self._calls: set[EventId | None] = set()
        """Actions that are told."""

    def note(self, event: Event) -> None:
        if isinstance(event, SpendingPausedAction):
            self._questions.add(event.id)

    def shown(self, event: Event) -> Iterable[Event]:
        name = repr(event.agent_name or "before")
        match event:
            case MessageAction(source=Source.USER):
                yield evolve(event, content=f"{TO.format(name)}\n{event.content}")
            case MessageAction(cause=cause) if cause in self._questions:
                return
            case MessageAction() | FinishAction() | RejectAction():
                yield _told(event, f"{ANSWERED.format(name)}\n{event.describe()}")
            case DelegateAction(agent=agent, inputs={"handoff": True, "task": task}) if agent == self._viewer.name:
                yield _told(event, f"{HANDS_OVER.format(name)}\n{task}")
            case Action() if self._viewer.full:
                yield from self._called(event, name)
            case Observation(cause=cause) if cause in self._calls:
                yield _told(event, f"{GOT.format(name)}\n{result_text(event)}")

    def _called(self, action: Action, name: str) -> Iterable[Event]:
        call = action.tool_call_metadata
        if call is None:
            return
        if action.cause not in self._calls:
            yield _told(action, CALLED.format(name, call.function_name, call.arguments))
        self._calls.add(action.id)


def _told(event: Event, text: str) -> Event:
    return MessageAction(id=event.id, timestamp=event.timestamp, source=Source.USER, content=text)
