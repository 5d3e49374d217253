"""JSON schemas of events in their wire form, made from the dataclasses: never written twice."""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from openhands_sessions.core.events.actions import ACTIONS
from openhands_sessions.core.events.codec import own_fields
from openhands_sessions.core.events.event import Action, Observation
from openhands_sessions.core.events.observations import OBSERVATIONS, RunObservation

Schema = dict[str, Any]
PLACE = "#/$defs/{model}"
"""Where a schema refers to another by default; `{model}` is its name."""


def event_schemas(place: str = PLACE) -> Mapping[str, Schema]:
    """Every kind's schema by the name of its class, `Event` for any of them, and what they refer to."""
    found: dict[str, Schema] = {}
    kinds: list[type[Action] | type[Observation]] = [*ACTIONS.values(), *OBSERVATIONS.values()]
    for kind in kinds:
        whole = TypeAdapter(kind).json_schema(ref_template=place, mode="serialization")
        found.update(whole.pop("$defs", {}))
        found[kind.__name__] = _wire_schema(kind, whole)
    found["Event"] = {
        "description": "One entry of the log. Kinds that are not listed are to be passed over.",
        "anyOf": [{"$ref": place.format(model=kind.__name__)} for kind in kinds],
    }
    return found


def _wire_schema(kind: type[Action] | type[Observation], whole: Schema) -> Schema:
    family, body = ("action", "args") if issubclass(kind, Action) else ("observation", "extras")
    fields: Schema = whole["properties"]
    needed = set(whole.get("required", ()))
    own = own_fields(kind)
    content: Schema = {} if family == "action" else {"content": {"type": "string"}}
    success: Schema = {"success": {"type": "boolean"}} if kind is RunObservation else {}
    return {
        "type": "object",
        "description": whole.get("description", ""),
        "properties": {
            "id": {"type": "integer", "minimum": 0},
            "timestamp": {"type": "string", "format": "date-time"},
            "source": fields["source"],
            "message": {"type": "string"},
            "cause": {"type": "integer"},
            family: {"const": kind.KIND},
            "tool_call_metadata": fields["tool_call_metadata"],
            "llm_metrics": fields["llm_metrics"],
            **content,
            body: {
                "type": "object",
                "properties": {key: fields[name] for name, key in own},
                "required": [key for name, key in own if name in needed],
            },
            **success,
        },
        "required": ["id", "timestamp", "source", "message", family, body, *content],
    }
