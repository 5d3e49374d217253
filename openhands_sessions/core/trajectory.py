"""Reads a recorded trajectory for a replay: the actions to issue in place of the model, and their recorded results."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import orjson

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.actions import (
    ACTIONS,
    ChangeAgentStateAction,
    CondensationAction,
    CondensationRequestAction,
    LoopRecoveryAction,
    MessageAction,
    NullAction,
    RecallAction,
    SystemAction,
)
from openhands_sessions.core.events.codec import encode, from_wire
from openhands_sessions.core.events.event import Action, ConfirmationState, Observation, Source
from openhands_sessions.core.events.observations import NOT_RUN_ID, RunObservation
from openhands_sessions.core.events.own import (
    HistoryCompactedAction,
    HistoryMovedObservation,
    InvalidCallAction,
    ToolCallsAction,
)
from openhands_sessions.core.ids import UNNUMBERED, EventId
from openhands_sessions.core.json_text import read_json
from openhands_sessions.core.lineage import Lineage, on_chain

FIELD = "replay_json"
LONGEST_MESSAGE = 1_000_000
"""Characters."""
NOT_ISSUED = (
    SystemAction,
    RecallAction,
    ChangeAgentStateAction,
    CondensationAction,
    CondensationRequestAction,
    NullAction,
    LoopRecoveryAction,
    ToolCallsAction,
    InvalidCallAction,
    HistoryCompactedAction,
)
"""Actions that a session issues itself, or that had no effect."""
GO_ON = "continue"
"""The message that resumes a stopped replay; any other goes to the model."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrajectoryStep:
    """One action to repeat: a message or a call. `outcome` is the kind of the recorded observation, None for none;
    `exit_code` that of a command."""

    action: Action
    outcome: str | None = None
    exit_code: int | None = None

    def difference(self, observation: Observation) -> str | None:
        """How an observation differs from the recorded one, in words; None if it does not."""
        if self.outcome is None:
            return None
        if self.outcome != observation.KIND:
            return f"recorded was the outcome `{self.outcome}`, now it is `{observation.KIND}`"
        if isinstance(observation, RunObservation) and self.exit_code not in (None, observation.metadata.exit_code):
            return f"recorded was exit code {self.exit_code}, now it is {observation.metadata.exit_code}"
        return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Trajectory:
    """What a replay begins with, and its steps in order."""

    message: MessageAction
    steps: tuple[TrajectoryStep, ...]


def goes_on(text: str) -> bool:
    """Whether a message resumes a replay instead of ending it."""
    return text.strip().casefold() == GO_ON


def read_trajectory(text: str) -> Trajectory:
    """Parse an export: a JSON list of events, or an object that holds one. Skips what the environment did and actions
    that were never carried out. Raises BadInput that names the entry."""
    try:
        exported = read_json(text)
    except ValueError as error:
        raise BadInput(FIELD, f"must be an exported trajectory, and it is not JSON: {error}") from None
    if isinstance(exported, dict):
        exported = exported.get("trajectory")
    if not isinstance(exported, list):
        raise BadInput(FIELD, "must be a list of events, as an export is")
    steps = tuple(_Reading(_visible(exported)).steps())
    for number, step in enumerate(steps, 1):
        if isinstance(step.action, MessageAction) and step.action.source is Source.USER:
            return Trajectory(message=step.action, steps=steps[number:])
    raise BadInput(FIELD, "has no message of the user, which a replay begins with")


def dump_steps(steps: Iterable[TrajectoryStep]) -> bytes:
    """Steps in the form that is stored until the replay ends."""
    return orjson.dumps(
        [
            {"action": orjson.Fragment(encode(step.action)), "outcome": step.outcome, "exit_code": step.exit_code}
            for step in steps
        ]
    )


def load_steps(kept: bytes) -> tuple[TrajectoryStep, ...]:
    """Steps again. Raises ValueError for what `dump_steps` did not write."""
    found = []
    for entry in orjson.loads(kept):
        action = from_wire(entry["action"])
        if not isinstance(action, Action):
            raise ValueError("a step that is not an action")
        found.append(TrajectoryStep(action=action, outcome=entry["outcome"], exit_code=entry["exit_code"]))
    return tuple(found)


