"""The pieces of a reply as they stream, made whole: deltas are not stored, and some may be missing."""

from collections.abc import Sequence

from openhands_sessions.core.events.actions import FinishAction, MessageAction
from openhands_sessions.core.events.event import Event, Source
from openhands_sessions.ports.gateway import Delta
from openhands_sessions.sdk.results import StreamItem


class StreamedReply:
    """Knows how much of the reply that is under way was given."""

    def __init__(self) -> None:
        self._key = ""
        self._given = ""

    def pieces(self, delta: Delta) -> Sequence[StreamItem]:
        """What the delta adds. After a gap, nothing more of the reply is given before its event."""
        if delta.kind != "reply":
            return [StreamItem(kind=delta.kind, text=delta.text)] if delta.text else []
        begun = [StreamItem(kind="restart")] if delta.restart and self._given else []
        if delta.restart or delta.key != self._key:
            self._key, self._given = delta.key, ""
        if not delta.offset <= len(self._given) < delta.offset + len(delta.text):
            return begun
        text = delta.text[len(self._given) - delta.offset :]
        self._given += text
        return [*begun, StreamItem(kind="reply", text=text)]

    def rest(self, event: Event) -> Sequence[StreamItem]:
        """What is still to be given of the answer that the event records; nothing for other events."""
        match event:
            case MessageAction(source=Source.AGENT, content=content):
                text = content
            case FinishAction(final_thought=content):
                text = content
            case _:
                if event.tool_call_metadata is not None:
                    self._given, self._key = "", ""  # what was said beside the call is no part of the answer
                return ()
        given, self._given, self._key = self._given, "", ""
        if text.startswith(given):
            return [StreamItem(kind="reply", text=text[len(given) :])] if len(text) > len(given) else []
        return [StreamItem(kind="restart"), StreamItem(kind="reply", text=text)]
