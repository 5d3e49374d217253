"""Where commands take effect: each becomes events, in one append where its parts belong together."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from openhands_sessions.core.commands import Answer, Command, Pause, Resume, SendMessage, Stop
from openhands_sessions.core.errors import BadInput, NotAccepting
from openhands_sessions.core.events.actions import ChangeAgentStateAction, MessageAction
from openhands_sessions.core.events.event import Action, AgentState, Event, Source
from openhands_sessions.core.events.observations import AgentStateChangedObservation
from openhands_sessions.core.events.own import ReplayEndedObservation
from openhands_sessions.core.ids import UNNUMBERED, EventId
from openhands_sessions.core.trajectory import goes_on
from openhands_sessions.ports.gateway import Accepted
from openhands_sessions.ports.store import Receipt
from openhands_sessions.session.agent_controller import AgentController
from openhands_sessions.session.approvals import confirming, rejecting, withdrawing
from openhands_sessions.session.event_stream import EventStream
from openhands_sessions.session.knowledge_recall import KnowledgeRecall
from openhands_sessions.session.setup import NO_IMAGES

EndTurn = Callable[[], Awaitable[None]]
"""Cancels the running turn, if any, and returns when it is gone."""


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A command's idempotency key, and a digest of its content."""

    key: str
    digest: str


class CommandHandler:
    """Takes one command at a time."""

    def __init__(
        self,
        stream: EventStream,
        controller: AgentController,
        knowledge: KnowledgeRecall,
    ) -> None:
        self._stream = stream
        self._controller = controller
        self._knowledge = knowledge

    async def take(self, command: Command, keyed: IdempotencyKey | None, end_turn: EndTurn) -> Accepted:
        """Durable when it returns. Raises NotAccepting, BadInput, StorageError."""
        if (before := await taken_before(self._stream, keyed)) is not None:
            return before
        receipt = receipt_of(keyed)
        match command:
            case SendMessage():
                said = await self._said(command)
                return await self._append((*said, *self._taken_over(command)), receipt)
            case Stop():
                return await self.stop(AgentState.STOPPED, end_turn, receipt)
            case Pause():
                return await self.stop(AgentState.PAUSED, end_turn, receipt)
            case Resume():
                return await self._append(self._resumed(), receipt)
            case Answer():
                return await self._append(await self._answered(command), receipt)

    async def stop(self, last: AgentState, end_turn: EndTurn, receipt: Receipt | None = None) -> Accepted:
        """End the turn and what it runs; nothing of it comes after the state `last`."""
        await end_turn()
        # Everything that the turn appended is folded once this one is: appends take effect in order.
        accepted = await self._append([ChangeAgentStateAction(agent_state=last, source=Source.USER)], receipt)
        if self._stream.view.stopping is not None or self._stream.view.left_running is not None:
            await self._come_to(last)
        return accepted

    async def close(self, end_turn: EndTurn) -> None:
        """The user closes the session: a stop, where there is something to stop; otherwise the state alone says it."""
        view = self._stream.view
        if view.under_way:
            await self.stop(AgentState.STOPPED, end_turn)
        elif view.agent_state is not AgentState.STOPPED:
            await self._stream.append(AgentStateChangedObservation(agent_state=AgentState.STOPPED))

    async def finish_stop(self) -> None:
        """Carry out a stop that is in the log, and that an earlier server did not come to carry out."""
        last = self._stream.view.stopping
        if last is not None:
            await self._come_to(last)

    async def _come_to(self, last: AgentState) -> None:
        view = self._stream.view
        if view.pending is not None:
            pending = await self._pending(view.pending)
            await self._stream.append(*withdrawing(pending, first=self._stream.next_id))
        await self._controller.wind_up(last)

    async def _append(self, events: Sequence[Event], receipt: Receipt | None) -> Accepted:
        numbered = await self._stream.append(*events, receipt=receipt)
        return Accepted(numbered[0].id)

    async def _said(self, command: SendMessage) -> Sequence[Event]:
        if command.image_urls and not self._controller.vision:
            raise BadInput("image_urls", NO_IMAGES)
        view = self._stream.view
        said = MessageAction(
            source=Source.USER,
            content=command.content,
            image_urls=command.image_urls,
            file_urls=command.file_urls,
        )
        if view.pending is not None:
            pending = await self._pending(view.pending)
            refused = rejecting(pending, first=self._stream.next_id, seen=view.head)
            running = AgentStateChangedObservation(agent_state=AgentState.RUNNING)
            return (*refused[:-1], said, running)
        if view.owed:
            return (said, *self._knowledge.recalled(command.content, self._stream.next_id + 1))
        first = self._stream.next_id + 1
        return (said, *self._knowledge.taking_up(command.content, first, whole=not view.recalled))

    def _taken_over(self, command: SendMessage) -> Sequence[Event]:
        """A message that does not have a replay go on ends it: from there on the model is asked."""
        replay = self._stream.view.replay
        if replay is None or not self._stream.view.replaying or goes_on(command.content):
            return ()
        return (ReplayEndedObservation(done=replay.done),)

    def _resumed(self) -> Sequence[Event]:
        view = self._stream.view
        if view.agent_state not in (AgentState.STOPPED, AgentState.PAUSED) or view.last_message == UNNUMBERED:
            raise NotAccepting(f"there is nothing to resume: the agent is {view.agent_state}")
        state = AgentState.RUNNING
        return (
            ChangeAgentStateAction(agent_state=state, source=Source.USER),
            AgentStateChangedObservation(agent_state=state),
        )

    async def _answered(self, answer: Answer) -> Sequence[Event]:
        pending = self._stream.view.pending
        if pending is None:
            raise NotAccepting("no action awaits an answer: it was answered or stopped already")
        if answer.action is not None and answer.action != pending:
            raise NotAccepting(f"action {answer.action} does not await an answer, {pending} does")
        action = await self._pending(pending)
        if answer.confirmed:
            return confirming(action)
        view = self._stream.view
        # What the user said while the agent decided is still to be taken up.
        seen = view.last_message - 1 if view.owed else view.head
        return rejecting(action, first=self._stream.next_id, seen=seen)

    async def _pending(self, event_id: EventId) -> Action:
        event = await self._stream.event(event_id)
        assert isinstance(event, Action)  # only actions await an answer
        return event


async def taken_before(stream: EventStream, keyed: IdempotencyKey | None) -> Accepted | None:
    """What the command did when it came before. Raises BadInput where that was another one, StorageError."""
    known = None if keyed is None else await stream.receipt(keyed.key)
    if keyed is None or known is None:
        return None
    if known.digest != keyed.digest:
        raise BadInput("key", "was used for another command; take a new one")
    return Accepted(known.event)


def receipt_of(keyed: IdempotencyKey | None) -> Receipt | None:
    """What is to be stored with the events of a command."""
    return None if keyed is None else Receipt(key=keyed.key, digest=keyed.digest, event=UNNUMBERED)


async def ended(task: "asyncio.Task[None] | None") -> None:
    """Cancel a task and wait until it is gone; what it raised is nobody's concern any more."""
    if task is None:
        return
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()
