"""`/api/conversations/{id}/events/stream`: the log as it grows, by server-sent events."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing
from typing import Any

import orjson
import structlog
from aiohttp import web

from openhands_sessions.core.errors import BadInput, SessionsError
from openhands_sessions.core.events.codec import Stored, decode
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.events.own import QueuedMessagesDroppedAction, StopReason, TurnEndedObservation
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.core.permissions import Lapse
from openhands_sessions.ports.gateway import Accepted, Delta, FeedItem, SessionClosed, SessionEnded, Status
from openhands_sessions.protocol import parameters
from openhands_sessions.protocol.errors import BareError
from openhands_sessions.protocol.socket_messages import DeltaOut, Ended, StatusUpdate
from openhands_sessions.server.middleware import NOT_KEPT
from openhands_sessions.server.services import access, number, permitted, principal, services, whole
from openhands_sessions.server.slow_client import SlowClient, abort

log = structlog.get_logger(__name__)

LAST_EVENT_ID = "Last-Event-ID"
"""What a browser's EventSource sends when it comes back: the id of the last event that it has."""
KEEP_ALIVE = 15.0
"""Seconds of silence after which a comment is sent: proxies and clients then know that the connection lives."""
FRAMES = 64
"""Events that are written together."""
_TURN_ENDS = (f"observation:{TurnEndedObservation.KIND}", f"action:{QueuedMessagesDroppedAction.KIND}")
HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": NOT_KEPT,
    "X-Accel-Buffering": "no",  # nginx sends each event at once
}


async def event_stream(request: web.Request) -> web.StreamResponse:
    """Each event once, from the cursor on, and deltas and statuses without a number; `ended` is the last. A client that
    does not read is cut, and comes back with its cursor. Raises NotFound, BadInput, AtCapacity."""
    sid = await permitted(request)
    return await _streamed(request, sid, await _cursor(request, sid), _Frames(sid))


async def turn_stream(request: web.Request, sid: ConversationId, accepted: Accepted) -> web.StreamResponse:
    """As `event_stream`, from a message's event to the end of its turn, or to the event that says that it was dropped.
    A client that leaves stops nothing."""
    return await _streamed(request, sid, accepted.id - 1, _TurnFrames(sid, accepted))


async def _streamed(request: web.Request, sid: ConversationId, after: int, frames: "_Frames") -> web.StreamResponse:
    response = web.StreamResponse(headers=HEADERS)
    grace = services(request).slow_client_grace
    async with AsyncExitStack() as stack:
        items = await stack.enter_async_context(access(request).gateway.follow(sid, after))
        lapse: asyncio.Future[Lapse] = asyncio.get_running_loop().create_future()
        stack.callback(services(request).auth.watch(principal(request), lapse.set_result))
        news = await stack.enter_async_context(aclosing(_written(items, frames, lapse)))
        try:
            await response.prepare(request)
            async for data in news:
                await _write(response, data, grace)
        except SlowClient:
            log.warning("client cut", conversation_id=sid, reason="slow_consumer")
            abort(request.transport)
        except ConnectionError:
            pass  # the client has gone
    return response


async def _write(response: web.StreamResponse, data: bytes, grace: float) -> None:
    """Wait for the client to read, where much waits for it. Raises SlowClient after `grace` seconds."""
    try:
        async with asyncio.timeout(grace):
            await response.write(data)
    except TimeoutError as error:
        raise SlowClient from error


async def _cursor(request: web.Request, sid: ConversationId) -> int:
    """The event after which the client wants to go on; -1 for all. Raises BadInput that names where it is wrong."""
    name, after = parameters.AFTER.name, number(request, parameters.AFTER)
    if text := request.headers.get(LAST_EVENT_ID):
        name, after = LAST_EVENT_ID, whole(LAST_EVENT_ID, text, 0, parameters.LARGEST_ID)
    head = (await access(request).gateway.describe(sid)).head
    if after > head:
        raise BadInput(name, f"is beyond the newest event, which has the id {head}; leave it out to get all events")
    return after


async def _written(
    items: AsyncIterator[FeedItem], frames: "_Frames", lapse: "asyncio.Future[Lapse]"
) -> AsyncGenerator[bytes, None]:
    """What is written of the news, to the last; a comment where there are none for long. `lapse` is the end of what the
    caller has shown."""
    coming = asyncio.ensure_future(anext(items))
    try:
        while True:
            either: list[asyncio.Future[Any]] = [coming, lapse]
            done, _ = await asyncio.wait(either, timeout=KEEP_ALIVE, return_when=asyncio.FIRST_COMPLETED)
            if lapse in done:
                yield _frame("ended", Ended(reason=lapse.result()).wire())
                return
            if not done:
                yield b":\n\n"
                continue
            try:
                item = coming.result()
            except SessionEnded as end:
                yield _frame("ended", Ended(reason=end.reason).wire())
                return
            except SessionsError as error:  # the status has been sent
                yield _frame("oh_event", BareError.of(error).wire())
                return
            for data in frames.of(item):
                yield data
            if frames.over:
                return
            coming = asyncio.ensure_future(anext(items))
    finally:
        coming.cancel()
        await asyncio.wait([coming])


class _Frames:
    """What is written of a conversation's news; `over` once there is no more."""

    def __init__(self, sid: ConversationId) -> None:
        self.over = False
        self._sid = sid

    def of(self, item: FeedItem) -> Iterator[bytes]:
        match item:
            case SessionClosed(reason=reason):
                self.over = True
                yield _frame("ended", Ended(reason=reason).wire())
            case Delta():
                yield _frame("oh_delta", DeltaOut.of(item))
            case Status():
                yield _frame("oh_event", StatusUpdate.of(item, self._sid).wire())
            case entries:
                for place in range(0, len(entries), FRAMES):
                    group = entries[place : place + FRAMES]
                    yield "".join([f"id: {each.id}\nevent: oh_event\ndata: {each.text}\n\n" for each in group]).encode()


class _TurnFrames(_Frames):
    """What is written of one turn."""

    def __init__(self, sid: ConversationId, accepted: Accepted) -> None:
        super().__init__(sid)
        self._message = accepted.id
        self._turn = accepted.turn

    def of(self, item: FeedItem) -> Iterator[bytes]:
        if isinstance(item, Sequence):
            last = next((place for place, entry in enumerate(item, 1) if self._ends(entry)), None)
            self.over = last is not None
            item = item[:last]
        return super().of(item)

    def _ends(self, entry: Stored) -> bool:
        if entry.kind not in _TURN_ENDS:
            return False
        match decode(entry.text, entry.schema):
            case TurnEndedObservation(turn=turn, stop_reason=reason, moved_to=moved) if turn == self._turn:
                if moved is not None and moved <= self._message:  # the message is one of those that were not seen
                    self._turn = moved
                    return False
                return reason is not StopReason.APPROVAL
            case QueuedMessagesDroppedAction(queued=queued):
                return self._turn in queued
            case _:
                return False


def _frame(name: str, value: Json) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(value))
