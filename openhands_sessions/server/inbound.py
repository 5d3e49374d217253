"""How large a message of a caller may be, and how much of unfinished ones is held for all callers together."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from aiohttp import web

from openhands_sessions.core.errors import AtCapacity, TooLarge
from openhands_sessions.server.forwarding import address_of
from openhands_sessions.server.guarded_connection import awaiting
from openhands_sessions.server.identification import raw_path
from openhands_sessions.server.limited_log import LimitedLog

READ = 2
"""How many times as much of a message is read, to be answered, as is taken."""
BEFORE_AUTHENTICATION = 64 * 1024
"""Bytes of the largest message of a caller who has not authenticated."""
FULL = "too many unfinished messages are held for all callers; try again"


class InboundShare:
    """What is held of one caller's unfinished message. `give_up` lets go of it; it is called once at most."""

    def __init__(self, give_up: Callable[[], None]) -> None:
        self.held = 0
        self.give_up = give_up


class InboundBudget:
    """Bounds what is held of unfinished messages to `most` bytes. Beyond them, the message that was begun first is
    given up, so that slow senders do not block the others."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._total = 0
        self._shares: OrderedDict[InboundShare, None] = OrderedDict()

    @property
    def total(self) -> int:
        """Bytes that are held now."""
        return self._total

    def add(self, share: InboundShare, size: int) -> None:
        """More of its message has come."""
        if not share.held:
            self._shares[share] = None
        share.held += size
        self._total += size
        while self._total > self._most:
            oldest, _ = self._shares.popitem(last=False)
            self._total -= oldest.held
            oldest.held = 0
            oldest.give_up()

    def keep(self, share: InboundShare, size: int) -> None:
        """Its message is done with; `size` bytes of the next one have come."""
        if share.held:
            self._total += size - share.held
            share.held = size
            if size:
                self._shares.move_to_end(share)
            else:
                del self._shares[share]


class MessageLimits:
    """The limits of one server, and its lines about what went beyond them."""

    def __init__(self, message_bytes: int, budget: InboundBudget) -> None:
        self.message_bytes = message_bytes
        self.budget = budget
        self._lines = LimitedLog("a message was refused")

    def taken(self, *, known: bool) -> int:
        """Bytes of the largest message that is taken of a caller."""
        return self.message_bytes if known else min(BEFORE_AUTHENTICATION, self.message_bytes)

    def note(self, request: web.BaseRequest, cause: str, **fields: int) -> None:
        """A line in the log."""
        self._lines.warn(cause=cause, address=address_of(request), path=raw_path(request), **fields)


LIMITS = web.AppKey("limits", MessageLimits)


def too_large(limit: int) -> TooLarge:
    """What a caller is told, by every transport."""
    return TooLarge(f"a message must not be larger than {limit} bytes", limit)


async def read_body(
    request: web.Request, most: int, *, limit: int | None = None, heard: Callable[[], None] = lambda: None
) -> bytes:
    """A request's body, decompressed. At most `most` bytes are read; the error names `limit`, by default `most`.
    `heard` is called with each piece. Raises TooLarge, and AtCapacity where too much is
    held for all callers."""
    limits = request.app[LIMITS]
    body = bytearray()
    try:
        async with asyncio.timeout(None) as patience:
            share = InboundShare(lambda: patience.reschedule(0))
            try:
                if (request.content_length or 0) > most:
                    raise too_large(limit or most)
                with awaiting(request):
                    async for piece in request.content.iter_any():
                        body += piece
                        limits.budget.add(share, len(piece))
                        heard()
                        if len(body) > most:
                            raise too_large(limit or most)
            finally:
                limits.budget.keep(share, 0)
    except TooLarge:
        limits.note(request, "too large", limit=limit or most, size=max(request.content_length or 0, len(body)))
        raise
    except TimeoutError:
        limits.note(request, "too many unfinished messages", size=len(body))
        raise AtCapacity(FULL) from None
    except RuntimeError as error:  # as aiohttp says it where the connection was lost before the read
        if request.transport is not None:
            raise
        raise ConnectionResetError("the client has gone") from error
    return bytes(body)
