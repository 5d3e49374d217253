"""One turn: decide, act, record, until the agent has spoken."""

from collections.abc import Sequence
from functools import partial
from typing import Literal

import structlog

from openhands_sessions.core.dialogue import text_beside
from openhands_sessions.core.errors import ModelFailure
from openhands_sessions.core.events.actions import MessageAction
from openhands_sessions.core.events.event import Action, AgentState, Event, Json, Source
from openhands_sessions.core.events.observations import AgentStateChangedObservation
from openhands_sessions.core.events.own import (
    PlannedCall,
    StopReason,
    ToolCallsAction,
    TurnEndedObservation,
    TurnResumedObservation,
)
from openhands_sessions.core.evolve import evolve
from openhands_sessions.core.history_commands import Seed
from openhands_sessions.core.history_form import Message
from openhands_sessions.core.ids import EventId
from openhands_sessions.core.limits import over, pausing
from openhands_sessions.core.replay_progress import REPLAYED
from openhands_sessions.core.settings import SessionSettings
from openhands_sessions.core.spending import spends
from openhands_sessions.core.trajectory import TrajectoryStep
from openhands_sessions.ports.agent import AgentInput
from openhands_sessions.ports.gateway import Status
from openhands_sessions.ports.model import ModelReply, Retry
from openhands_sessions.session.action_runner import SandboxLost
from openhands_sessions.session.approval_questions import questions
from openhands_sessions.session.approvals import answer_until, asking_to_spend, withdrawing
from openhands_sessions.session.delta_coalescing import DeltaCoalescer
from openhands_sessions.session.event_stream import EventStream
from openhands_sessions.session.history_fitter import HistoryFitter
from openhands_sessions.session.model_replies import ANSWER_CUT, distinct, metrics, said_beside
from openhands_sessions.session.planned_calls import Answered, Asked, CallOfReply, Ending, PlannedCalls
from openhands_sessions.session.progress_notice import ProgressNotice
from openhands_sessions.session.repetition_guard import RepetitionGuard
from openhands_sessions.session.seeding import seeding
from openhands_sessions.session.turn_context import TurnContext, TurnProgress
from openhands_sessions.session.turn_history import TurnHistory

log = structlog.get_logger(__name__)

SAID_NOTHING = "The model answered with nothing. Say continue to ask it again."


