"""Builds logs as sessions write them, without a session, for tests of what is folded and shown."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from openhands_sessions.core.events.actions import (
    ChangeAgentStateAction,
    CondensationAction,
    FinishAction,
    MessageAction,
    RecallAction,
    RunAction,
    SystemAction,
)
from openhands_sessions.core.events.event import Action, AgentState, ConfirmationState, Event, Source, ToolCall
from openhands_sessions.core.events.observations import (
    AgentStateChangedObservation,
    ErrorObservation,
    LoopDetectionObservation,
    RecallObservation,
    UserRejectedObservation,
)
from openhands_sessions.core.events.own import (
    ApprovalDecidedAction,
    ApprovalRequestedAction,
    CallDecision,
    InvalidCallAction,
    PlannedCall,
    StopReason,
    ToolCallsAction,
    TurnEndedObservation,
    TurnResumedObservation,
)
from openhands_sessions.core.ids import EventId
from tests.support.log_pieces import cost, id_of, run_result, state

ODD_ARGUMENTS = ['{"command": "ls"}', "{}", "", "[1]", '"ls"', "null", '{"command": ', '{"a": NaN}', '{"é": "\\ud83d"}']


class LogBuilder:
    """Numbers what it is told. `appends` says where each append begins."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.appends: list[int] = []
        self.said: list[str] = []
        """The user's words."""
        self.results: dict[str, str] = {}
        """What came of each call, by its id."""
        self._open: list[tuple[RunAction, str]] = []
        self._planned: list[PlannedCall] = []
        self._pending: Action | None = None
        self._batch: list[tuple[Action, bool | None]] = []
        """The calls of a batch, and what is decided about them."""
        self._version = 1
        self._response = ""
        self._total = 1

    def append(self, *events: Event) -> list[Event]:
        self.appends.append(len(self.events))
        numbered = [replace(event, id=EventId(len(self.events) + place)) for place, event in enumerate(events)]
        self.events.extend(numbered)
        return numbered

    @property
    def next_id(self) -> EventId:
        return EventId(len(self.events))

    def begin(self) -> None:
        self.append(AgentStateChangedObservation(agent_state=AgentState.LOADING))
        self.append(SystemAction(source=Source.AGENT, content="Be good."), *state(AgentState.AWAITING_USER_INPUT))

    def message(self) -> None:
        text = f"user says {len(self.said)}"
        self.said.append(text)
        if self._pending is not None:
            self.reject()
        self._withdraw("No!", StopReason.WAITING)
        self.append(MessageAction(source=Source.USER, content=text), *state(AgentState.RUNNING)[1:])

    def recall(self) -> None:
        cause = EventId(self.next_id)
        self.append(
            RecallAction(source=Source.USER, recall_type="workspace_context"),
            RecallObservation(cause=cause, recall_type="workspace_context", repo_instructions="Read the manual."),
        )

    def speak(self) -> None:
        if not self._busy:
            said = MessageAction(source=Source.AGENT, content=f"agent says {self.next_id}", llm_metrics=cost(0.5))
            self.append(said, *self._ended(StopReason.WAITING, AgentState.AWAITING_USER_INPUT))

    def finish(self) -> None:
        if not self._busy:
            self._response = f"reply#{self.next_id}"
            name = f"call_{self.next_id}"
            call = self._call(PlannedCall(id=name, name="finish", arguments='{"message": "done"}'), 1)
            self.results[name] = "The task was ended"
            finish = FinishAction(source=Source.AGENT, final_thought="done", tool_call_metadata=call)
            self.append(finish, *self._ended(StopReason.DONE, AgentState.FINISHED))

    def reply(self, *arguments: str) -> None:
        """A reply with one call per text; with several, they are planned."""
        if self._busy:
            return
        self._response = f"reply#{self.next_id}"
        self._total = len(arguments)
        calls = [
            PlannedCall(id=f"call_{self.next_id}_{place}", name="execute_bash", arguments=text)
            for place, text in enumerate(arguments)
        ]
        if len(calls) == 1:
            self._take_up(calls[0])
            return
        self.append(ToolCallsAction(source=Source.AGENT, response_id=self._response, calls=tuple(calls), thought="hm"))
        self._planned = calls
        self.take_up()

    def take_up(self) -> None:
        if self._planned and not self._open and self._pending is None and not self._batch:
            self._take_up(self._planned.pop(0))

    def ask(self) -> None:
        """As `take_up`, but the user is asked."""
        if self._open or self._pending is not None or self._batch:
            return
        if not self._planned:
            self._response, self._total = f"reply#{self.next_id}", 1
            self._planned = [PlannedCall(id=f"call_{self.next_id}", name="execute_bash", arguments=ODD_ARGUMENTS[0])]
        call = self._planned.pop(0)
        asked = self._run(call, ConfirmationState.AWAITING)
        waiting = AgentStateChangedObservation(agent_state=AgentState.AWAITING_USER_CONFIRMATION)
        ended = TurnEndedObservation(stop_reason=StopReason.WAITING, seen=self._seen)
        self._pending = self.append(waiting, asked, ended)[1]  # type: ignore[assignment]  # it went in as an action

    def ask_batch(self) -> None:
        """The user is asked about all planned calls at once."""
        if self._open or self._pending is not None or self._batch or not self._planned:
            return
        first, *others = self._planned
        requested = [
            ApprovalRequestedAction(source=Source.AGENT, tool_call_metadata=self._call(call, self._total))
            for call in others
        ]
        waiting = AgentStateChangedObservation(agent_state=AgentState.AWAITING_USER_CONFIRMATION)
        ended = TurnEndedObservation(stop_reason=StopReason.APPROVAL, seen=self._seen)
        asked = self.append(waiting, self._run(first, ConfirmationState.AWAITING), *requested, ended)[1:-1]
        self._batch, self._version = [(event, None) for event in asked if isinstance(event, Action)], 1

    def decide(self) -> None:
        """The user decides about the first call of the batch that is open; every other one is approved."""
        place = next((place for place, one in enumerate(self._batch) if one[1] is None), None)
        if place is None:
            return
        asked, approved = self._batch[place][0], place % 2 == 0
        self._batch[place] = asked, approved
        self._version += 1
        self.append(
            ApprovalDecidedAction(
                source=Source.USER,
                batch=self._batch[0][0].id,
                version=self._version,
                decisions=(CallDecision(call=asked.id, approved=approved),),
            )
        )

    def take_up_decided(self) -> None:
        """The first call of a batch that is decided as a whole."""
        if self._open or not self._batch or any(approved is None for _, approved in self._batch):
            return
        asked, approved = self._batch.pop(0)
        self._planned = [call for call in self._planned if call.id != id_of(asked)]
        if approved:
            call = PlannedCall(id=id_of(asked), name="execute_bash", arguments=ODD_ARGUMENTS[0])
            [action] = self.append(replace(self._run(call, ConfirmationState.CONFIRMED), cause=asked.id))
            self._begun(action)
        else:
            self.append(self._result(asked, "No!"))

    def _withdraw(self, told: str, reason: StopReason) -> None:
        if self._batch:
            self.append(*(self._result(asked, told) for asked, _ in self._batch))
            self._batch = []
            if reason is StopReason.WAITING:
                self.append(*self._ended(reason, AgentState.AWAITING_USER_INPUT))

    def _result(self, asked: Action, told: str) -> Event:
        self.results[id_of(asked)] = told
        return UserRejectedObservation(content=told, cause=asked.id, tool_call_metadata=asked.tool_call_metadata)

    def confirm(self) -> None:
        if self._pending is not None:
            again = self._restated(self._pending, ConfirmationState.CONFIRMED)
            added = self.append(
                ChangeAgentStateAction(source=Source.USER, agent_state=AgentState.USER_CONFIRMED),
                again,
                AgentStateChangedObservation(agent_state=AgentState.USER_CONFIRMED),
            )
            self._begun(added[1])
            self._pending = None

    def reject(self) -> None:
        if self._pending is not None:
            again = self._restated(self._pending, ConfirmationState.REJECTED)
            refused = UserRejectedObservation(
                content="No!", cause=EventId(self.next_id + 1), tool_call_metadata=self._pending.tool_call_metadata
            )
            self.append(
                ChangeAgentStateAction(source=Source.USER, agent_state=AgentState.USER_REJECTED),
                again,
                AgentStateChangedObservation(agent_state=AgentState.USER_REJECTED),
                refused,
                *self._ended(StopReason.WAITING, AgentState.AWAITING_USER_INPUT),
            )
            self.results[id_of(again)] = "No!"
            self._pending = None

    def observe(self) -> None:
        if self._open:
            action, key = self._open.pop(0)
            text = f"result of {key}"
            self.append(run_result(action, text))
            self.results[key] = text

    def invalid(self) -> None:
        if self._busy:
            return
        self._response = f"reply#{self.next_id}"
        call = PlannedCall(id=f"call_{self.next_id}", name="dance", arguments="quickly")
        invalid = InvalidCallAction(source=Source.AGENT, tool_call_metadata=self._call(call, 1))
        self.append(invalid, ErrorObservation(content="There is no dance.", cause=self.next_id))
        self.results[call.id] = "There is no dance."

    def note(self) -> None:
        self.append(LoopDetectionObservation(source=Source.AGENT, content="You go in circles."))

    def stop(self) -> None:
        self.append(ChangeAgentStateAction(source=Source.USER, agent_state=AgentState.STOPPED))
        if self._pending is not None:
            again = self._restated(self._pending, ConfirmationState.REJECTED)
            self.append(again, ErrorObservation(content="Not run.", cause=self.next_id))
            self.results[id_of(again)] = "Not run."
        self._withdraw("Not run.", StopReason.STOPPED)
        ends = [ErrorObservation(content="Stopped.", cause=action.id) for action, _ in self._open]
        self.results |= {key: "Stopped." for _, key in self._open}
        self._pending, self._open = None, []
        self.append(*ends, *self._ended(StopReason.STOPPED, AgentState.STOPPED))

    def crash(self) -> None:
        """A restart in the middle: the turn goes on."""
        self.append(TurnResumedObservation(repeated_calls=1))

    def condense(self) -> None:
        if not self._busy and len(self.events) > 8:
            self.append(
                CondensationAction(forgotten_events_start_id=4, forgotten_events_end_id=6, summary="It was long.")
            )

    @property
    def _busy(self) -> bool:
        return bool(self._open or self._planned or self._batch or self._pending is not None)

    @property
    def _seen(self) -> int:
        return len(self.events) - 1

    def _ended(self, reason: StopReason, last: AgentState) -> tuple[Event, Event]:
        self._planned = []
        return TurnEndedObservation(stop_reason=reason, seen=self._seen), state(last)[1]

    def _take_up(self, call: PlannedCall) -> None:
        [action] = self.append(self._run(call, ConfirmationState.CONFIRMED))
        self._begun(action)

    def _begun(self, action: Event) -> None:
        assert isinstance(action, RunAction)  # it went in as one
        self._open.append((action, id_of(action)))

    def _run(self, call: PlannedCall, state: ConfirmationState) -> RunAction:
        return RunAction(
            source=Source.AGENT,
            command="ls",
            thought="I look",
            confirmation_state=state,
            tool_call_metadata=self._call(call, self._total),
            llm_metrics=cost(0.25),
        )

    def _call(self, call: PlannedCall, total: int) -> ToolCall:
        return ToolCall(
            function_name=call.name,
            tool_call_id=call.id,
            model_response={"id": self._response},
            total_calls_in_response=total,
            arguments=call.arguments,
        )

    @staticmethod
    def _restated(pending: Action, state: ConfirmationState) -> Action:
        changed: dict[str, Any] = {"confirmation_state": state, "cause": pending.id, "thought": "", "llm_metrics": None}
        return replace(pending, **changed)


