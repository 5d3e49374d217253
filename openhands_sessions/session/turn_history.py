"""What a turn has to show the model: read once, then kept up by what happens."""

from collections.abc import Sequence

from openhands_sessions.core.dialogue import dialogue
from openhands_sessions.core.events.actions import CondensationAction
from openhands_sessions.core.events.codec import decode
from openhands_sessions.core.events.event import Event
from openhands_sessions.core.history_form import USUAL, HistoryForm, Message
from openhands_sessions.core.ids import UNNUMBERED
from openhands_sessions.session.event_stream import EventStream


class TurnHistory:
    """The events of a turn's dialogue, without what is forgotten. Lives as long as the turn."""

    def __init__(self, stream: EventStream) -> None:
        self._stream = stream
        self._events: list[Event] = []
        self._live = False
        self._summary: str | None = None
        stream.listen(self._heard)

    @property
    def events(self) -> Sequence[Event]:
        return self._events

    async def load(self) -> None:
        """Read the log from the storage, passing over what is forgotten."""
        view = self._stream.view
        self._events, self._summary, self._live = [], None, False
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
        self._live = True

    def forget(self) -> None:
        """Let go of the events: between turns a session holds none."""
        self._events, self._live = [], False

    def messages(self, model: str | None, form: HistoryForm = USUAL) -> Sequence[Message]:
        """For a model by its name; see `dialogue`."""
        condensed = self._stream.view.condensed
        if condensed is None or self._summary is None:
            return dialogue(self._events, model=model, form=form)
        return dialogue(self._events, self._summary, condensed[1], model=model, form=form)

    async def _read(self, after: int, before: int) -> list[Event]:
        batches = self._stream.read(after, before=before)
        return [decode(entry.text, entry.schema) async for batch in batches for entry in batch]

    def _heard(self, event: Event) -> None:
        if not self._live:
            return
        self._events.append(event)
        match event:
            case CondensationAction(
                forgotten_events_start_id=int() as start, forgotten_events_end_id=int() as end, summary=summary
            ):
                self._events = [one for one in self._events if not start <= one.id <= end]
                self._summary = summary or ""
