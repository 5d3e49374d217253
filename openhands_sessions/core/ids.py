"""Names for the things that have one: conversations, events, owners, actions."""

import hashlib
import re
from typing import NewType

from openhands_sessions.core.errors import BadInput

ConversationId = NewType("ConversationId", str)
EventId = NewType("EventId", int)
OwnerId = NewType("OwnerId", str)

UNNUMBERED = EventId(-1)
LOCAL_OWNER = OwnerId("local")
LONGEST_OWNER = 128
"""Characters of a user's id."""
LINK_PREFIX = "link:"
"""What the names of links begin with, where a user's id stands: as the author of an event, and among those who
watch."""

_CONVERSATION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def conversation_id(text: object) -> ConversationId:
    """Check an id that came from outside. Raises BadInput, naming the rule."""
    if isinstance(text, str) and _CONVERSATION_ID.fullmatch(text):
        return ConversationId(text)
    raise BadInput("conversation_id", "must be 1 to 64 letters, digits, '-' or '_', beginning with a letter or digit")


def owner_id(text: object) -> OwnerId:
    """Check a user's id that came from outside. Raises BadInput, naming the rule."""
    if isinstance(text, str) and text.startswith(LINK_PREFIX):
        raise BadInput("user", f"must not begin with {LINK_PREFIX!r}, as the names of links do")
    if isinstance(text, str) and 0 < len(text) <= LONGEST_OWNER and text.isprintable() and text == text.strip():
        return OwnerId(text)
    raise BadInput(
        "user", f"must be 1 to {LONGEST_OWNER} printable characters, without a space at the beginning or end"
    )


def id_by_key(owner: OwnerId, key: str, attempt: int) -> ConversationId:
    """The id of the conversation that a user creates with an idempotency key, in the attempt of this number."""
    named = f"{owner}\0{key}\0{attempt}".encode("utf-8", "replace")
    return ConversationId(hashlib.sha256(named).hexdigest()[:32])


def folder_name(sid: ConversationId) -> str:
    """A folder name for a conversation: 32 hex digits, so that no id from a user is ever a path."""
    return hashlib.sha256(sid.encode()).hexdigest()[:32]


def action_key(sid: ConversationId, action: EventId) -> str:
    """The name under which an executor knows an action: unique over all conversations."""
    return f"{folder_name(sid)}-{action}"
