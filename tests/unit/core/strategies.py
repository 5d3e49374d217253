"""Values for properties: any JSON, any event of any kind, as unpleasant as they come."""

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from enum import Enum
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from openhands_sessions.core.events.actions import ACTIONS
from openhands_sessions.core.events.event import EPOCH, Event, ToolCall
from openhands_sessions.core.events.observations import OBSERVATIONS
from openhands_sessions.core.ids import EventId

KINDS: list[type[Event]] = [*ACTIONS.values(), *OBSERVATIONS.values()]
BORING_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
"""What UTF-8 can hold."""
ANY_TEXT = st.text(st.characters(), max_size=12)
"""With lone surrogates among it."""
SMALL = st.integers(-(2**53), 2**53)
TIMES = st.integers(0, 2**52).map(lambda microseconds: EPOCH + timedelta(microseconds=microseconds))

_TOP = {"id", "timestamp", "source", "cause", "message", "action", "args", "observation", "content", "extras"}
_TAKEN = _TOP | {"tool_call_metadata", "llm_metrics", "success", "arguments", "author", "agent_name"}


@cache
def json_values(text: st.SearchStrategy[str] = BORING_TEXT) -> st.SearchStrategy[Any]:
    plain = st.none() | st.booleans() | SMALL | st.floats(allow_nan=False, allow_infinity=False) | text
    flat = plain | st.lists(plain, max_size=3) | st.dictionaries(text, plain, max_size=3)
    return flat | st.lists(flat, max_size=2) | st.dictionaries(text, flat, max_size=2)


@cache
def json_objects(text: st.SearchStrategy[str] = BORING_TEXT) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(text, json_values(text), max_size=3)


def events_of(kind: type[Event], text: st.SearchStrategy[str] = BORING_TEXT) -> st.SearchStrategy[Event]:
    """Any event of a kind, with keys in `rest` that no version knows."""
    values = _values(kind, text)
    values["id"] = st.integers(0, 2**53).map(EventId)
    values["timestamp"] = TIMES
    values["message"] = st.none()
    values["tool_call_metadata"] = st.none() | _built(ToolCall, text)
    values["llm_metrics"] = st.none() | json_objects(text)
    values["rest"] = _rests(kind, text)
    return st.builds(kind, **values)


def any_event(text: st.SearchStrategy[str] = BORING_TEXT) -> st.SearchStrategy[Event]:
    return st.sampled_from(KINDS).flatmap(lambda kind: events_of(kind, text))


def _rests(kind: type[Event], text: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    body = "args" if kind in ACTIONS.values() else "extras"
    own = {"_diff_cache", *(field.name for field in fields(kind))}
    beside = st.dictionaries(text.filter(lambda key: key not in _TAKEN), json_values(text), max_size=2)
    inside = st.dictionaries(text.filter(lambda key: key not in own), json_values(text), min_size=1, max_size=2)
    return st.tuples(beside, st.none() | inside).map(lambda both: both[0] | ({body: both[1]} if both[1] else {}))


def _values(kind: type[Any], text: st.SearchStrategy[str]) -> dict[str, st.SearchStrategy[Any]]:
    hints = get_type_hints(kind)
    skipped = {"rest"} if issubclass(kind, Event) else set[str]()
    return {field.name: _of(hints[field.name], text) for field in fields(kind) if field.name not in skipped}


def _built(kind: type[Any], text: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return st.builds(kind, **_values(kind, text))


def _of(hint: Any, text: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    plain: dict[Any, st.SearchStrategy[Any]] = {
        str: text,
        bool: st.booleans(),
        int: SMALL,
        float: st.floats(allow_nan=False, allow_infinity=False),
        type(None): st.none(),
        datetime: TIMES,
    }
    if hint in plain:
        return plain[hint]
    supertype = getattr(hint, "__supertype__", None)
    if supertype is not None:
        return _of(supertype, text)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return st.one_of(*(_of(each, text) for each in arguments))
    if origin is tuple:
        return st.lists(_of(arguments[0], text), max_size=3).map(tuple)
    if origin is Mapping:
        return json_objects(text)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return st.sampled_from(hint)
    if is_dataclass(hint) and isinstance(hint, type):
        return _built(hint, text)
    raise TypeError(f"no values for {hint!r}")