class AgentController:
    """Takes turns. All that must outlive it is in the log: a turn that is cut off goes on with a new one."""

    def __init__(self, stream: EventStream, context: TurnContext, settings: SessionSettings) -> None:
        self._stream = stream
        self._context = context
        self._settings = settings
        self._history = TurnHistory(stream, context.viewer)
        self._tell = partial(_tell, stream)
        self._fitter = HistoryFitter(stream, context, settings, self._history, self._tell)
        self._guard = RepetitionGuard(stream)
        self._notice = ProgressNotice(stream, settings.progress_notice, self._tell, context.timers)
        self._calls = PlannedCalls(stream, context, settings)
        self._turn = TurnProgress()

    @property
    def vision(self) -> bool:
        """Whether the agent can look at images."""
        return self._context.agent.vision

    def edited(self, pending: Action, arguments: str) -> Action:
        """An action that awaits an answer, with other arguments for its call. Raises BadInput that names what is wrong
        in them."""
        return self._calls.edited(pending, arguments)

    def requested(self, question: Action) -> Action:
        """The action that a call asks for which awaits an answer. Raises BadInput where it cannot be carried out."""
        return self._calls.requested(question)

    @property
    def _has_model(self) -> bool:
        return self._context.agent.model is not None

    async def take_turn(self, *, resumed: bool = False) -> None:
        """One turn, to its recorded end. `resumed` says that the log's last turn was cut off. Being cancelled leaves
        open what is open; `wind_up` closes it. Raises StorageError, and then the session cannot go on."""
        self._turn = TurnProgress(seen=self._stream.view.last_message)
        self._notice.begin()
        try:
            await self._history.load()
            self._fitter.begin()
            self._guard.begin(self._history.events)
            if not self._has_model and (waiting := self._history.unanswered):
                self._turn.seen = waiting[0].id - 1  # it takes up one message after the other
            if resumed:
                await self._stream.append(TurnResumedObservation(repeated_calls=self._unanswered_calls()))
            if not await self._finish_started(resumed=resumed):
                await self._go_on()
        except SandboxLost as gone:
            text = getattr(gone.observation, "content", "")
            self._tell("STATUS$ERROR_RUNTIME_DISCONNECTED", text, level="error")
            await self._end(StopReason.ERROR, AgentState.ERROR, gone.observation, text=text)
        except ModelFailure as failure:
            self._tell(failure.status, failure.message, level="error")
            # Its message may quote the prompt.
            log.info("a model call failed for good", model=self._context.agent.model, cause=failure.status)
            limited = failure.status == "CHAT_INTERFACE$AGENT_RATE_LIMITED_STOPPED_MESSAGE"
            state = AgentState.RATE_LIMITED if limited else AgentState.ERROR
            await self._end(StopReason.ERROR, state, text=failure.message)
        finally:
            self._history.forget()
            self._guard.end()
            self._notice.end()

    async def compacting(self) -> Sequence[Event]:
        """What compacts the history between two turns; see `HistoryFitter.compacting`."""
        try:
            await self._history.load()
            self._fitter.begin()
            return await self._fitter.compacting()
        finally:
            self._history.forget()

    async def seeding(self, command: Seed) -> Event:
        """What takes messages of an earlier conversation up between two turns; see `seeding.seeding`."""
        return await seeding(command, self._context, self._stream.masker)

    async def wind_up(self, last: AgentState) -> None:
        """Close what a cancelled turn left open, and end it with the state `last`. Everything that the turn appended
        must be durable."""
        await self._context.runner.end_left_running()
        observations: list[Event] = []
        for action_id in self._stream.view.open_actions:
            observations.append(await self._context.runner.abandon(await self._stream.event_of(Action, action_id)))
        ended = TurnEndedObservation(
            stop_reason=StopReason.STOPPED, seen=self._stream.view.head, iterations=self._stream.view.iterations
        )
        await self._stream.append(*observations, ended, AgentStateChangedObservation(agent_state=last))

    def _unanswered_calls(self) -> int:
        view = self._stream.view
        return 0 if view.open_actions or view.planned or view.pending is not None or view.replaying else 1

    async def _finish_started(self, *, resumed: bool) -> bool:
        """Bring to an end what is agreed and planned already. True where that ended the turn."""
        runner = self._context.runner
        for action_id in self._stream.view.open_actions:
            action = await self._stream.event_of(Action, action_id)
            # One that was agreed to just now has never been begun, whatever became of the sandbox meanwhile.
            observation = await (runner.recover(action) if resumed else runner.carry_out(action))
            await self._stream.append(*self._context.replay.told(self._stream.view, observation))
        if self._stream.view.agent_state is not AgentState.RUNNING:
            await self._stream.append(AgentStateChangedObservation(agent_state=AgentState.RUNNING))
        if not self._stream.view.planned:
            return False
        plan = await self._stream.event_of(ToolCallsAction, self._stream.view.planned_by)
        return await self._take_up(plan, self._stream.view.planned)

    async def _go_on(self) -> None:
        while self._stream.view.handing_to is None:
            # Without a model there is no call to count, and each step is one that the user asked for.
            if self._has_model and (limit := over(self._stream.view, self._settings)):
                await self._end(limit.reason, AgentState.ERROR, text=limit.text)
                return
            if self._has_model and await self._judge():
                return
            self._turn.step, self._turn.cause = self._context.replay.next(self._stream.view), None
            if self._turn.step is not None:
                if await self._replay(self._turn.step):
                    return
                continue
            if self._has_model and await self._pause():
                return
            if await self._record(await self._reply()):
                return

    async def _pause(self) -> bool:
        """Ask whether to go on, where the cost has reached the next threshold. True where it asks."""
        view = self._stream.view
        question = pausing(view, self._context.ledger.spent.cost, self._settings)
        if question is not None:
            deadline = answer_until(self._stream.now, self._settings.approval_timeout)
            seen = max(self._turn.seen, view.last_message)  # after a no, nothing is owed
            first, calls = EventId(self._stream.next_id), view.iterations
            asked = asking_to_spend(question, first=first, seen=seen, iterations=calls, deadline=deadline)
            await self._stream.append(*asked)
        return question is not None

    async def _replay(self, step: TrajectoryStep) -> bool:
        """Issue one recorded step. True where that ended the turn."""
        view, replay = self._stream.view, self._context.replay
        assert view.replay is not None  # or there was no step
        self._turn.seen, self._turn.cause = view.head, view.replay.begun
        match step.action:
            case MessageAction(source=Source.USER) as message:
                await self._stream.append(*replay.said(message, view.replay.begun, self._stream.next_id))
                return False
            case MessageAction(content=content):
                return await self._say(content, None)
            case action:
                call = replay.call(step, view.replay)
                thought = text_beside(action, call.arguments)
                response = f"{REPLAYED}{self._stream.next_id}"
                return await self._call(CallOfReply(call=call, response=response, total=1, thought=thought))

    async def _reply(self) -> ModelReply:
        """The model's reply. What it refuses because of the history is asked again in another form."""
        while True:
            messages = await self._fitter.messages()
            seen = self._stream.view.head
            try:
                reply = await self._ask(messages)
            except ModelFailure as failure:
                await self._fitter.repair(failure)
            else:
                await self._fitter.taken(reply)
                self._turn.seen = seen
                if reply.answers is not None:
                    self._turn.seen = reply.answers
                    self._history.answer(reply.answers)
                return reply

    async def _ask(self, messages: Sequence[Message]) -> ModelReply:
        def coalescer(kind: Literal["reply", "thought"]) -> DeltaCoalescer:
            key = str(self._stream.next_id)
            return DeltaCoalescer(self._stream.publish_transient, kind, key, self._stream.masker)

        writer, thoughts = coalescer("reply"), coalescer("thought")

        def retrying(retry: Retry) -> None:
            writer.restart()
            thoughts.restart()
            self._notice.retrying(retry)
            self._tell("STATUS$LLM_RETRY", f"Try {retry.attempt} failed, the next is in {retry.wait:.0f} s.")

        briefing = AgentInput(messages=messages, tools=self._context.tools.schemas, unanswered=self._history.unanswered)
        try:
            return await self._context.agent.decide(briefing, writer.write, retrying, thoughts.write)
        finally:
            writer.close()
            thoughts.close()

    async def _record(self, reply: ModelReply) -> bool:
        """Store what was decided and carry it out. True where that ended the turn."""
        budget, window = self._settings.max_budget_per_task, self._context.agent.window
        used = metrics(self._context.ledger.spent, reply, budget=budget, window=window)
        self._turn.finish = reply.finish
        plan = distinct(reply.calls)
        empty = not plan and not reply.text.strip()
        response = f"{reply.id}#{self._stream.next_id}"
        beside = said_beside(reply, response, plan, self._context.agent.model)
        if beside is not None:
            await self._stream.append(evolve(beside, llm_metrics=used) if empty else beside)
        if empty:
            return await self._answered_nothing()
        self._turn.nudged = False
        if not plan:
            return await self._say(reply.text, used)
        if len(plan) == 1:
            return await self._call(
                CallOfReply(call=plan[0], response=response, total=1, thought=reply.text, used=used)
            )
        planned = ToolCallsAction(
            source=Source.AGENT, response_id=response, calls=plan, thought=reply.text, llm_metrics=used
        )
        await self._stream.append(planned)
        return await self._take_up(planned, plan)

    async def _answered_nothing(self) -> bool:
        """A model that has only thought is asked once more."""
        if self._turn.nudged:
            return await self._end(StopReason.ERROR, AgentState.ERROR, text=SAID_NOTHING)
        self._turn.nudged = True
        return False

    async def _take_up(self, plan: ToolCallsAction, calls: Sequence[PlannedCall]) -> bool:
        """Take up what is left of a plan. True where that ended the turn."""
        while calls:
            given = CallOfReply(
                call=calls[0],
                response=plan.response_id,
                total=len(plan.calls),
                later=calls[1:],
                # Clients of the V0 protocol are spared the plan: what it says is said again where they see it.
                thought=plan.thought if len(calls) == len(plan.calls) else "",
                used=plan.llm_metrics,
            )
            taken = await self._calls.take_together(given, self._turn)
            if not taken and await self._call(given):
                return True
            calls = calls[max(1, taken) :]
        return False

    async def _say(self, text: str, used: dict[str, Json] | None) -> bool:
        said = MessageAction(
            source=Source.AGENT,
            content=text,
            wait_for_response=not self._more_steps(),
            cause=self._turn.cause,
            llm_metrics=used,
        )
        cut = ANSWER_CUT.get(self._turn.finish or "", "")
        if cut:
            self._tell("STATUS$REPLY_CUT", cut)
        return await self._end(StopReason.WAITING, AgentState.AWAITING_USER_INPUT, said, text=cut)

    async def _call(self, given: CallOfReply) -> bool:
        """Take up one call. True where that ended the turn."""
        match await self._calls.take(given, self._turn):
            case Ending(state=state, action=action):
                return await self._end(StopReason.DONE, state, action)
            case Asked():
                return True
            case Answered():
                return False

    async def _judge(self) -> bool:
        """Have the guard look at the newest results. True where that ended the turn."""
        if (note := self._guard.note) is not None:
            await self._stream.append(note)
        if (end := self._guard.ending(cut=self._turn.finish == "length")) is not None:
            return await self._end(end.reason, end.state, *end.events, text=end.text)
        return False

    async def _end(self, reason: StopReason, state: AgentState, *events: Event, text: str = "") -> bool:
        """Record the end of the turn in one append. False where a turn that ends well must still take something up:
        what the user has said meanwhile, or the next recorded step."""
        view = self._stream.view
        unheard = view.last_message > self._turn.seen or self._more_steps()
        if reason in (StopReason.DONE, StopReason.WAITING) and unheard:
            await self._stream.append(*events)
            return False
        calls = view.iterations + sum(spends(view.response_id, event) for event in events)
        left = withdrawing(await questions(self._stream), first=EventId(self._stream.next_id + len(events)))
        ended = TurnEndedObservation(stop_reason=reason, seen=self._turn.seen, iterations=calls)
        await self._stream.append(*events, *left, ended, AgentStateChangedObservation(agent_state=state, reason=text))
        return True

    def _more_steps(self) -> bool:
        return self._turn.step is not None and self._context.replay.more(self._stream.view)


def _tell(stream: EventStream, status: str, text: str, level: Literal["info", "error"] = "info") -> None:
    stream.publish_transient(Status(level, status, text))
