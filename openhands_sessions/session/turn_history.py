"""What a turn has to show the model: read once, then kept up by what happens."""

from collections.abc import Iterable, Sequence

from openhands_sessions.core.dialogue import dialogue
from openhands_sessions.core.events.actions import ChangeAgentStateAction, CondensationAction, MessageAction
from openhands_sessions.core.events.codec import decode
from openhands_sessions.core.events.event import Action, AgentState, Event, Source
from openhands_sessions.core.events.observations import McpObservation
from openhands_sessions.core.events.own import ModelCalledObservation, StopReason, TurnEndedObservation
from openhands_sessions.core.evolve import evolve
from openhands_sessions.core.history_form import USUAL, HistoryForm, Message
from openhands_sessions.core.ids import UNNUMBERED, EventId
from openhands_sessions.core.shared_dialogue import Viewer, seen_by
from openhands_sessions.session.event_stream import EventStream

MOST_IMAGES = 15_000_000
"""Characters of the data of images of results that are shown together; older ones are left out."""
_RECORD = f"observation:{ModelCalledObservation.KIND}"
"""What a model call has used is no part of the dialogue."""
IMAGES_LEFT_OUT = "\n[The images of this result are left out by now.]"


class TurnHistory:
    """The events of a turn's dialogue, without what is forgotten. Lives as long as the turn."""

    def __init__(self, stream: EventStream, viewer: Viewer | None = None) -> None:
        """`viewer`: of several agents, the one whose turns they are."""
        self._stream = stream
        self._viewer = viewer
        self._events: list[Event] = []
        self._live = False
        self._summary: str | None = None
        self._answered: int = UNNUMBERED
        stream.listen(self._heard)

    @property
    def events(self) -> Sequence[Event]:
        return self._events

    @property
    def unanswered(self) -> Sequence[MessageAction]:
        """The user's messages that no earlier turn has taken up, nor this one as far as `answer` was told."""
        condensed = self._stream.view.condensed
        answered = max(self._answered, UNNUMBERED if condensed is None else condensed[1])
        return [message for message in unanswered(self._events) if message.id > answered]

    def answer(self, message: EventId) -> None:
        """This message, and all before it, have been taken up."""
        self._answered = message

    async def load(self) -> None:
        """Read the visible chain from the storage, passing over what is forgotten."""
        view = self._stream.view
        self._events, self._summary, self._live, self._answered = [], None, False, UNNUMBERED
        cursor: int = UNNUMBERED
        if view.condensed is not None:
            start, end = view.condensed
            self._events = await self._read(-1, before=start)
            found = await self._read(view.summary_event - 1, before=view.summary_event + 1)
            self._summary = (
                next((event.summary for event in found if isinstance(event, CondensationAction)), None) or ""
            )
            cursor = end
        while cursor < (head := self._stream.view.head):
            self._events += await self._read(cursor, before=head + 1)
            cursor = head
        leave_out_old_images(self._events)
        self._live = True

    def forget(self) -> None:
        """Let go of the events: between turns a session holds none."""
        self._events, self._live = [], False

    def messages(self, model: str | None, form: HistoryForm = USUAL) -> Sequence[Message]:
        """For a model by its name; see `dialogue`."""
        condensed = self._stream.view.condensed
        if condensed is None or self._summary is None:
            return self.shown(self._events, model=model, form=form)
        return self.shown(self._events, self._summary, condensed[1], model=model, form=form)

    def shown(
        self,
        events: Sequence[Event],
        summary: str | None = None,
        summary_after: int = -1,
        *,
        model: str | None,
        form: HistoryForm,
    ) -> Sequence[Message]:
        """These events as the agent is shown them; see `dialogue`."""
        seen = events if self._viewer is None else seen_by(self._viewer, events)
        return dialogue(seen, summary, summary_after, model=model, form=form)

    async def _read(self, after: int, before: int) -> list[Event]:
        events: list[Event] = []
        async for batch in self._stream.read_chain(after, before=before):
            events += [decode(entry.text, entry.schema) for entry in batch if entry.kind != _RECORD]
            leave_out_old_images(events)
        return events

    def _heard(self, event: Event) -> None:
        if not self._live or isinstance(event, ModelCalledObservation):
            return
        self._events.append(event)
        match event:
            case McpObservation(image_urls=tuple()):
                leave_out_old_images(self._events)
            case CondensationAction(
                forgotten_events_start_id=int() as start, forgotten_events_end_id=int() as end, summary=summary
            ):
                self._events = [one for one in self._events if not start <= one.id <= end]
                self._summary = summary or ""


def unanswered(events: Iterable[Event]) -> Sequence[MessageAction]:
    """The user's messages behind what the last turn has taken into account. A stop leaves none, a pause all."""
    waiting: list[MessageAction] = []
    for event in events:
        match event:
            case MessageAction(source=Source.USER):
                waiting.append(event)
            case ChangeAgentStateAction(source=Source.USER, agent_state=AgentState.STOPPED):
                waiting = []
            case TurnEndedObservation(stop_reason=reason, seen=seen) if reason is not StopReason.STOPPED:
                waiting = [message for message in waiting if message.id > seen]
            case Action(source=Source.AGENT):
                # What answers a replayed message is in the recording, or comes from the agent.
                waiting = [message for message in waiting if message.cause is None]
    return waiting


def leave_out_old_images(events: list[Event]) -> None:
    """Keep the images of the newest results only: they are in memory during a turn, and in each request."""
    room = MOST_IMAGES
    for place in reversed(range(len(events))):
        event = events[place]
        if isinstance(event, McpObservation) and event.image_urls:
            room -= sum(map(len, event.image_urls))
            if room < 0:
                events[place] = evolve(event, image_urls=None, content=event.content + IMAGES_LEFT_OUT)
