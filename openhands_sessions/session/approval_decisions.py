"""What users decide about the calls that await their answer: checked against what is open, then turned into events."""

from collections.abc import Mapping, Sequence

from openhands_sessions.core.approval import Approval
from openhands_sessions.core.commands import Answer, Decide, DecideCall
from openhands_sessions.core.confirmation_rules import MOST_RULES, remembered_pattern
from openhands_sessions.core.errors import BadInput, Forbidden, NotAccepting, StaleDecision
from openhands_sessions.core.events.event import Action, AgentState, Event, Source
from openhands_sessions.core.events.observations import AgentStateChangedObservation
from openhands_sessions.core.events.own import AlwaysAllowedAction, ApprovalDecidedAction, CallDecision
from openhands_sessions.core.ids import UNNUMBERED, EventId
from openhands_sessions.core.permissions import Permission, needed_for
from openhands_sessions.session.agent_controllers import AgentControllers
from openhands_sessions.session.approval_questions import questions
from openhands_sessions.session.approvals import Question, asking_next, confirming, echo, rejecting
from openhands_sessions.session.event_stream import EventStream

OWNERS_MONEY = "only the owner of the conversation may let it go on at its cost: you can reject, or stop it"
Given = Mapping[EventId, DecideCall]
"""Decisions by the event that asks about the call."""


