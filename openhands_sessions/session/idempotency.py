"""Idempotency keys: a command that comes twice with one key takes effect once, and gets the same answer."""

import hashlib
import json
from dataclasses import asdict, dataclass

from openhands_sessions.core.commands import Command
from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.ids import UNNUMBERED
from openhands_sessions.ports.gateway import Accepted
from openhands_sessions.ports.store import Receipt
from openhands_sessions.session.event_stream import EventStream


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A command's key, and a digest of its content: a key that comes again with another command is refused."""

    key: str
    digest: str

    @classmethod
    def of(cls, key: str, command: Command) -> "IdempotencyKey":
        content = {"kind": type(command).__name__, **asdict(command)}
        return cls(key, hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest())


def receipt_of(key: IdempotencyKey | None) -> Receipt | None:
    """What is stored with a command's events; the stream fills in the id of the first."""
    return None if key is None else Receipt(key=key.key, digest=key.digest, event=UNNUMBERED)


async def earlier_answer(stream: EventStream, key: IdempotencyKey | None) -> Accepted | None:
    """What the command did when it came before. Raises BadInput where the key came with another command,
    StorageError."""
    known = None if key is None else await stream.receipt(key.key)
    if key is None or known is None:
        return None
    if known.digest != key.digest:
        raise BadInput("key", "was used for another command; take a new one")
    return Accepted(known.event)
