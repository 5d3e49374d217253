"""The stored form of a view, for snapshots."""

from functools import cache

import orjson
from pydantic import TypeAdapter, ValidationError

from openhands_sessions.core.view import ConversationView


def dump_view(view: ConversationView) -> str:
    """The view as JSON text, for a snapshot."""
    return orjson.dumps(view).decode()


def load_view(text: str) -> ConversationView | None:
    """The view of a snapshot; None if it cannot be read: then the log is folded from the start."""
    try:
        return _stored_form().validate_json(text)
    except ValidationError:
        return None


@cache
def _stored_form() -> TypeAdapter[ConversationView]:
    """Built when first needed: at import it would slow every start."""
    return TypeAdapter(ConversationView)
