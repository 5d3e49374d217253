"""What each command does: it becomes events, in one append where they belong together."""

from collections.abc import Sequence
from dataclasses import dataclass

from openhands_sessions.core.commands import Answer, Command, Pause, Resume, SendMessage, Stop
from openhands_sessions.core.errors import BadInput, NotAccepting
from openhands_sessions.core.events.actions import ChangeAgentStateAction, MessageAction
from openhands_sessions.core.events.event import Action, AgentState, Event, Source
from openhands_sessions.core.events.observations import AgentStateChangedObservation
from openhands_sessions.core.events.own import ReplayEndedObservation
from openhands_sessions.core.evolve import evolve
from openhands_sessions.core.ids import UNNUMBERED, OwnerId
from openhands_sessions.core.trajectory import goes_on
from openhands_sessions.ports.gateway import Accepted
from openhands_sessions.session.agent_controller import AgentController
from openhands_sessions.session.approvals import confirming, rejecting
from openhands_sessions.session.event_stream import EventStream
from openhands_sessions.session.idempotency import IdempotencyKey, earlier_answer, receipt_of
from openhands_sessions.session.knowledge_recall import KnowledgeRecall
from openhands_sessions.session.setup import NO_IMAGES
from openhands_sessions.session.stop import CancelTurn, Stopper


@dataclass(frozen=True, slots=True)
class SubmittedCommand:
    """A command, its idempotency key, and the id of the person who gave it."""

    command: Command
    key: IdempotencyKey | None = None
    author: OwnerId | None = None


class CommandHandler:
    """Takes one command at a time."""

    def __init__(
        self, stream: EventStream, controller: AgentController, knowledge: KnowledgeRecall, stopper: Stopper
    ) -> None:
        self._stream = stream
        self._controller = controller
        self._knowledge = knowledge
        self._stopper = stopper

    async def take(self, given: SubmittedCommand, cancel_turn: CancelTurn) -> Accepted:
        """Durable when it returns. Raises NotAccepting, BadInput, StorageError."""
        if (before := await earlier_answer(self._stream, given.key)) is not None:
            return before
        match given.command:
            case SendMessage() as command:
                return await self._append((*await self._said(command), *self._taken_over(command)), given)
            case Stop() | Pause() as command:
                last = AgentState.STOPPED if isinstance(command, Stop) else AgentState.PAUSED
                return await self._stopper.stop(last, cancel_turn, receipt=receipt_of(given.key), author=given.author)
            case Resume():
                return await self._append(self._resumed(), given)
            case Answer() as answer:
                return await self._append(await self._answered(answer), given)

    async def _append(self, events: Sequence[Event], given: SubmittedCommand) -> Accepted:
        """One append, the events that the person caused under the person's id."""
        named = [evolve(event, author=given.author) if _is_the_persons(event) else event for event in events]
        numbered = await self._stream.append(*named, receipt=receipt_of(given.key))
        return Accepted(numbered[0].id)

    async def _said(self, command: SendMessage) -> Sequence[Event]:
        if command.image_urls and not self._controller.vision:
            raise BadInput("image_urls", NO_IMAGES)
        view = self._stream.view
        said = MessageAction(
            source=Source.USER, content=command.content, image_urls=command.image_urls, file_urls=command.file_urls
        )
        if view.pending is not None:
            pending = await self._stream.event_of(Action, view.pending)
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
        action = await self._stream.event_of(Action, pending)
        if answer.confirmed:
            return confirming(action)
        view = self._stream.view
        # What the user said while the agent decided is still to be taken up.
        seen = view.last_message - 1 if view.owed else view.head
        return rejecting(action, first=self._stream.next_id, seen=seen)


def _is_the_persons(event: Event) -> bool:
    return event.source is Source.USER and isinstance(event, MessageAction | ChangeAgentStateAction)
