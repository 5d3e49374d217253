"""Conversations of another installation (OpenHands 0.62) as ours: events under our numbers, metadata as a row. Pure."""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any

from openhands_sessions.core.events.codec import from_wire, timestamp_text
from openhands_sessions.core.events.event import Event, Json
from openhands_sessions.core.repository import Repository

LONGEST_TITLE = 200
_LONGEST_NAME = 300
_RANGE = ("forgotten_events_start_id", "forgotten_events_end_id")


class EventNumbering:
    """Maps their event numbers to ours. Theirs may have gaps, ours have none. Kept as runs: their first number, our
    first number, length."""

    def __init__(self, runs: Json = None) -> None:
        """`runs` as `dump` gave them; what is not in that form counts as none."""
        self._runs: list[list[int]] = []
        for run in runs if isinstance(runs, list) else []:
            if isinstance(run, list) and len(run) == 3 and all(type(number) is int for number in run):
                self._runs.append([number for number in run if isinstance(number, int)])

    def add(self, theirs: int, ours: int) -> None:
        """Both higher than all before."""
        if self._runs:
            first, our_first, count = self._runs[-1]
            if theirs - first == ours - our_first == count:
                self._runs[-1][2] += 1
                return
        self._runs.append([theirs, ours, 1])

    def ours(self, theirs: int) -> int | None:
        """Our number; None if it was not added."""
        found = self.at_most(theirs)
        return found if found is not None and found == self.at_least(theirs) else None

    def at_most(self, theirs: int) -> int | None:
        """Our number of the newest that is not newer than theirs."""
        place = self._place(theirs)
        if place < 0:
            return None
        first, our_first, count = self._runs[place]
        return our_first + min(theirs - first, count - 1)

    def at_least(self, theirs: int) -> int | None:
        """Our number of the oldest that is not older than theirs."""
        place = self._place(theirs)
        if place >= 0 and theirs - self._runs[place][0] < self._runs[place][2]:
            return self._runs[place][1] + theirs - self._runs[place][0]
        return self._runs[place + 1][1] if place + 1 < len(self._runs) else None

    def dump(self) -> Json:
        return [list[Json](run) for run in self._runs]

    def _place(self, theirs: int) -> int:
        return bisect_right(self._runs, theirs, key=lambda run: run[0]) - 1


def event_of(
    wire: Mapping[str, Any], ours: int, numbering: EventNumbering, zone: tzinfo | None, otherwise: datetime
) -> Event:
    """Their event under our number, with references to other events renumbered. An unknown or malformed event becomes
    `Unknown`. Its time is read in `zone` as by `moment_of`; one that cannot be read is `otherwise`."""
    moment = moment_of(wire.get("timestamp"), zone) or otherwise
    changed = {**wire, "id": ours, "timestamp": timestamp_text(moment)}
    if "cause" in wire:
        cause = numbering.ours(wire["cause"]) if type(wire["cause"]) is int else None
        if cause is None:
            del changed["cause"]
        else:
            changed["cause"] = cause
    if isinstance(call := wire.get("tool_call_metadata"), dict):
        changed["tool_call_metadata"] = _with_arguments(call)
    if wire.get("action") == "condensation" and isinstance(args := wire.get("args"), dict):
        changed["args"] = forgetting(args, numbering)
    return from_wire(changed)


@dataclass(frozen=True, kw_only=True, slots=True)
class Metadata:
    """A conversation's metadata in another installation. Times are aware."""

    created_at: datetime
    updated_at: datetime
    title: str | None
    trigger: str
    repository: Repository | None = None
    """As lists show it; None where none of it is known."""


def metadata_of(given: Mapping[str, Any], name: str) -> Metadata | None:
    """None without a creation time: the other side ignores such a conversation, too. `name` is the conversation's id,
    from which the other side makes a default title."""
    created = moment_of(given.get("created_at"), UTC)
    if created is None:
        return None
    title = _text(given.get("title"), LONGEST_TITLE)
    return Metadata(
        created_at=created,
        updated_at=max(created, moment_of(given.get("last_updated_at"), UTC) or created),
        title=None if title == f"Conversation {name[:5]}" else title,
        trigger=_text(given.get("trigger"), _LONGEST_NAME) or "gui",
        repository=_repository(given),
    )


def _repository(given: Mapping[str, Any]) -> Repository | None:
    name, branch, provider = (
        _text(given.get(key), _LONGEST_NAME) for key in ("selected_repository", "selected_branch", "git_provider")
    )
    known = name or branch or provider
    return Repository(name=name or "", branch=branch, provider=provider) if known else None


def moment_of(value: object, zone: tzinfo | None) -> datetime | None:
    """A time in UTC, None if it cannot be read. Without a zone it is read in `zone`, None meaning this machine's."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _with_arguments(call: dict[str, Any]) -> dict[str, Any]:
    """A tool call with its arguments, which the other side keeps in the whole reply only."""
    arguments = _said(call.get("model_response"), call.get("tool_call_id"))
    return call if arguments is None or "arguments" in call else {**call, "arguments": arguments}


def _said(reply: Any, call_id: object) -> str | None:
    try:
        for choice in reply["choices"]:
            for call in choice["message"]["tool_calls"] or ():
                if call["id"] == call_id and isinstance(arguments := call["function"]["arguments"], str):
                    return arguments
    except (KeyError, TypeError):
        pass  # a reply in another form: the call is shown without arguments
    return None


def forgetting(args: dict[str, Any], numbering: EventNumbering) -> dict[str, Any]:
    """A condensation in our numbers. If its range is missing, it forgets nothing."""
    changed = dict(args)
    if isinstance(forgotten := args.get("forgotten_event_ids"), list):
        found = [numbering.ours(number) for number in forgotten if type(number) is int]
        changed["forgotten_event_ids"] = [number for number in found if number is not None]
    start, end = (args.get(name) for name in _RANGE)
    if type(start) is int and type(end) is int:
        first, last = numbering.at_least(start), numbering.at_most(end)
        whole = first is not None and last is not None and first <= last
        changed.update(zip(_RANGE, (first, last) if whole else (None, None), strict=True))
    return changed


def _text(value: object, longest: int) -> str | None:
    if not isinstance(value, str) or not value.strip():
        return None
    return value.encode("utf-8", "replace").decode().strip()[:longest]