class ApprovalDecisions:
    """Of one session."""

    def __init__(self, stream: EventStream, controller: AgentControllers) -> None:
        self._stream = stream
        self._controller = controller

    async def taken(self, answer: Answer | Decide, permission: Permission) -> Sequence[Event]:
        """What an answer appends, of who may do so much. Raises NotAccepting, BadInput, Forbidden, and then nothing is
        decided."""
        approval = self._stream.view.approval
        if approval is not None and not permission.covers(needed_for(answer, approval.about)):
            raise Forbidden(OWNERS_MONEY)
        return await (self._answered(answer) if isinstance(answer, Answer) else self._decided(answer))

    async def overdue(self) -> Sequence[Event]:
        """What rejects the calls whose time for an answer is over; nothing before."""
        approval = self._stream.view.approval
        if approval is None or not approval.due(self._stream.now):
            return ()
        late = [CallDecision(call=one.event, approved=False) for one in approval.open]
        recorded = ApprovalDecidedAction(
            batch=approval.batch, version=approval.version + 1, decisions=tuple(late), expired=True
        )
        by_call = {one.call: one for one in late}
        asked = [
            Question(one.asked, one.action, one.decision or by_call[one.asked.event], one.decision is None)
            for one in await questions(self._stream)
        ]
        if any(one.asked.approved for one in asked):  # the turn goes on, and tells the rest as it takes them up
            return (recorded,)
        first, seen = EventId(self._stream.next_id + 1), self._seen(approval)
        return (recorded, *rejecting(asked, first=first, seen=seen, by_user=False))

    async def abandoned(self) -> Sequence[Event]:
        """What a message appends that comes in place of an answer: what is open is rejected, and nothing of the batch
        runs."""
        view = self._stream.view
        assert view.approval is not None  # or nothing is open
        asked = [
            one if one.decision and not one.decision.approved else _refused(one)
            for one in await questions(self._stream)
        ]
        return rejecting(asked, first=self._stream.next_id, seen=self._seen(view.approval))

    async def _answered(self, answer: Answer) -> Sequence[Event]:
        approval, pending = self._stream.view.approval, self._stream.view.pending
        if approval is None or pending is None:
            raise NotAccepting("no action awaits an answer: it was answered or stopped already")
        named = pending if answer.action is None else answer.action
        found = [one for one in approval.open if named in (one.event, one.shown)]
        if not found:
            raise NotAccepting(f"action {named} does not await an answer, {pending} does")
        decision = DecideCall(
            call=found[0].event,
            approved=answer.confirmed,
            arguments=answer.arguments,
            feedback=answer.feedback,
            always=answer.always,
        )
        return await self._taking_effect(approval, {decision.call: decision}, "")

    async def _decided(self, command: Decide) -> Sequence[Event]:
        approval = self._stream.view.approval
        if approval is None or approval.batch != command.batch or not approval.open:
            raise StaleDecision(f"batch {command.batch} awaits no decision: it was decided, withdrawn, or is overdue")
        if approval.version != command.version:
            raise StaleDecision(
                f"batch {command.batch} has version {approval.version} now, not {command.version}: read it again"
            )
        given: dict[EventId, DecideCall] = {}
        for place, one in enumerate(command.decisions):
            asked = next((each for each in approval.calls if one.call in (each.event, each.shown)), None)
            if asked is None:
                raise BadInput(f"decisions.{place}.event_id", f"names no call of batch {command.batch}")
            if asked.decided != UNNUMBERED:
                raise StaleDecision(f"call {one.call} of batch {command.batch} was decided already")
            if asked.event in given:
                raise BadInput(f"decisions.{place}.event_id", "names a call that another decision names too")
            given[asked.event] = one
        if command.rest is not None:
            for asked in approval.open:
                given.setdefault(asked.event, DecideCall(call=asked.event, approved=command.rest))
        if not given:
            raise BadInput("decisions", "must name a call, or `rest` must decide about all")
        return await self._taking_effect(approval, given, "decisions.")

    async def _taking_effect(self, approval: Approval, given: Given, prefix: str) -> Sequence[Event]:
        asked = await questions(self._stream)
        if approval.about == "spending":
            _check_plain(given, prefix)
        edited = self._edited(asked, given, prefix)
        always = self._always(asked, given, prefix)
        if len(approval.calls) == 1:
            return (*self._one(approval, asked[0], edited, given), *always)
        decisions = tuple(
            CallDecision(call=call, approved=one.approved, arguments=one.arguments, feedback=one.feedback)
            for call, one in given.items()
        )
        by_call = {one.call: one for one in decisions}
        asked = [Question(one.asked, one.action, by_call.get(one.asked.event, one.decision)) for one in asked]
        if all(one.decision is not None and not one.decision.approved for one in asked):
            return (*rejecting(asked, first=self._stream.next_id, seen=self._seen(approval)), *always)
        version = approval.version + 1
        recorded = ApprovalDecidedAction(source=Source.USER, batch=approval.batch, version=version, decisions=decisions)
        return (recorded, *self._shown(approval, asked, given), *always)

    def _one(
        self, approval: Approval, asked: Question, edited: Mapping[EventId, Action], given: Given
    ) -> Sequence[Event]:
        """The answer to a single action, which takes effect in the same append."""
        [decision] = given.values()
        if decision.approved:
            return confirming(self._controller.requested(asked.action), edited.get(asked.asked.event))
        refused = _refused(asked, decision.feedback)
        return rejecting([refused], first=self._stream.next_id, seen=self._seen(approval))

    def _shown(self, approval: Approval, asked: Sequence[Question], given: Given) -> Sequence[Event]:
        """What V0 clients are told: that the action is answered by which they were asked, and the next one."""
        answered = [one for one in asked if one.shown and one.asked.event in given]
        if not answered:
            return ()
        approved = given[answered[0].asked.event].approved
        state = AgentState.USER_CONFIRMED if approved else AgentState.USER_REJECTED
        told: list[Event] = [echo(approved=approved), AgentStateChangedObservation(agent_state=state)]
        left = next((one for one in asked if one.decision is None), None)
        if left is None:
            return told
        try:
            action = self._controller.requested(left.action)
        except BadInput:  # its tool is gone: clients of protocol 2 can still decide
            return told
        seen = self._seen(approval)
        return (*told, *asking_next(action, left.asked.event, seen=seen, deadline=approval.deadline))

    def _edited(self, asked: Sequence[Question], given: Given, prefix: str) -> Mapping[EventId, Action]:
        """The actions of calls whose arguments are edited. Raises BadInput."""
        found: dict[EventId, Action] = {}
        for question in asked:
            decision = given.get(question.asked.event)
            if decision is None or decision.arguments is None:
                continue
            try:
                found[question.asked.event] = self._controller.edited(question.action, decision.arguments)
            except BadInput as wrong:
                if not prefix:
                    raise
                place = list(given).index(question.asked.event)
                raise BadInput(f"{prefix}{place}.arguments", f"are refused: {wrong.message}") from None
        return found

    def _always(self, asked: Sequence[Question], given: Given, prefix: str) -> Sequence[Event]:
        """The rules that are to be remembered. Raises BadInput."""
        rules: list[Event] = []
        for question in asked:
            decision, call = given.get(question.asked.event), question.action.tool_call_metadata
            if decision is None or decision.always is None or call is None:
                continue
            arguments = call.arguments if decision.arguments is None else decision.arguments
            pattern = remembered_pattern(call.function_name, arguments)
            rule = AlwaysAllowedAction(
                source=Source.USER, tool=call.function_name, pattern=pattern, scope=decision.always
            )
            rules.append(rule)
        if len(self._stream.view.always_allowed) + len(rules) > MOST_RULES:
            raise BadInput("always", f"is not possible: {MOST_RULES} calls are allowed in this conversation already")
        return rules

    def _seen(self, approval: Approval) -> int:
        """What the agent has taken into account, which asks: what the user said while it decided is still to be taken
        up."""
        view = self._stream.view
        if not view.owed:
            return view.head
        before = view.last_message - 1
        return before if approval.seen == UNNUMBERED else min(before, approval.seen)


def _check_plain(given: Given, prefix: str) -> None:
    """Raises BadInput for what can only be said about a call."""
    for place, one in enumerate(given.values()):
        for name in ("arguments", "always", "feedback"):
            if getattr(one, name):
                field = f"{prefix}{place}.{name}" if prefix else name
                raise BadInput(field, "cannot be given: the question is about spending, answer it with yes or no")


def _refused(question: Question, feedback: str = "") -> Question:
    decision = CallDecision(call=question.asked.event, approved=False, feedback=feedback)
    return Question(question.asked, question.action, decision)
