"""Goes back in the dialogue: where a move may go, and what it appends."""

from collections.abc import Sequence
from dataclasses import dataclass

from openhands_sessions.core.errors import BadInput, NotAccepting
from openhands_sessions.core.events.actions import MessageAction
from openhands_sessions.core.events.branches import BranchDeletedObservation
from openhands_sessions.core.events.codec import decode
from openhands_sessions.core.events.event import AgentState, Event, Source
from openhands_sessions.core.events.observations import AgentStateChangedObservation
from openhands_sessions.core.events.own import (
    CheckpointCreatedObservation,
    DropReason,
    HistoryMovedObservation,
    MoveReason,
    ReplayEndedObservation,
    StopReason,
    TurnEndedObservation,
)
from openhands_sessions.core.history_commands import (
    DeleteBranch,
    EditMessage,
    GoBack,
    HistoryMove,
    Merge,
    NamingCommand,
    Regenerate,
    SwitchBranch,
    Undo,
)
from openhands_sessions.core.ids import UNNUMBERED, EventId
from openhands_sessions.core.lineage import MAIN, on_chain, parting
from openhands_sessions.core.view import ConversationView
from openhands_sessions.session.agent_controllers import AgentControllers
from openhands_sessions.session.approval_questions import questions
from openhands_sessions.session.approvals import withdrawing
from openhands_sessions.session.event_stream import EventStream
from openhands_sessions.session.history_merge import MERGED, HistoryMerge, MergePlan
from openhands_sessions.session.knowledge_recall import KnowledgeRecall
from openhands_sessions.session.log_folding import Ends, LoadSnapshot
from openhands_sessions.session.message_queue import dropping
from openhands_sessions.session.setup import NO_IMAGES
from openhands_sessions.session.turn_runner import TurnRunner

BUSY = "the agent is at work on a turn: stop it first"
COMPACTING = "the history is being compacted or seeded: stop that, or wait for it"
NOTE = (
    "The conversation goes on from here; what was said and done after this point was taken back. The workspace was not:"
    " its files and programs are as they are now, not as they were then."
)
LONGEST_NAME = 100
MESSAGE = f"action:{MessageAction.KIND}"


