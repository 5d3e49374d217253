"""Event ↔ JSON text, as it goes over the wire and into the log.

Wire form: `id timestamp source message [cause] action args` or `… observation content extras`, with the
optional `tool_call_metadata`, `llm_metrics` and, on `run` observations, `success`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from openhands_sessions.core.errors import StorageError
from openhands_sessions.core.events.actions import ACTIONS, EditAction, McpAction, MessageAction, WriteAction
from openhands_sessions.core.events.event import (
    EPOCH,
    Action,
    ConfirmationState,
    Event,
    Json,
    Observation,
    Source,
    ToolCall,
    Unknown,
)
from openhands_sessions.core.events.observations import (
    OBSERVATIONS,
    AgentStateChangedObservation,
    McpObservation,
    RunObservation,
)
from openhands_sessions.core.events.own import TurnEndedObservation
from openhands_sessions.core.ids import UNNUMBERED, EventId
from openhands_sessions.core.json_limits import storable
from openhands_sessions.core.lifecycle import SessionState
from openhands_sessions.core.masking import SecretMasker

SCHEMA = 2
"""Version of the stored form. Rows of version 0 are the reference's own files."""

_RENAMED = {"diff_cache": "_diff_cache"}
_CONFIRMED_UNSAID = (EditAction, McpAction, WriteAction)
"""The reference has no confirmation for these: on the wire only `awaiting` and `rejected` are said."""
_LEFT_OUT: Mapping[type[Event], tuple[str, ...]] = {
    AgentStateChangedObservation: ("failed_stage",),
    McpObservation: ("image_urls",),
    MessageAction: ("key",),
    TurnEndedObservation: ("moved_to", "deadline"),
}
"""Fields that stand in the wire form only where they have a value."""
_EVENT_FIELDS = frozenset(field.name for field in fields(Event))
_TOOL_CALL_FIELDS = tuple(field.name for field in fields(ToolCall))
_ENVELOPE = _EVENT_FIELDS - {"rest"}
_ACTION_KEYS = _ENVELOPE | {"action", "args"}
_OBSERVATION_KEYS = _ENVELOPE | {"observation", "content", "extras"}


@dataclass(frozen=True, slots=True)
class Stored:
    """An event as it stands in the log: `text` is the wire form, encoded once."""

    id: EventId
    kind: str
    schema: int
    text: str


def kind_of(event: Event) -> str:
    """`action:run`, `observation:run`, … ; what filters go by, without decoding."""
    if (known := _KIND_NAMES.get(type(event))) is not None:
        return known
    match event:
        case Unknown(wire=wire):
            family = "action" if "action" in wire else "observation"
            return f"{family}:{wire.get(family)}"
        case _:
            return "unknown:"


def stored(event: Event) -> Stored:
    """Encode once, for the log and for every reader."""
    return Stored(id=event.id, kind=kind_of(event), schema=SCHEMA, text=encode(event))


def recorded(event: Event) -> tuple[Event, Stored]:
    """The event as every reader will decode it, and its stored form: values that cannot be stored are replaced."""
    try:
        text = _text(to_wire(event))
    except TypeError:
        text = encode(event)
        event = decode(text)
    return event, Stored(id=event.id, kind=kind_of(event), schema=SCHEMA, text=text)


def masked(event: Event, entry: Stored, masker: SecretMasker) -> tuple[Event, Stored]:
    """What `recorded` gives, without secrets."""
    if not masker.touches(entry.text):
        return event, entry
    wire = orjson.loads(entry.text)
    without = masker.tree(wire)
    if without == wire:
        return event, entry
    text = _text(without)
    return decode(text), replace(entry, text=text)


def encode(event: Event) -> str:
    """The wire form as JSON text; what cannot be stored is replaced, see `storable`."""
    wire = to_wire(event)
    try:
        return _text(wire)
    except TypeError:
        return _text(storable(wire))


