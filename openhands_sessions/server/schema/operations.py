"""What a route takes and answers, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]
Shape = type[BaseModel] | Schema
"""A model, or a schema where no model is needed."""

NOTHING: Schema = {}
TEXT: Schema = {"type": "string"}
TRUE: Schema = {"type": "boolean"}
NAMES: Schema = {"type": "array", "items": TEXT}
ID: Schema = {"type": "string", "maxLength": 64}
NUMBER: Schema = {"type": "integer", "minimum": 0, "maximum": 2**53}
BELOW = "/api/conversations/{conversation_id}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """One route. `query` says whether a parameter is needed by a `required` beside its schema; `replies` are by status;
    `media` is the type of a successful answer."""

    method: str
    path: str
    summary: str
    tag: str
    body: Shape | None = None
    body_media: str = "application/json"
    query: Mapping[str, Schema] = field(default_factory=dict)
    replies: Mapping[int, Shape] = field(default_factory=lambda: {200: NOTHING})
    media: str = "application/json"