@dataclass(frozen=True, slots=True)
class Moving:
    """What a move appends, as one. `at` is the view at the event that it goes back to."""

    events: Sequence[Event]
    at: ConversationView


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a move goes: the view at the end of a turn, or at the prompt. The state goes back to event `state_at`, if
    that is later. `again` is said there."""

    at: ConversationView
    reason: MoveReason
    state_at: int
    again: Sequence[MessageAction] = ()
    merging: MergePlan | None = None


class HistoryMoves:
    """Of one session. Raises NotAccepting while a turn runs or is owed, BadInput for what is no place to go."""

    def __init__(
        self,
        stream: EventStream,
        controller: AgentControllers,
        knowledge: KnowledgeRecall,
        turns: TurnRunner,
        load: LoadSnapshot,
        *,
        merge: HistoryMerge,
    ) -> None:
        self._merge = merge
        self._stream = stream
        self._controller = controller
        self._knowledge = knowledge
        self._turns = turns
        self._load = load
        self._ends: Ends = {}

    async def rest(self) -> None:
        """Return where no turn runs or is owed. Raises NotAccepting."""
        if self._turns.at_other_work:
            raise NotAccepting(COMPACTING)
        view = self._stream.view
        if not view.between_turns and view.pending is None:
            raise NotAccepting(BUSY)
        await self._turns.finished()

    async def moving(self, move: HistoryMove) -> Moving:
        """What is to be appended now. Raises NotAccepting, BadInput, StorageError."""
        await self.rest()
        self._ends = {}
        target = await self._target(move)
        self._ends = {}
        left = await self._withdrawn()
        first = EventId(self._stream.next_id + len(left))
        ended = next((first - place for place, event in enumerate(reversed(left), 1) if _ends(event)), UNNUMBERED)
        moved = await self._moved(move, target, max(EventId(ended), self._stream.view.settled))
        replay = target.at.replay
        given_up = (ReplayEndedObservation(done=replay.done),) if replay and target.at.replaying else ()
        dropped = self._dropped(target.at.head)
        said = await self._said(target, EventId(first + 1 + len(dropped) + len(given_up)))
        return Moving((*left, moved, *dropped, *given_up, *said), target.at)

    def naming(self, command: NamingCommand) -> Sequence[Event]:
        """What a checkpoint appends, or a branch whose name goes, also while a turn runs. Raises BadInput, and
        NotAccepting where there is no place to name."""
        if isinstance(command, DeleteBranch):
            return (self._deleted(command.branch),)
        if not 0 < len(command.name) <= LONGEST_NAME:
            raise BadInput("name", f"must have 1 to {LONGEST_NAME} characters")
        if any(one.name == command.name for one in self._stream.view.lineage.checkpoints):
            raise BadInput("name", f"{command.name!r} is a checkpoint already: take another name")
        if self._stream.view.between_turns and self._stream.view.settled == UNNUMBERED:
            raise NotAccepting("nothing was said yet")
        return (CheckpointCreatedObservation(name=command.name, description=command.description, source=Source.USER),)

    def _deleted(self, name: str) -> BranchDeletedObservation:
        lineage = self._stream.view.lineage
        if name in (lineage.branch, MAIN):
            told = "the one that the conversation began on" if name == MAIN else "the one that the conversation is on"
            raise BadInput("branch", f"{name!r} is {told}: it cannot be deleted")
        known = {one.name: one.tip for one in lineage.branches}
        if name not in known:
            raise BadInput("branch", f"{name!r} is unknown{_listed(known)}")
        return BranchDeletedObservation(name=name, source=Source.USER)

    async def _target(self, move: HistoryMove) -> _Target:
        view = self._stream.view
        match move:
            case Undo():
                return _Target(await self._before_newest(), MoveReason.UNDO, view.turn_message - 1)
            case Regenerate():
                at = await self._before_newest()
                return _Target(
                    at, MoveReason.REGENERATE, view.turn_message - 1, await self._said_since(view.turn_message)
                )
            case EditMessage(message=message):
                at = await self._before(message)
                old = await self._stream.event_of(MessageAction, message)
                images = old.image_urls if move.image_urls is None else move.image_urls
                files = old.file_urls if move.file_urls is None else move.file_urls
                return _Target(at, MoveReason.EDIT, message - 1, (_message(move.content, images, files),))
            case GoBack():
                return _Target(await self._place(move), MoveReason.MOVE, self._state_at(move))
            case SwitchBranch(branch=name):
                at = await self._tip(name)
                left = next(one.left for one in view.lineage.branches if one.name == name)
                return _Target(at, MoveReason.SWITCH, left)
            case Merge():
                plan = await self._merge.plan(move)
                return _Target(await self._at(plan.base), MoveReason.MERGE, view.head, merging=plan)

    def _state_at(self, move: GoBack) -> int:
        """A message takes back what was set since; a checkpoint, what was set since it was made."""
        if move.message is not None:
            return move.message - 1
        if move.event is not None:
            return move.event
        made = (one.made - 1 for one in self._stream.view.lineage.checkpoints if one.name == move.checkpoint)
        return next(made, UNNUMBERED)

    async def _before_newest(self) -> ConversationView:
        view = self._stream.view
        if view.turn_message == UNNUMBERED:
            raise NotAccepting("there is no turn to take back")
        if view.turn_start == UNNUMBERED:
            raise NotAccepting("the conversation begins with this turn: there is nothing to go back to")
        return await self._at(view.turn_start)

    async def _place(self, move: GoBack) -> ConversationView:
        given = [name for name in ("message", "event", "checkpoint") if getattr(move, name) is not None]
        if len(given) != 1:
            raise BadInput("message", "or `event`, or `checkpoint`, must say where to go: exactly one of them")
        if move.message is not None:
            return await self._before(move.message)
        if move.event is not None:
            return await self._after(move.event)
        known = {one.name: one.at for one in self._stream.view.lineage.checkpoints}
        if move.checkpoint not in known:
            raise BadInput("checkpoint", f"{move.checkpoint!r} is unknown{_listed(known)}")
        if known[move.checkpoint] == UNNUMBERED:
            raise NotAccepting(f"the turn of checkpoint {move.checkpoint!r} has not ended")
        return await self._at(known[move.checkpoint])

    async def _before(self, message: EventId) -> ConversationView:
        """The view at the end of the turn before the one that the message opened."""
        if not 0 <= message <= self._stream.view.head:
            raise BadInput("message", f"{message} is no event of this conversation")
        event = await self._stream.event(message)
        if not (isinstance(event, MessageAction) and event.source is Source.USER):
            raise BadInput("message", f"{message} is no message of the user's")
        before = await self._at(EventId(message - 1)) if message else ConversationView()
        if not before.between_turns:
            opening = before.turn_message
            raise BadInput("message", f"{message} was said in the turn that message {opening} opened: name that one")
        if before.settled == UNNUMBERED:
            raise BadInput("message", f"{message} is what the conversation begins with: nothing is before it")
        return before if before.head == before.settled else await self._at(before.settled)

    async def _after(self, event: EventId) -> ConversationView:
        if not 0 <= event <= self._stream.view.head:
            raise BadInput("event", f"{event} is no event of this conversation")
        at = await self._at(event)
        if not at.between_turns:
            raise BadInput("event", f"{event} lies within the turn that message {at.turn_message} opened")
        if at.settled == UNNUMBERED:
            raise BadInput("event", f"{event} lies before the beginning of the dialogue")
        return at if at.head == at.settled else await self._at(at.settled)

    async def _tip(self, name: str) -> ConversationView:
        lineage = self._stream.view.lineage
        if name == lineage.branch:
            raise BadInput("branch", f"{name!r} is the one that the conversation is on")
        known = {one.name: one.tip for one in lineage.branches}
        if name not in known:
            raise BadInput("branch", f"{name!r} is unknown{_listed(known)}")
        return await self._at(known[name])

    async def _at(self, event: EventId) -> ConversationView:
        known = self._ends.get(event)
        return known or await self._stream.view_at(event, self._load, self._ends)

    async def _said_since(self, message: EventId) -> Sequence[MessageAction]:
        """What the user has said from this message on, which opened the newest turn."""
        said: list[MessageAction] = []
        async for batch in self._stream.read_chain(message - 1):
            for event in (decode(entry.text, entry.schema) for entry in batch if entry.kind == MESSAGE):
                if isinstance(event, MessageAction) and event.source is Source.USER:
                    said.append(_message(event.content, event.image_urls, event.file_urls))
        return said

    async def _withdrawn(self) -> Sequence[Event]:
        """What takes a question back that awaits an answer: the turn that asks it ends."""
        asked = await questions(self._stream)
        if not asked:
            return ()
        events = withdrawing(asked, first=self._stream.next_id)
        # What runs on in the sandbox does so: this is no stop.
        ended = TurnEndedObservation(stop_reason=StopReason.WAITING, seen=self._stream.next_id)
        return (*events, ended)

    def _dropped(self, to: EventId) -> Sequence[Event]:
        """What says that the messages that were queued after this event become no turns."""
        queued = tuple(one.id for one in self._stream.view.queued if one.id > to)
        return (dropping(queued, DropReason.UNDONE),) if queued else ()

    async def _moved(self, move: HistoryMove, target: _Target, tip: EventId) -> HistoryMovedObservation:
        view, to = self._stream.view, target.at.head
        name = self._left_name(move, to, tip)
        return HistoryMovedObservation(
            source=Source.USER,
            content=NOTE if target.merging is None else MERGED,
            to=to,
            reason=target.reason,
            branch=move.branch if isinstance(move, SwitchBranch) else view.lineage.branch,
            left_branch=name,
            left_tip=tip if name else UNNUMBERED,
            message_id=await self._first_left(to),
            state_at=max(EventId(target.state_at), to),
        )

    def _left_name(self, move: HistoryMove, to: EventId, tip: EventId) -> str:
        """What the dialogue that is left is called. Raises BadInput."""
        lineage = self._stream.view.lineage
        if isinstance(move, SwitchBranch):
            return lineage.branch
        name = move.left if isinstance(move, Merge) else move.branch
        if name is not None:
            if lineage.known(name):
                raise BadInput("branch", f"{name!r} is a branch already: take another name")
            return name
        kept = (to, *(branch.tip for branch in lineage.branches))
        return "" if any(on_chain(lineage.path(each), tip) for each in kept) else lineage.new_name()

    async def _first_left(self, to: EventId) -> EventId:
        """The user's message that opened the first turn that is not on the new chain."""
        view = self._stream.view
        async for batch in self._stream.read_chain(parting(view.chain, view.lineage.path(to))):
            for entry in batch:
                if entry.kind == MESSAGE:
                    event = decode(entry.text, entry.schema)
                    if isinstance(event, MessageAction) and event.source is Source.USER:
                        return event.id
        return UNNUMBERED

    async def _said(self, target: _Target, first: EventId) -> Sequence[Event]:
        """What comes after the move. `first` is the id that the first of these events will have."""
        if any(each.image_urls for each in target.again) and not self._controller.sees(None):
            raise BadInput("image_urls", NO_IMAGES)
        self._knowledge.forget()
        if target.merging is not None:
            waiting = AgentStateChangedObservation(agent_state=AgentState.AWAITING_USER_INPUT)
            return (*await self._merge.events(target.merging, first), waiting)
        if not target.again:
            return (AgentStateChangedObservation(agent_state=AgentState.AWAITING_USER_INPUT),)
        message, *more = target.again
        whole = not target.at.recalled
        said = [message, *self._knowledge.taking_up(message.content, EventId(first + 1), whole=whole)]
        for each in more:
            said += (each, *self._knowledge.recalled(each.content, EventId(first + len(said) + 1)))
        return said


def _message(content: str, images: Sequence[str] | None, files: Sequence[str] | None) -> MessageAction:
    return MessageAction(
        source=Source.USER, content=content, image_urls=tuple(images or ()), file_urls=tuple(files or ())
    )


def _ends(event: Event) -> bool:
    return isinstance(event, TurnEndedObservation)


def _listed(known: Sequence[str] | dict[str, EventId]) -> str:
    names = ", ".join(map(repr, known))
    return f"; there are {names}" if names else ": there is none"
