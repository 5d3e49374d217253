"""Events as text on a screen. Text that was shown while it streamed is not shown again."""

from collections.abc import Callable, Mapping
from typing import Any

from openhands_sessions.cli.output import clean
from openhands_sessions.cli.screen import Screen
from openhands_sessions.core.events.actions import (
    BrowseAction,
    BrowseInteractiveAction,
    CondensationAction,
    DelegateAction,
    EditAction,
    FinishAction,
    McpAction,
    MessageAction,
    ReadAction,
    RejectAction,
    RunAction,
    RunIpythonAction,
    WriteAction,
)
from openhands_sessions.core.events.codec import Stored
from openhands_sessions.core.events.event import Action, AgentState, ConfirmationState, Event, Observation, Source
from openhands_sessions.core.events.observations import (
    AgentStateChangedObservation,
    EditObservation,
    ErrorObservation,
    LoopDetectionObservation,
    McpObservation,
    ReadObservation,
    RunIpythonObservation,
    RunObservation,
    TaskTrackingObservation,
    UserRejectedObservation,
)
from openhands_sessions.core.events.own import (
    HistoryCompactedAction,
    HistoryMovedObservation,
    HistorySeededAction,
    ModelChangedAction,
    SandboxReplacedObservation,
    ToolCallsAction,
)
from openhands_sessions.ports.gateway import Delta

LINES = 40
"""Lines of a diff or a file that are shown."""
MARKS = {"todo": "[ ]", "in_progress": "[~]", "done": "[x]"}
ENDED_BY = {AgentState.STOPPED: "Stopped.", AgentState.PAUSED: "Paused."}
ANCHOR = 80
"""Characters that identify the end of what was shown."""


class Streamed:
    """The part of a streaming text that was shown: the longest piece without a gap."""

    def __init__(self) -> None:
        self.text = ""
        self._before = ""  # what was shown before a restart

    def take(self, delta: Delta) -> str:
        """The part to show now; empty if a piece before it is missing, or if it was shown before a restart."""
        if delta.restart:
            self._before, self.text = self._shown or self._before, ""
        if delta.offset != len(self.text):
            return ""
        known = self._shown
        self.text += delta.text
        if self._before.startswith(self._shown):
            return ""
        before, self._before = self._before, ""
        return self._shown.removeprefix(before or known)

    @property
    def _shown(self) -> str:
        # A carriage return waits for the next piece: with a newline it is one end of line.
        return self.text.removesuffix("\r")

    def rest_of(self, text: str) -> str | None:
        """The rest of the whole text; None if what was shown is not its beginning."""
        shown, whole = clean(max(self._shown, self._before, key=len)), clean(text)
        if whole.startswith(shown):
            return whole[len(shown) :]
        # A long output keeps head and tail only: go on where the last of what was shown stands in it.
        last = shown[-ANCHOR:]
        place = whole.rfind(last)
        if place >= 0 and len(last) == ANCHOR:
            return whole[place + ANCHOR :]
        return "" if shown.rstrip().endswith(whole.rstrip()[-ANCHOR:] or "\n") else None


