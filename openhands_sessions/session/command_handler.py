"""What each command does: it becomes events, in one append where they belong together."""

from collections.abc import Sequence
from dataclasses import dataclass

from openhands_sessions.core.commands import (
    LONGEST_COMMENT,
    Answer,
    Command,
    Decide,
    EditQueued,
    GiveFeedback,
    Pause,
    RejectOverdue,
    RemoveQueued,
    Resume,
    SendMessage,
    SetBudget,
    SetModel,
    Stop,
)
from openhands_sessions.core.errors import BadInput, NotAccepting
from openhands_sessions.core.events.actions import ChangeAgentStateAction, MessageAction
from openhands_sessions.core.events.budget import BudgetSetAction
from openhands_sessions.core.events.event import AgentState, Event, Source
from openhands_sessions.core.events.observations import AgentStateChangedObservation
from openhands_sessions.core.events.own import DropReason, FeedbackGivenObservation, ReplayEndedObservation
from openhands_sessions.core.evolve import evolve
from openhands_sessions.core.history_commands import Compact, HistoryMove, NamingCommand, Seed
from openhands_sessions.core.ids import UNNUMBERED, EventId, OwnerId
from openhands_sessions.core.permissions import Permission
from openhands_sessions.core.trajectory import goes_on
from openhands_sessions.core.view import CUT_OFF, ConversationView
from openhands_sessions.ports.gateway import Accepted, EndReason
from openhands_sessions.session.agent_controllers import AgentControllers
from openhands_sessions.session.approval_decisions import ApprovalDecisions
from openhands_sessions.session.event_stream import EventStream
from openhands_sessions.session.history_moves import HistoryMoves
from openhands_sessions.session.idempotency import IdempotencyKey, earlier_answer, receipt_of, turn_in
from openhands_sessions.session.knowledge_recall import KnowledgeRecall
from openhands_sessions.session.message_queue import MessageQueue, dropping
from openhands_sessions.session.setup import NO_IMAGES
from openhands_sessions.session.stop import NOT_UNDER_WAY, CancelTurn, Stopper


@dataclass(frozen=True, slots=True)
class SubmittedCommand:
    """A command, its idempotency key, the id of the person who gave it, the `traceparent` of the request, and what the
    person may do with the conversation."""

    command: Command | RejectOverdue
    key: IdempotencyKey | None = None
    author: OwnerId | None = None
    trace: str | None = None
    permission: Permission = Permission.OWN


