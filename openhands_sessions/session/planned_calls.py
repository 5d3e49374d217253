"""Takes up the calls of a reply, one at a time: reads, grades and records each, and has it carried out."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from openhands_sessions.core.approval import AskedCall
from openhands_sessions.core.confirmation_rules import remembered_rule
from openhands_sessions.core.dialogue import CUT
from openhands_sessions.core.errors import BadInput, StorageError
from openhands_sessions.core.events.actions import FinishAction, RejectAction
from openhands_sessions.core.events.budget import BudgetReservedAction
from openhands_sessions.core.events.event import Action, AgentState, Json, Source, ToolCall
from openhands_sessions.core.events.observations import BAD_CALL_ID, DENIED_ID, ErrorObservation
from openhands_sessions.core.events.own import InvalidCallAction, PlannedCall
from openhands_sessions.core.settings import SessionSettings
from openhands_sessions.core.spending import spends
from openhands_sessions.ports.policy import Verdict
from openhands_sessions.session.action_runner import SandboxLost
from openhands_sessions.session.approval_questions import question
from openhands_sessions.session.approvals import answer_until, asking, confirmed, edited, requested, withdrawing
from openhands_sessions.session.call_budget import CallBudget
from openhands_sessions.session.event_stream import EventStream
from openhands_sessions.session.turn_context import TurnContext, TurnProgress

DENIED = "Not run: a rule of this conversation's user or operator denies it ({})."


@dataclass(frozen=True, kw_only=True, slots=True)
class CallOfReply:
    """A call, the id of its reply, how many calls that has, and those after this one; the text and the usage of the
    reply, where this call shows them."""

    call: PlannedCall
    response: str
    total: int
    later: Sequence[PlannedCall] = ()
    thought: str = ""
    used: Mapping[str, Json] | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """The call has its result, which is stored: the turn goes on."""


@dataclass(frozen=True, slots=True)
class Ending:
    """The call ends the turn well, with this action, which is to be stored with the end."""

    state: AgentState
    action: Action


@dataclass(frozen=True, slots=True)
class Asked:
    """The user is asked about the call and about later ones of its reply, and the turn's end is stored: it goes on when
    all are decided."""


class PlannedCalls:
    """Of one session. What a call leads to is returned; the turn is the caller's."""

    def __init__(self, stream: EventStream, context: TurnContext, settings: SessionSettings) -> None:
        self._stream = stream
        self._context = context
        self._settings = settings
        self._budget = CallBudget(stream)

    def edited(self, pending: Action, arguments: str) -> Action:
        """An action that awaits an answer, with other arguments for its call. Raises BadInput that names what is wrong
        in them."""
        action = self._graded(edited(self.requested(pending), arguments, self._context.tools.read))
        verdict = self._verdict(action)
        if verdict.decision == "deny" and verdict.rule is not None:
            raise BadInput("arguments", f"are denied by a rule ({verdict.rule.describe()})")
        return action

    def requested(self, question: Action) -> Action:
        """The action that a call asks for which awaits an answer. Raises BadInput where it cannot be carried out."""
        action = requested(question, self._context.tools.read)
        return action if action is question else self._graded(action)

    async def take(self, given: CallOfReply, turn: TurnProgress) -> Answered | Ending | Asked:
        """Take up one call, which may be decided already. Raises SandboxLost, StorageError."""
        approval = self._stream.view.approval
        for asked in () if approval is None else approval.calls:
            if asked.call == given.call.id:
                return await self._take_decided(asked)
        try:
            action = self._read(given.call, given, turn)
        except BadInput as wrong:
            about = _about(given.call, given, turn)
            invalid = InvalidCallAction(**about, thought=given.thought)
            cut = f"\n{CUT['length']}" if turn.finish == "length" else ""
            return await self._refuse(invalid, wrong.message + cut, BAD_CALL_ID)
        return await self._act(action, given, turn)

    def _read(self, call: PlannedCall, given: CallOfReply, turn: TurnProgress) -> Action:
        """The action of a call, graded. Raises BadInput."""
        action = self._context.tools.read(call.name, call.arguments)
        about = _about(call, given, turn)
        about["thought"] = "\n".join(part for part in (given.thought, getattr(action, "thought", "")) if part)
        return self._graded(replace(action, **about))

    def _graded(self, action: Action) -> Action:
        return self._context.policy.graded(action, self._settings)

    def _verdict(self, action: Action) -> Verdict:
        remembered = [remembered_rule(*each) for each in self._stream.view.always_allowed]
        return self._context.policy.verdict(action, self._settings, remembered)

    async def _act(self, action: Action, given: CallOfReply, turn: TurnProgress) -> Answered | Ending | Asked:
        match action:
            case FinishAction():
                return Ending(AgentState.FINISHED, action)
            case RejectAction():
                return Ending(AgentState.REJECTED, action)
        verdict = self._verdict(action)
        if verdict.decision == "deny" and verdict.rule is not None:
            thought = str(getattr(action, "thought", ""))
            denied = InvalidCallAction(**_about(given.call, given, turn), thought=thought)
            return await self._refuse(denied, DENIED.format(verdict.rule.describe()), DENIED_ID)
        if verdict.price is not None or verdict.decision == "ask":
            await self._stream.quiet()  # a budget that is being set counts; nothing waits from here to the append
        if not self._budget.asks(verdict, action):
            return await self._carry_out(action)
        calls = [(action, verdict), *self._later(given, turn)]
        reserving = self._budget.reserving(calls)
        if not self._budget.asks(verdict, action, reserving):
            return await self._carry_out(action, *reserving)
        asked = [call for call, verdict in calls if self._budget.asks(verdict, call, reserving)]
        return await self._ask(asked, reserving, turn)

    def _later(self, given: CallOfReply, turn: TurnProgress) -> Iterator[tuple[Action, Verdict]]:
        """The calls after this one that can be carried out, but for those that the user was asked about."""
        approval = self._stream.view.approval
        asked = set() if approval is None else {one.call for one in approval.calls}
        for call in (each for each in given.later if each.id not in asked):
            with suppress(BadInput):
                action = self._read(call, replace(given, thought=""), turn)
                yield action, self._verdict(action)

    async def _ask(
        self, asked: Sequence[Action], reserving: Sequence[BudgetReservedAction], turn: TurnProgress
    ) -> Asked:
        """Ask about the call, and about those after it that need an answer too."""
        iterations = self._stream.view.iterations + spends(self._stream.view.response_id, asked[0])
        deadline = answer_until(self._stream.now, self._settings.approval_timeout)
        question = asking(asked, seen=turn.seen, iterations=iterations, deadline=deadline)
        await self._stream.append(*reserving, *question)
        return Asked()

    async def _take_decided(self, asked: AskedCall) -> Answered:
        """Take up a call that the user was asked about. Raises SandboxLost, StorageError."""
        decided = await question(self._stream, asked)
        if asked.approved:
            arguments = None if decided.decision is None else decided.decision.arguments
            try:
                action = self.requested(decided.action)
                edited = None if arguments is None else self.edited(decided.action, arguments)
            except BadInput as wrong:  # its tool is gone
                result = ErrorObservation(
                    content=wrong.message,
                    error_id=BAD_CALL_ID,
                    cause=asked.event,
                    source=Source.AGENT,
                    tool_call_metadata=decided.action.tool_call_metadata,
                )
                await self._stream.append(result)
                return Answered()
            return await self._carry_out(confirmed(action, edited))
        await self._stream.append(*withdrawing([decided], first=self._stream.next_id))
        return Answered()

    async def take_together(self, given: CallOfReply, turn: TurnProgress) -> int:
        """Carry out the call and those after it at the same time, up to the first that may change something or needs an
        answer, and at most as many as the settings allow: how many; none where that leaves one. One that fails takes no
        other down, and each result is stored when it comes. Raises SandboxLost, StorageError."""
        calls = [given.call, *given.later][: self._settings.max_parallel_calls]
        actions: list[Action] = []
        for call in calls:
            action = self._independent(call, given if call is given.call else replace(given, thought=""), turn)
            if action is None:
                break
            actions.append(action)
        if len(actions) < 2:
            return 0
        recorded = [event for event in await self._stream.append(*actions) if isinstance(event, Action)]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._try(action)) for action in recorded]
        outcomes = [task.result() for task in tasks]
        for outcome in outcomes:
            if isinstance(outcome, StorageError):
                raise outcome
        lost = [outcome for outcome in outcomes if isinstance(outcome, SandboxLost)]
        if lost:
            # The end of the turn records the observation of the one that is raised.
            await self._stream.append(*(each.observation for each in lost[:-1]))
            raise lost[-1]
        return len(recorded)

    def _independent(self, call: PlannedCall, given: CallOfReply, turn: TurnProgress) -> Action | None:
        """The action of a call that changes nothing, and needs no answer."""
        approval = self._stream.view.approval
        if approval is not None and any(asked.call == call.id for asked in approval.calls):
            return None
        try:
            action = self._read(call, given, turn)
        except BadInput:
            return None
        independent = self._context.tools.is_independent(call.name, action)
        if not independent:
            return None
        verdict = self._verdict(action)
        free = verdict.decision != "deny" and not self._budget.asks(verdict, action)
        return action if free else None

    async def _try(self, recorded: Action) -> Answered | SandboxLost | StorageError:
        """Carry out a call beside others: what goes wrong is returned, so that they go on."""
        try:
            return await self._answered(recorded)
        except (SandboxLost, StorageError) as failure:
            return failure

    async def _carry_out(self, action: Action, *reserving: BudgetReservedAction) -> Answered:
        """A reservation and the action that it lets run are one append."""
        *_, recorded = await self._stream.append(*reserving, action)
        assert isinstance(recorded, Action)  # it is what was given
        return await self._answered(recorded)

    async def _answered(self, recorded: Action) -> Answered:
        observation = await self._context.runner.carry_out(recorded)
        await self._stream.append(*self._context.replay.told(self._stream.view, observation))
        return Answered()

    async def _refuse(self, invalid: InvalidCallAction, why: str, error_id: str) -> Answered:
        problem = ErrorObservation(cause=self._stream.next_id, source=Source.AGENT, content=why, error_id=error_id)
        await self._stream.append(invalid, *self._context.replay.refused(self._stream.view, problem))
        return Answered()


def _about(call: PlannedCall, given: CallOfReply, turn: TurnProgress) -> dict[str, Any]:
    """What an action says of the call that it comes from."""
    return {
        "source": Source.AGENT,
        "cause": turn.cause,
        "llm_metrics": given.used,
        "tool_call_metadata": ToolCall(
            function_name=call.name,
            tool_call_id=call.id,
            model_response={"id": given.response},
            total_calls_in_response=given.total,
            arguments=call.arguments,
        ),
    }