class Transcript:
    """Writes a conversation to a screen, event by event in order, deltas in between."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._reply = Streamed()
        self._reply_key = ""
        self._thoughts = Streamed()
        self._outputs: dict[int, Streamed] = {}
        self._spoken = -1
        self._answered = -1
        self._typed: list[str] = []
        self._problem = ""

    def typed(self, text: str) -> None:
        """Note a typed message, which the terminal shows already."""
        self._typed.append(text)

    def delta(self, delta: Delta) -> None:
        """Show a piece, unless its event was shown already: a delta may arrive after it."""
        key = int(delta.key) if delta.key.isdigit() else -1
        if delta.kind == "output":
            if key > self._answered:
                shown = self._outputs.setdefault(key, Streamed())
                self._screen.write(shown.take(delta), "dim")
            return
        if key <= self._spoken:
            return
        if delta.key != self._reply_key:
            self._screen.said()
            self._reply, self._thoughts, self._reply_key = Streamed(), Streamed(), delta.key
        if delta.kind == "thought":
            self._screen.write(self._thoughts.take(delta), "dim")
            return
        if delta.restart:
            self._screen.said()
            self._reply = Streamed()
        self._speak(self._reply.take(delta))

    def problem(self, text: str) -> None:
        """An error that is not an event; the same one is shown once."""
        if text and text != self._problem:
            self._problem = text
            self._screen.problem(text)

    def show(self, entry: Stored, event: Event) -> None:
        """As `event`, of a stored one."""
        self.event(event)

    def event(self, event: Event) -> None:
        """Show an event, if its kind is meant for people."""
        if isinstance(event, Action) and event.source is Source.AGENT:
            self._spoken = event.id
            self._say(_thought(event))
        if isinstance(event, Observation) and event.cause is not None:
            self._answered = max(self._answered, event.cause)
        show = _SHOWN.get(type(event))
        if show is not None:
            show(self, event)

    def message(self, event: MessageAction) -> None:
        if event.source is Source.AGENT:
            return
        self._problem = ""
        if event.content in self._typed:
            self._typed.remove(event.content)
        else:
            self._screen.line(f"> {event.content}", "bold")

    def run(self, event: RunAction) -> None:
        if event.hidden:
            return
        sign = "input:" if event.is_input else "$"
        self._asked(event, f"{sign} {event.command}")

    def act(self, event: Action) -> None:
        self._asked(event, event.describe())

    def ran(self, event: RunObservation) -> None:
        if event.hidden:
            return
        shown = self._outputs.pop(event.cause if event.cause is not None else -1, Streamed())
        rest = shown.rest_of(event.content)
        self._screen.write(event.content if rest is None else rest, "dim")
        self._screen.finish_line()
        code = event.metadata.exit_code
        if code != 0:
            self._screen.line("ended by force" if code == -1 else f"exit code {code}", "red")

    def edited(self, event: EditObservation) -> None:
        self._lines(event.diff or "")

    def content(self, event: Observation) -> None:
        self._lines(event.content)

    def went_wrong(self, event: ErrorObservation) -> None:
        self._outputs.pop(event.cause if event.cause is not None else -1, None)
        self._screen.line(event.content, "red")

    def tasks(self, event: TaskTrackingObservation) -> None:
        for item in event.task_list:
            self._screen.line(f"{MARKS.get(item.status, '[ ]')} {item.title}", "dim")

    def finished(self, event: FinishAction | RejectAction) -> None:
        self._screen.finish_line()
        self._screen.say(event.describe())
        self._screen.said()

    def condensed(self, event: CondensationAction) -> None:
        self._screen.line("(older events are condensed for the model; the log keeps them)", "dim")

    def moved(self, event: HistoryMovedObservation) -> None:
        self._screen.line(f"({event.describe()}; what came since then was taken back)", "dim")

    def compacted(self, event: HistoryCompactedAction) -> None:
        self._screen.line(f"({event.told})", "dim")

    def seeded(self, event: HistorySeededAction) -> None:
        self._screen.line(f"({event.describe()})", "dim")

    def replaced(self, event: SandboxReplacedObservation) -> None:
        self._screen.line(f"({event.describe()}: what earlier commands have left there is gone)", "dim")

    def switched(self, event: ModelChangedAction) -> None:
        self._screen.line(f"({event.describe()})", "dim")

    def state(self, event: AgentStateChangedObservation) -> None:
        if event.agent_state in ENDED_BY:
            self._screen.line(ENDED_BY[event.agent_state], "yellow")
        elif event.reason:
            self.problem(event.reason)

    def _asked(self, event: Action, text: str) -> None:
        """An action, or the question about it. Restated after the answer it is not shown again."""
        state = getattr(event, "confirmation_state", ConfirmationState.CONFIRMED)
        if state is ConfirmationState.AWAITING:
            self._screen.line(f"The agent asks to do this: {text}", "yellow")
        elif event.cause is None:
            self._screen.line(text, "cyan")

    def _say(self, text: str) -> None:
        """Show what the agent said, without what was streamed already."""
        if not text:
            return
        rest = self._reply.rest_of(text)
        if rest is None:
            self._screen.said()
        self._speak(text if rest is None else rest)
        self._screen.said()
        self._reply, self._thoughts, self._reply_key = Streamed(), Streamed(), ""

    def _speak(self, text: str) -> None:
        if text and self._thoughts.text:
            self._thoughts = Streamed()
            self._screen.finish_line()
        self._screen.say(text)

    def _lines(self, text: str) -> None:
        lines = text.splitlines()
        for line in lines[:LINES]:
            self._screen.line(line, "dim")
        if len(lines) > LINES:
            self._screen.line(f"(and {len(lines) - LINES} more lines)", "dim")


def _thought(event: Action) -> str:
    """What the model said with this action. The text of a plan is in its first call, too."""
    if isinstance(event, MessageAction):
        return event.content
    if isinstance(event, ToolCallsAction):
        return ""
    return str(getattr(event, "thought", "") or "")


_SHOWN: Mapping[type[Event], Callable[[Transcript, Any], None]] = {
    MessageAction: Transcript.message,
    RunAction: Transcript.run,
    **dict.fromkeys(
        (
            RunIpythonAction,
            ReadAction,
            WriteAction,
            EditAction,
            BrowseAction,
            BrowseInteractiveAction,
            McpAction,
            DelegateAction,
        ),
        Transcript.act,
    ),
    FinishAction: Transcript.finished,
    RejectAction: Transcript.finished,
    CondensationAction: Transcript.condensed,
    HistoryCompactedAction: Transcript.compacted,
    HistorySeededAction: Transcript.seeded,
    ModelChangedAction: Transcript.switched,
    HistoryMovedObservation: Transcript.moved,
    SandboxReplacedObservation: Transcript.replaced,
    RunObservation: Transcript.ran,
    EditObservation: Transcript.edited,
    **dict.fromkeys(
        (ReadObservation, McpObservation, RunIpythonObservation, LoopDetectionObservation, UserRejectedObservation),
        Transcript.content,
    ),
    ErrorObservation: Transcript.went_wrong,
    TaskTrackingObservation: Transcript.tasks,
    AgentStateChangedObservation: Transcript.state,
}
