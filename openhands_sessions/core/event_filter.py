"""Which events of a log a request asks for."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from openhands_sessions.core.events.codec import Stored
from openhands_sessions.core.events.event import EPOCH, Source
from openhands_sessions.core.foreign_events import moment_of


@dataclass(frozen=True, kw_only=True, slots=True)
class EventFilter:
    """What an event must be. Kinds are `run` for both actions and observations, or `action:run`, `observation:run`;
    times are aware, the first included and the last too."""

    source: Source | None = None
    text: str = ""
    """Contained in the event's text, regardless of case."""
    kinds: frozenset[str] = frozenset()
    """None means all."""
    without: frozenset[str] = frozenset()
    shown_only: bool = False
    since: datetime | None = None
    until: datetime | None = None

    def matches(self, entry: Stored) -> bool:
        """Decodes an event only where its kind does not decide."""
        names = {entry.kind, entry.kind.partition(":")[2]}
        if (self.kinds and not names & self.kinds) or names & self.without or (self.shown_only and hidden(entry)):
            return False
        if self.source is None and not self.text and self.since is None and self.until is None:
            return True
        return self._matches_content(orjson.loads(entry.text))

    def _matches_content(self, wire: dict[str, Any]) -> bool:
        if self.source is not None and wire.get("source") != self.source:
            return False
        moment = moment_of(wire.get("timestamp"), None) or EPOCH
        if (self.since is not None and moment < self.since) or (self.until is not None and moment > self.until):
            return False
        searched = (wire.get("message"), wire.get("content"), wire.get("args"), wire.get("extras"))
        return not self.text or self.text.casefold() in orjson.dumps(searched).decode().casefold()


def hidden(entry: Stored) -> bool:
    """Whether exports leave the event out."""
    if '"hidden":true' not in entry.text:
        return False
    wire = orjson.loads(entry.text)
    return bool((wire.get("args") or wire.get("extras") or {}).get("hidden"))
