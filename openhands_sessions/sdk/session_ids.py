"""The ids that programs give their sessions, and those under which conversations are stored."""

import base64
import hashlib
import re
import unicodedata

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.ids import ConversationId, conversation_id

LONGEST = 200
_DERIVED = re.compile(r"id-[a-z2-7]{52}")


def session_id(text: object) -> str:
    """Check an id: 1 to 200 characters, none of them a control character. Raises BadInput."""
    if not isinstance(text, str) or not 1 <= len(text) <= LONGEST:
        raise BadInput("session_id", f"must be a text of 1 to {LONGEST} characters")
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text):
        raise BadInput("session_id", "must not have control characters in it")
    return text


def stored_id(text: str) -> ConversationId:
    """The id of the session's conversation: the same text where that is one, otherwise derived from it. Two ids never
    share a conversation: none that looks derived is taken as it is."""
    if not _DERIVED.fullmatch(text):
        try:
            return conversation_id(text)
        except BadInput:
            pass
    digest = base64.b32encode(hashlib.sha256(text.encode()).digest()).decode()
    return ConversationId(f"id-{digest.rstrip('=').lower()}")