def to_wire(event: Event) -> dict[str, Any]:
    """The wire form as a mapping; values may still be tuples, enums and dataclasses."""
    if isinstance(event, Unknown):
        return {**event.wire, "id": event.id}
    wire: dict[str, Any] = {
        "id": event.id,
        "timestamp": timestamp_text(event.timestamp),
        "source": event.source,
        "message": event.describe() if event.message is None else event.message,
    }
    if event.cause is not None:
        wire["cause"] = event.cause
    family, body = ("action", "args") if isinstance(event, Action) else ("observation", "extras")
    wire[family] = event.KIND
    if event.tool_call_metadata is not None:
        wire["tool_call_metadata"] = _tool_call_wire(event.tool_call_metadata)
    if event.llm_metrics is not None:
        wire["llm_metrics"] = event.llm_metrics
    if isinstance(event, Observation):
        wire["content"] = event.content
    own = _own_wire(event)
    unknown = event.rest
    wire[body] = {**own, **_mapping(unknown.get(body))} if unknown else own
    if isinstance(event, RunObservation):
        wire["success"] = event.metadata.exit_code == 0
    wire.update({key: value for key, value in unknown.items() if key != body})
    # The last keys, in this order: V0 clients are sent the text without them.
    for name in ("origin", "agent_name", "author", "turn"):
        if (value := getattr(event, name)) is not None:
            wire[name] = value
    return wire


def _own_wire(event: Event) -> dict[str, Any]:
    keys, values = _OWN[type(event)]
    own = dict(zip(keys, values(event), strict=True))
    if isinstance(event, _CONFIRMED_UNSAID) and event.confirmation_state is ConfirmationState.CONFIRMED:
        del own["confirmation_state"]
    for name in _LEFT_OUT.get(type(event), ()):
        if own[name] is None:
            del own[name]
    return own


def decode(text: str | bytes, schema: int = SCHEMA) -> Event:
    """Read one stored entry. An unknown kind, or a known one in a form that does not fit, comes back as
    `Unknown`, whole. Raises StorageError if the text is not a JSON object with an id."""
    return from_wire(wire_of(text, schema))


def decode_for_fold(text: str | bytes, schema: int = SCHEMA) -> Event:
    """As `decode`, without what no fold looks at: when it was, and whether `message` says more than `describe()`."""
    return _event(wire_of(text, schema), EPOCH)


def from_wire(wire: Mapping[str, Any]) -> Event:
    """The event of a mapping in today's wire form; `Unknown` where it does not fit."""
    return _without_derived_message(_event(wire, _time_of(wire)))


def wire_of(text: str | bytes, schema: int = SCHEMA) -> dict[str, Any]:
    """A stored entry in today's wire form. Raises StorageError if the text is not a JSON object with an id."""
    try:
        wire = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise StorageError("a stored event is not JSON: the log is damaged") from error
    if not isinstance(wire, dict) or type(wire.get("id")) is not int:
        raise StorageError("a stored event has no id: the log is damaged")
    today: dict[str, Any] = wire
    for version in range(schema, SCHEMA):
        today = UPCASTERS[version](today)
    return today


def _event(wire: Mapping[str, Any], moment: datetime) -> Event:
    family, body = ("action", "args") if "action" in wire else ("observation", "extras")
    kind = _KINDS[family].get(str(wire.get(family)))
    given = wire.get(body, {})
    if kind is None or not isinstance(given, dict):
        return _whole(wire, moment)
    values = {name: given[key] for name, key in _FIELDS[kind] if key in given}
    known = _KNOWN_KEYS[kind]
    if len(values) < len(given) or not wire.keys() <= known:
        values["rest"] = _rest(kind, wire, body)
    if body == "extras":
        values["content"] = wire.get("content", "")
    call = wire.get("tool_call_metadata")
    values["id"] = wire.get("id", UNNUMBERED)
    values["timestamp"] = moment
    values["source"] = wire.get("source", Source.ENVIRONMENT)
    values["cause"] = wire.get("cause")
    values["message"] = wire.get("message")
    values["tool_call_metadata"] = call if isinstance(call, dict) else None
    values["llm_metrics"] = wire.get("llm_metrics")
    values["agent_name"] = wire.get("agent_name")
    values["author"] = wire.get("author")
    values["turn"] = wire.get("turn")
    values["origin"] = wire.get("origin")
    try:
        return _validator(kind)(values)
    except ValidationError:
        return _whole(wire, moment)


def _rest(kind: type[Event], wire: Mapping[str, Any], body: str) -> dict[str, Any]:
    """What no field takes."""
    rest: dict[str, Any] = {key: value for key, value in wire.items() if key not in _KNOWN_KEYS[kind]}
    own = {key for _, key in _FIELDS[kind]}
    if left := {key: value for key, value in (wire.get(body) or {}).items() if key not in own}:
        rest[body] = left
    return rest


