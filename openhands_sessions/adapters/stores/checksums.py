"""What each stored row is checked by: a CRC-32 of all that the row says, which finds every flipped bit."""

import json
from collections.abc import Sequence
from struct import Struct
from zlib import crc32

_NUMBERS = Struct("<qq")
ESCAPES = "surrogateescape"
"""How text is read that is no UTF-8 any more: byte by byte, so that its checksum does not fit."""

ROW_COLUMNS = (
    *("id", "owner", "created_at", "updated_at", "version", "title", "trigger", "initial_message"),
    *("images_key", "replay_key", "repository_name", "repository_url", "branch", "git_provider", "checkout"),
    *("imported", "forked_from", "sandbox", "archived", "settings", "began_with"),
)
"""Columns of a conversation's row that `row_checksum` covers, in its order. Not the term and the holder of its lease,
which every claim checks by itself."""


def kind_seed(kind: str, schema: int) -> int:
    """What the checksums of events of this kind begin with."""
    return crc32(f"{kind}\0{schema}".encode(errors=ESCAPES))


def event_checksum(seed: int, key: int, text: bytes) -> int:
    """`key` is the row's, which names the conversation and the event."""
    return crc32(text, crc32(_NUMBERS.pack(key, len(text)), seed))


def row_checksum(values: Sequence[str | int | None]) -> int:
    """Of a conversation's row."""
    return _of_values(values)


def receipt_checksum(conversation: int, key: str, digest: str, event: int) -> int:
    return _of_values((conversation, key, digest, event))


def snapshot_checksum(conversation: int, head: int, version: int, text: str) -> int:
    return crc32(text.encode(errors=ESCAPES), crc32(f"{conversation} {head} {version}".encode()))


def read_mark_checksum(conversation: int, user: str, event: int) -> int:
    return _of_values((conversation, user, event))


def account_checksum(values: Sequence[object]) -> int:
    """Of all columns of a row of an account."""
    return _of_values(values)


def share_checksum(values: Sequence[object]) -> int:
    """Of all columns of a share."""
    return _of_values(tuple(values))


def move_checksum(conversation: int, event: int, target: int) -> int:
    return _of_values((conversation, event, target))


def state_checksum(values: Sequence[object]) -> int:
    """Of a row of a state, of one of its entries or of one of its changes, none of which has a NUL in it."""
    return crc32("\0".join(map(str, values)).encode(errors=ESCAPES))


def _of_values(values: Sequence[object]) -> int:
    return crc32(json.dumps(values, default=repr).encode())  # damage may give a value another type
