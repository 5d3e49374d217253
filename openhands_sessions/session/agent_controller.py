"""One turn: decide, act, record, until the agent has spoken."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import structlog

from openhands_sessions.core.dialogue import CUT, result_text, text_beside
from openhands_sessions.core.errors import BadInput, ModelFailure
from openhands_sessions.core.events.actions import FinishAction, MessageAction, RejectAction
from openhands_sessions.core.events.event import Action, AgentState, Event, Json, Observation, Source, ToolCall
from openhands_sessions.core.events.observations import (
    BAD_CALL_ID,
    AgentStateChangedObservation,
    ErrorObservation,
    LoopDetectionObservation,
)
from openhands_sessions.core.events.own import (
    InvalidCallAction,
    PlannedCall,
    StopReason,
    ToolCallsAction,
    TurnEndedObservation,
    TurnResumedObservation,
)
from openhands_sessions.core.evolve import evolve
from openhands_sessions.core.history_form import Message
from openhands_sessions.core.limits import LoopVerdict, check_repetition, over
from openhands_sessions.core.settings import SessionSettings
from openhands_sessions.core.trajectory import TrajectoryStep
from openhands_sessions.core.view import spends
from openhands_sessions.ports.agent import AgentInput
from openhands_sessions.ports.gateway import Status
from openhands_sessions.ports.model import ModelReply, Retry
from openhands_sessions.session.action_runner import SandboxLost
from openhands_sessions.session.approvals import asking
from openhands_sessions.session.delta_coalescing import DeltaCoalescer
from openhands_sessions.session.event_stream import EventStream
from openhands_sessions.session.history_fitter import HistoryFitter
from openhands_sessions.session.model_replies import ANSWER_CUT, distinct, metrics, said_beside
from openhands_sessions.session.turn_context import TurnContext, TurnProgress
from openhands_sessions.session.turn_history import TurnHistory

log = structlog.get_logger(__name__)

SAID_NOTHING = "The model answered with nothing. Say continue to ask it again."
STUCK_NOTE = "You repeat the same step with the same result. Do something else, or tell the user what is in the way."
STUCK_END = "The agent repeats the same step and gets nowhere. Tell it what to do differently."
ALWAYS_CUT = "Its replies are cut: the model reaches the limit of its output each time."


class AgentController:
    """Takes turns. All that must outlive it is in the log: a turn that is cut off goes on with a new one."""

    def __init__(self, stream: EventStream, context: TurnContext, settings: SessionSettings) -> None:
        self._stream = stream
        self._context = context
        self._settings = settings
        self._history = TurnHistory(stream)
        self._fitter = HistoryFitter(stream, context, settings, self._history, self._tell)
        self._turn = TurnProgress()

    @property
    def vision(self) -> bool:
        """Whether the agent can look at images."""
        return self._context.agent.vision

    async def take_turn(self, *, resumed: bool = False) -> None:
        """One turn, to its recorded end. `resumed` says that the log's last turn was cut off. Being cancelled leaves
        open what is open; `wind_up` closes it. Raises StorageError, and then the session cannot go on."""
        self._turn = TurnProgress(seen=self._stream.view.last_message)
        try:
            await self._history.load()
            self._fitter.begin()
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
            log.info("a model call failed for good", model=self._settings.llm_model, cause=failure.status)
            limited = failure.status == "CHAT_INTERFACE$AGENT_RATE_LIMITED_STOPPED_MESSAGE"
            state = AgentState.RATE_LIMITED if limited else AgentState.ERROR
            await self._end(StopReason.ERROR, state, text=failure.message)
        finally:
            self._history.forget()

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
        while True:
            if limit := over(self._stream.view, self._settings):
                await self._end(limit.reason, AgentState.ERROR, text=limit.text)
                return
            self._turn.step, self._turn.cause = self._context.replay.next(self._stream.view), None
            if self._turn.step is not None:
                if await self._replay(self._turn.step):
                    return
                continue
            if await self._record(await self._reply()):
                return

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
                return await self._call(call, f"replay#{self._stream.next_id}", 1, thought=thought)

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
                return reply

    async def _ask(self, messages: Sequence[Message]) -> ModelReply:
        def coalescer(kind: Literal["reply", "thought"]) -> DeltaCoalescer:
            key = str(self._stream.next_id)
            return DeltaCoalescer(self._stream.publish_transient, kind, key, self._stream.masker)

        writer, thoughts = coalescer("reply"), coalescer("thought")

        def retrying(retry: Retry) -> None:
            writer.restart()
            thoughts.restart()
            self._tell("STATUS$LLM_RETRY", f"Try {retry.attempt} failed, the next is in {retry.wait:.0f} s.")

        briefing = AgentInput(messages=messages, tools=self._context.tools.schemas)
        try:
            return await self._context.agent.decide(briefing, writer.write, retrying, thoughts.write)
        finally:
            writer.close()
            thoughts.close()

    async def _record(self, reply: ModelReply) -> bool:
        """Store what was decided and carry it out. True where that ended the turn."""
        budget, window = self._settings.max_budget_per_task, self._context.agent.window
        used = metrics(self._stream.view, reply, budget=budget, window=window)
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
            return await self._call(plan[0], response, 1, thought=reply.text, used=used)
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
        for place, call in enumerate(calls, len(plan.calls) - len(calls)):
            # Clients of the V0 protocol are spared the plan: what it says is said again where they see it.
            thought = plan.thought if place == 0 else ""
            if await self._call(call, plan.response_id, len(plan.calls), thought=thought, used=plan.llm_metrics):
                return True
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

    async def _call(
        self, call: PlannedCall, response: str, total: int, *, thought: str = "", used: Mapping[str, Json] | None = None
    ) -> bool:
        """Take up one call. True where that ended the turn."""
        about: dict[str, Any] = {
            "source": Source.AGENT,
            "cause": self._turn.cause,
            "llm_metrics": used,
            "tool_call_metadata": ToolCall(
                function_name=call.name,
                tool_call_id=call.id,
                model_response={"id": response},
                total_calls_in_response=total,
                arguments=call.arguments,
            ),
        }
        try:
            action = self._context.tools.read(call.name, call.arguments)
        except BadInput as wrong:
            return await self._refuse(call, wrong, InvalidCallAction(**about, thought=thought))
        about["thought"] = "\n".join(part for part in (thought, getattr(action, "thought", "")) if part)
        return await self._act(replace(action, **about), call)

    async def _refuse(self, call: PlannedCall, wrong: BadInput, invalid: InvalidCallAction) -> bool:
        cut = f"\n{CUT['length']}" if self._turn.finish == "length" else ""
        problem = ErrorObservation(
            cause=self._stream.next_id, source=Source.AGENT, content=wrong.message + cut, error_id=BAD_CALL_ID
        )
        await self._stream.append(invalid, *self._context.replay.refused(self._stream.view, problem))
        return await self._judge(call, problem)

    async def _act(self, action: Action, call: PlannedCall) -> bool:
        match action:
            case FinishAction():
                return await self._end(StopReason.DONE, AgentState.FINISHED, action)
            case RejectAction():
                return await self._end(StopReason.DONE, AgentState.REJECTED, action)
        action = self._context.policy.graded(action, self._settings)
        if self._context.policy.asks(action, self._settings):
            calls = self._stream.view.iterations + spends(self._stream.view, action)
            await self._stream.append(*asking(action, seen=self._turn.seen, iterations=calls))
            return True
        recorded = await self._stream.append_one(action)
        observation = await self._context.runner.carry_out(recorded)
        await self._stream.append(*self._context.replay.told(self._stream.view, observation))
        return await self._judge(call, observation)

    async def _judge(self, call: PlannedCall, observation: Observation) -> bool:
        if self._turn.step is not None:
            return False
        step = f"{call.name}\0{call.arguments}\0{result_text(observation)}"
        self._turn.streak, verdict = check_repetition(self._turn.streak, step)
        match verdict:
            case LoopVerdict.NOTE:
                await self._stream.append(LoopDetectionObservation(source=Source.AGENT, content=STUCK_NOTE))
            case LoopVerdict.STOP:
                text = f"{STUCK_END} {ALWAYS_CUT}" if self._turn.finish == "length" else STUCK_END
                return await self._end(StopReason.STUCK, AgentState.ERROR, text=text)
        return False

    async def _end(self, reason: StopReason, state: AgentState, *events: Event, text: str = "") -> bool:
        """Record the end of the turn in one append. False where a turn that ends well must still take something up:
        what the user has said meanwhile, or the next recorded step."""
        view = self._stream.view
        unheard = view.last_message > self._turn.seen or self._more_steps()
        if reason in (StopReason.DONE, StopReason.WAITING) and unheard:
            await self._stream.append(*events)
            return False
        calls = view.iterations + sum(spends(view, event) for event in events)
        ended = TurnEndedObservation(stop_reason=reason, seen=self._turn.seen, iterations=calls)
        await self._stream.append(*events, ended, AgentStateChangedObservation(agent_state=state, reason=text))
        return True

    def _more_steps(self) -> bool:
        return self._turn.step is not None and self._context.replay.more(self._stream.view)

    def _tell(self, status: str, text: str, level: Literal["info", "error"] = "info") -> None:
        self._stream.publish_transient(Status(level, status, text))