STEPS: dict[str, Callable[[LogBuilder], None]] = {
    "message": LogBuilder.message,
    "recall": LogBuilder.recall,
    "speak": LogBuilder.speak,
    "finish": LogBuilder.finish,
    "one call": lambda book: book.reply(ODD_ARGUMENTS[0]),
    "an odd call": lambda book: book.reply(ODD_ARGUMENTS[len(book.events) % len(ODD_ARGUMENTS)]),
    "three calls": lambda book: book.reply(*ODD_ARGUMENTS[:3]),
    "take up": LogBuilder.take_up,
    "ask": LogBuilder.ask,
    "ask about a batch": LogBuilder.ask_batch,
    "decide": LogBuilder.decide,
    "take up what is decided": LogBuilder.take_up_decided,
    "confirm": LogBuilder.confirm,
    "reject": LogBuilder.reject,
    "observe": LogBuilder.observe,
    "invalid": LogBuilder.invalid,
    "note": LogBuilder.note,
    "stop": LogBuilder.stop,
    "crash": LogBuilder.crash,
    "condense": LogBuilder.condense,
}


def built_log(steps: Sequence[str]) -> LogBuilder:
    """The log of a conversation in which this happened."""
    book = LogBuilder()
    book.begin()
    for step in steps:
        STEPS[step](book)
    return book


STORIES = st.lists(st.sampled_from(list(STEPS)), max_size=40)