class _Reading:
    """Pairs the actions of an export with their results."""

    def __init__(self, entries: Sequence[Any]) -> None:
        self._entries = [_checked(place, entry) for place, entry in enumerate(entries)]
        # Where there are several, the last one: the reference says of a running command that it was not executed,
        # and sends its result later.
        observations = [entry for entry in self._entries if "action" not in entry]
        self._outcomes = {entry["cause"]: entry for entry in observations if _is_number(entry.get("cause"))}
        self._thoughts: dict[str, str] = {}
        """Thoughts of actions that awaited an answer, by call id."""

    def steps(self) -> Iterator[TrajectoryStep]:
        for place, entry in enumerate(self._entries):
            if "action" not in entry:
                continue
            action = _action(place, entry)
            outcome = self._outcomes.get(entry["id"], {}) if _is_number(entry.get("id")) else {}
            extras = outcome.get("extras") or {}
            if self._was_agreed(action) and extras.get("error_id") != NOT_RUN_ID:
                code = (extras.get("metadata") or {}).get("exit_code")
                yield TrajectoryStep(
                    action=self._with_thought(action),
                    outcome=outcome.get("observation"),
                    exit_code=code if _is_number(code) else None,
                )

    def _was_agreed(self, action: Action) -> bool:
        if action.source is Source.ENVIRONMENT or isinstance(action, NOT_ISSUED):
            return False
        if isinstance(action, MessageAction):
            return bool(action.content.strip() or (action.image_urls and action.source is Source.USER))
        call = action.tool_call_metadata
        asked = getattr(action, "confirmation_state", ConfirmationState.CONFIRMED)
        if asked is ConfirmationState.AWAITING and call is not None:
            self._thoughts[call.tool_call_id] = str(getattr(action, "thought", ""))
        return asked is ConfirmationState.CONFIRMED

    def _with_thought(self, action: Action) -> Action:
        """The reference leaves the thought out where it restates an action."""
        call = action.tool_call_metadata
        about: dict[str, Any] = {"thought": "" if call is None else self._thoughts.get(call.tool_call_id, "")}
        return replace(action, **about) if about["thought"] and getattr(action, "thought", None) == "" else action


def _visible(entries: Sequence[Any]) -> Sequence[Any]:
    """The entries of the visible chain: what was taken back is not repeated."""
    events = [entry for entry in entries if isinstance(entry, dict) and _is_number(entry.get("id"))]
    moves = [move for entry in events if (move := _move(entry)) is not None]
    if not moves:
        return entries
    if any(before[0] >= after[0] for before, after in pairwise(moves)):
        raise BadInput(FIELD, "must have its events in their order")
    chain = Lineage(moves=tuple(moves)).path(events[-1]["id"])
    return [entry for entry in events if on_chain(chain, entry["id"])]


def _move(entry: dict[str, Any]) -> tuple[EventId, EventId] | None:
    if entry.get("observation") != HistoryMovedObservation.KIND:
        return None
    extras = entry.get("extras")
    to = extras.get("to") if isinstance(extras, dict) else None
    return (EventId(entry["id"]), EventId(to)) if type(to) is int and 0 <= to < entry["id"] else None


def _checked(place: int, entry: Any) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise BadInput(FIELD, f"entry {place} must be an event, not {type(entry).__name__}")
    if "action" in entry:
        if str(entry["action"]) not in ACTIONS:
            raise BadInput(FIELD, f"entry {place} is an action of an unknown kind: {str(entry['action'])[:64]!r}")
        return entry
    if not isinstance(entry.get("observation"), str):
        raise BadInput(FIELD, f"entry {place} must be an event: an action or an observation")
    extras = entry.get("extras")
    if not isinstance(extras, dict | None) or not isinstance((extras or {}).get("metadata"), dict | None):
        raise BadInput(
            FIELD, f"entry {place} is not a valid {entry['observation'][:64]!r} observation: its extras are wrong"
        )
    return entry


def _action(place: int, entry: dict[str, Any]) -> Action:
    action = from_wire({**entry, "id": UNNUMBERED})
    if not isinstance(action, Action):
        raise BadInput(FIELD, f"entry {place} is not a valid {entry['action']!r} action: its fields are wrong")
    if isinstance(action, MessageAction) and len(action.content) > LONGEST_MESSAGE:
        raise BadInput(FIELD, f"entry {place} must not be longer than {LONGEST_MESSAGE} characters")
    return action


def _is_number(value: object) -> bool:
    return type(value) is int