class CommandHandler:
    """Takes one command at a time. `queue` holds the messages that wait for turns of their own."""

    def __init__(
        self,
        stream: EventStream,
        controller: AgentControllers,
        knowledge: KnowledgeRecall,
        stopper: Stopper,
        moves: HistoryMoves,
    ) -> None:
        self.queue = MessageQueue(stream, knowledge)
        self._stream = stream
        self._controller = controller
        self._decisions = ApprovalDecisions(stream, controller)
        self._knowledge = knowledge
        self._stopper = stopper
        self._moves = moves

    async def take(self, given: SubmittedCommand, cancel_turn: CancelTurn) -> Accepted:
        """Durable when it returns. Raises NotAccepting, BadInput, Forbidden, StorageError."""
        if given.key is not None and (before := await earlier_answer(self._stream, given.key)) is not None:
            return before
        overdue = None if self._stream.view.approval is None else await self.reject_overdue()
        if not isinstance(given.command, RejectOverdue):
            return await self._take(given.command, given, cancel_turn)
        if overdue is None:
            raise NotAccepting("no answer is overdue")
        return overdue

    async def reject_overdue(self) -> Accepted | None:
        """Reject what awaits an answer although its time is over; None where nothing does. Whatever is decided now
        comes too late. Raises StorageError."""
        if not (events := await self._decisions.overdue()):
            return None
        numbered = await self._stream.append(*events)
        return Accepted(numbered[0].id, turn_in(numbered))

    async def close(self, reason: EndReason, cancel_turn: CancelTurn) -> None:
        """The user closes the session, or deletes the conversation, whose queued messages are reported as dropped."""
        await self._stopper.close(cancel_turn)
        queued = [one.id for one in self._stream.view.queued]
        if queued and reason == "deleted":
            await self._stream.append(dropping(queued, DropReason.DELETED))

    async def _take(self, command: Command, given: SubmittedCommand, cancel_turn: CancelTurn) -> Accepted:
        match command:
            case SendMessage() as command:
                return await self._append(await self._sent(command, given.key), given)
            case EditQueued() | RemoveQueued() as command:
                return await self._append(await self._queue_changed(command), given)
            case Stop(turn=int() as turn) if self.queue.waits(turn):
                return await self._append((dropping((turn,), DropReason.INTERRUPTED),), given)
            case Stop(turn=turn):
                self._check_turn(turn)
                return await self._stopped(AgentState.STOPPED, given, cancel_turn)
            case Pause():
                return await self._stopped(AgentState.PAUSED, given, cancel_turn)
            case Resume():
                return await self._append(self._resumed(), given)
            case Answer() | Decide() as answer:
                return await self._append(await self._decisions.taken(answer, given.permission), given)
            case GiveFeedback() | SetBudget() as noted:
                return await self._append((self._noted(noted),), given)
            case Compact() | Seed() | SetModel():
                raise NotAccepting("this is done between two turns")
            case command:
                return await self._moved(command, given)

    def _noted(self, command: GiveFeedback | SetBudget) -> Event:
        """Raises BadInput."""
        if isinstance(command, SetBudget):
            return BudgetSetAction(source=Source.USER, micro_dollars=command.micro_dollars)
        head = self._stream.view.head
        if command.about is not None and command.about > head:
            raise BadInput("about", f"must be an event of the conversation, at most {head}")
        if len(command.comment) > LONGEST_COMMENT:
            raise BadInput("comment", f"must have at most {LONGEST_COMMENT:,} characters")
        return FeedbackGivenObservation(
            source=Source.USER, feedback=command.feedback, about=command.about, comment=command.comment
        )

    async def _moved(self, command: NamingCommand | HistoryMove, given: SubmittedCommand) -> Accepted:
        if isinstance(command, NamingCommand):
            return await self._append(self._moves.naming(command), given)
        moving = await self._moves.moving(command)
        return await self._append(moving.events, given, moving.at)

    async def _stopped(self, last: AgentState, given: SubmittedCommand, cancel_turn: CancelTurn) -> Accepted:
        return await self._stopper.stop(last, cancel_turn, receipt=receipt_of(given.key), author=given.author)

    def _check_turn(self, turn: EventId | None) -> None:
        """Raises NotAccepting for a turn that is neither under way nor queued: a stop that comes too late hits no other
        one."""
        if turn is not None and self._stream.turn != turn:
            raise NotAccepting(NOT_UNDER_WAY.format(turn))

    async def _append(
        self, events: Sequence[Event], given: SubmittedCommand, at: ConversationView | None = None
    ) -> Accepted:
        """One append, the events that the person caused under the person's id. `at` as `EventStream.append` has it."""
        receipt = receipt_of(given.key)
        numbered = await self._stream.append(*events, receipt=receipt, at=at, author=given.author)
        return Accepted(numbered[0].id, turn_in(numbered))

    async def _queue_changed(self, command: EditQueued | RemoveQueued) -> Sequence[Event]:
        if isinstance(command, EditQueued):
            self._check_images(command)
        return await self.queue.changed(command)

    def _check_images(self, command: SendMessage | EditQueued, agent: str | None = None) -> None:
        if command.image_urls and not self._controller.sees(agent):
            raise BadInput("image_urls", NO_IMAGES)

    async def _sent(self, command: SendMessage, key: IdempotencyKey | None) -> Sequence[Event]:
        command = evolve(command, agent=self._addressed(command))
        self._check_images(command, command.agent)
        name = None if key is None else key.key
        if self.queue.takes(command):
            return self.queue.queued(command, name)
        return (*await self._said(command, name), *self._taken_over(command))

    def _addressed(self, command: SendMessage) -> str | None:
        """The agent that a message is for. Raises BadInput, and NotAccepting where another one has the turn that it is
        to steer."""
        view, named = self._stream.view, self._controller.named(command.agent)
        if self.queue.takes(command) or not (view.owed or view.pending is not None):
            return named
        if command.agent is not None and command.agent != view.agent_name:
            raise NotAccepting(f"the turn of the agent {view.agent_name!r} runs: send it with the mode `queue`")
        return view.agent_name

    async def _said(self, command: SendMessage, key: str | None) -> Sequence[Event]:
        view = self._stream.view
        said = MessageAction(
            source=Source.USER,
            content=command.content,
            image_urls=command.image_urls,
            file_urls=command.file_urls,
            key=key,
            agent_name=command.agent,
        )
        if view.pending is not None:
            refused = await self._decisions.abandoned()
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
        state = AgentState.RUNNING
        asked = ChangeAgentStateAction(agent_state=state, source=Source.USER, agent_name=view.agent_name)
        if view.agent_state in CUT_OFF and view.last_message != UNNUMBERED:
            return (asked, AgentStateChangedObservation(agent_state=state))
        if view.queue_held and view.queued:
            return (evolve(asked, turn=view.queued[0].id),)
        raise NotAccepting(f"there is nothing to resume: the agent is {view.agent_state}")