def timestamp_text(moment: datetime) -> str:
    """UTC, ISO 8601, microseconds and `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[:26] + "Z"


def _from_reference(wire: dict[str, Any]) -> dict[str, Any]:
    """Version 0, the reference's files: a timestamp without zone is taken as UTC."""
    moment = str(wire.get("timestamp", ""))
    return wire if moment.endswith("Z") else {**wire, "timestamp": timestamp_text(_time_of(wire))}


_SESSION_STATES = frozenset(str(state) for state in SessionState)


def _with_failed_stage(wire: dict[str, Any]) -> dict[str, Any]:
    """Version 1 says only in the words of `reason` that it was the session that failed, not a turn."""
    extras = wire.get("extras")
    if wire.get("observation") != "agent_state_changed" or not isinstance(extras, dict):
        return wire
    stage, failed, _ = str(extras.get("reason", "")).partition(" failed: ")
    return {**wire, "extras": {**extras, "failed_stage": stage}} if failed and stage in _SESSION_STATES else wire


UPCASTERS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {0: _from_reference, 1: _with_failed_stage}


def _whole(wire: Mapping[str, Any], moment: datetime) -> Unknown:
    return Unknown(id=EventId(wire.get("id", UNNUMBERED)), wire=dict(wire), timestamp=moment)


def _without_derived_message(event: Event) -> Event:
    if event.message is not None and event.message == event.describe():
        object.__setattr__(event, "message", None)  # no other code has the event yet
    return event


def _time_of(wire: Mapping[str, Any]) -> datetime:
    try:
        moment = datetime.fromisoformat(str(wire.get("timestamp")))
        if moment.tzinfo is UTC:
            return moment
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return EPOCH


def _tool_call_wire(call: ToolCall) -> dict[str, Any]:
    return {name: getattr(call, name) for name in _TOOL_CALL_FIELDS if name != "arguments" or call.arguments}


def _mapping(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, dict) else {}


def own_fields(kind: type[Event]) -> tuple[tuple[str, str], ...]:
    """Each field of a kind that stands in `args` or `extras`, and its key there."""
    return _FIELDS[kind]


def _read_own_fields(kind: type[Event]) -> tuple[tuple[str, str], ...]:
    beside = _EVENT_FIELDS | {"content"} if issubclass(kind, Observation) else _EVENT_FIELDS
    return tuple(
        (field.name, _RENAMED.get(field.name, field.name)) for field in fields(kind) if field.name not in beside
    )


def _read_values(kind: type[Event]) -> tuple[tuple[str, ...], Callable[[Event], tuple[Any, ...]]]:
    """The keys of a kind's own fields, and what reads the fields, in the same order."""
    names = [name for name, _ in _FIELDS[kind]]
    keys = tuple(key for _, key in _FIELDS[kind])
    if len(names) > 1:
        return keys, attrgetter(*names)
    return keys, lambda event: tuple(getattr(event, name) for name in names)


def _read_known_keys(kind: type[Event]) -> frozenset[str]:
    if kind is RunObservation:
        return _OBSERVATION_KEYS | {"success"}  # the exit code says it
    return _ACTION_KEYS if issubclass(kind, Action) else _OBSERVATION_KEYS


_KINDS: Mapping[str, Mapping[str, type[Event]]] = {"action": ACTIONS, "observation": OBSERVATIONS}
_KIND_NAMES = {kind: f"{family}:{name}" for family, kinds in _KINDS.items() for name, kind in kinds.items()}
_FIELDS = {kind: _read_own_fields(kind) for kinds in _KINDS.values() for kind in kinds.values()}
_OWN = {kind: _read_values(kind) for kind in _FIELDS}
_KNOWN_KEYS = {kind: _read_known_keys(kind) for kind in _FIELDS}


_VALIDATORS: dict[type[Event], Callable[[Mapping[str, Any]], Event]] = {}


def _validator(kind: type[Event]) -> Callable[[Mapping[str, Any]], Event]:
    """Built when first needed: all of them at import would slow every start."""
    if kind not in _VALIDATORS:
        _VALIDATORS[kind] = TypeAdapter(kind).validator.validate_python
    return _VALIDATORS[kind]


def _text(wire: Any) -> str:
    return orjson.dumps(wire, default=_plain).decode()


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
