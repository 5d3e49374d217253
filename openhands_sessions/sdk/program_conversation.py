"""The conversation behind a program's session, through the ports of its owner. Runs on the private loop."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import orjson

from openhands_sessions.bootstrap.library import Library
from openhands_sessions.core.commands import Command, SendMessage, Stop
from openhands_sessions.core.errors import (
    BadInput,
    NotAccepting,
    NotFound,
    OwnedElsewhere,
    SessionBusy,
    SessionsError,
    StaleDecision,
    TurnFailed,
)
from openhands_sessions.core.event_filter import EventFilter
from openhands_sessions.core.events.codec import Stored, decode
from openhands_sessions.core.ids import LOCAL_OWNER, ConversationId, EventId, owner_id
from openhands_sessions.core.lineage import on_chain
from openhands_sessions.ports.access import Access
from openhands_sessions.ports.conversations import EventRange
from openhands_sessions.ports.gateway import (
    Accepted,
    Delta,
    FeedItem,
    SessionClosed,
    SessionEnded,
    SessionInfo,
    SessionSpec,
)
from openhands_sessions.ports.program import PROGRAM
from openhands_sessions.sdk.agent import Agent, checked_agents
from openhands_sessions.sdk.approvals import Answers, ApprovalNeeded, PendingBatch, deciding, given_answers
from openhands_sessions.sdk.opening import Opening
from openhands_sessions.sdk.program_agents import agent_of
from openhands_sessions.sdk.results import StreamItem
from openhands_sessions.sdk.session_ids import stored_id
from openhands_sessions.sdk.streamed_reply import StreamedReply
from openhands_sessions.sdk.turns import SPOKEN, TurnReading, message_of

FIRST_WAIT, LONGEST_WAIT = 0.02, 1.0
"""Seconds between two tries to have a conversation that another process works on: no process tells another that it
gives a lease back."""
PAGE = 200
CLOSED = "the session was closed while the turn ran"
STOP_GRACE = 10.0
"""Seconds that a stop may take, at the end of a turn whose caller has gone."""


class ProgramConversation:
    """One conversation in one store. `busy` are the conversations of the store in which a turn of this
    process runs that lets no other one wait."""

    def __init__(self, library: Library, opening: Opening, busy: set[ConversationId]) -> None:
        self.opening = opening
        self.sid = opening.sid
        self.library = library
        self._busy = busy
        self.owner = LOCAL_OWNER if opening.owner is None else owner_id(opening.owner)
        self.access: Access = library.of(self.owner)
        self._gateway = self.access.gateway
        self._agent = agent_of(opening, self._ask)

    async def info(self) -> SessionInfo | None:
        """None where the conversation has not begun. Raises BadInput for one that is no program's."""
        try:
            info = await self._gateway.describe(self.sid)
        except NotFound:
            return None
        if info.trigger != PROGRAM:
            raise BadInput("session_id", "is that of a conversation of a server: take another one")
        return info

    async def open(self) -> None:
        """Make the conversation, or open it again. Raises BadInput, StorageError."""
        await self.info()
        await self.library.run(self.sid, self._agent)
        spec = SessionSpec(id=self.sid, create=True, title=self.opening.name, trigger=PROGRAM)
        try:
            await self._gateway.open(spec)
        except NotFound:
            raise BadInput("session_id", "was deleted, or is another user's: take another one") from None

    async def submit(
        self, command: Command, key: str | None = None, *, given_up: asyncio.Event | None = None
    ) -> Accepted:
        """Raises SessionBusy where another process has the conversation and the session does not wait, or has
        `given_up`; what the Gateway raises."""
        await self.open()
        wait, given_up = FIRST_WAIT, given_up or asyncio.Event()
        while True:
            try:
                return await self._gateway.submit(self.sid, command, key=key)
            except OwnedElsewhere as error:
                if given_up.is_set() or not self.opening.waits:
                    raise SessionBusy("another process has this session open; try again later") from error
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await given_up.wait()
            wait = min(2 * wait, LONGEST_WAIT)

    async def turn(self, text: str, key: str | None, agent: str | None = None) -> AsyncGenerator[StreamItem, None]:
        """Say something to the agent, or to one of several, and give what the turn says until its end; the last item
        has the result. Where it is closed early, the turn is stopped. Raises TurnFailed, SessionBusy."""
        command = SendMessage(content=text, mode="queue", agent=agent)
        async with self._room(), aclosing(self._submitted(command, key)) as pieces:
            async for piece in pieces:
                yield piece

    async def answered(self, answers: Answers) -> AsyncGenerator[StreamItem, None]:
        """Answer for the calls that await it, and give what their turn says, from its beginning; otherwise as `turn`.
        Raises NotAccepting where none do."""
        pending = await self.pending()
        if pending is None:
            raise NotAccepting("no call awaits an answer")
        async with aclosing(self._submitted(deciding(pending, answers), uuid4().hex)) as pieces:
            async for piece in pieces:
                yield piece

    async def pending(self) -> PendingBatch | None:
        """The calls that await answers."""
        info = await self.info()
        return None if info is None or info.approval is None else PendingBatch.of(info.approval)

    async def stop(self) -> None:
        """End the running turn, if there is one."""
        if await self.info() is not None:
            await self.submit(Stop())

    async def close(self) -> None:
        """End the session, and with it a turn that runs; the conversation can be opened again."""
        if self.library.works(self.sid):
            with suppress(NotAccepting):  # it has just ended
                await self._gateway.submit(self.sid, Stop())
        with suppress(NotFound):
            await self._gateway.close(self.sid, "idle")
        self.library.forget(self.sid, self._agent)

    async def history(self, limit: int | None, after: int, before: int | None) -> list[dict[str, Any]]:
        """The newest messages of the visible dialogue, oldest first."""
        if await self.info() is None:
            return []
        chain = (await self.access.conversations.history(self.sid, limit=0)).chain
        found: list[dict[str, Any]] = []
        page = PAGE if limit is None else max(1, min(PAGE, limit))
        async for entry in self._backwards(after, before, page):
            if limit is not None and len(found) >= limit:
                break
            if on_chain(chain, entry.id):
                message = message_of(decode(entry.text, entry.schema), self.opening.agent.name)
                found += [] if message is None else [message]
        return found[::-1]

    async def events(self, after: int, limit: int | None) -> list[Mapping[str, Any]]:
        """The events of the log after event `after`, by their wire form."""
        found: list[Mapping[str, Any]] = []
        more = await self.info() is not None
        while more and (limit is None or len(found) < limit):
            count = PAGE if limit is None else min(PAGE, limit - len(found))
            wanted = EventRange(start=after + 1, limit=count)
            entries, more = await self.access.conversations.events(self.sid, wanted)
            found += [orjson.loads(entry.text) for entry in entries]
            after = entries[-1].id if entries else after
        return found

    async def tail(self, after: int | None) -> AsyncGenerator[Mapping[str, Any], None]:
        """The events after event `after`, those to come too; None: those to come."""
        await self.open()
        begin = (await self._gateway.describe(self.sid)).head if after is None else after
        async with self._gateway.follow(self.sid, begin) as items:
            with suppress(SessionEnded):
                async for item in items:
                    if isinstance(item, Sequence):
                        for entry in item:
                            yield orjson.loads(entry.text)

    async def _backwards(self, after: int, before: int | None, page: int) -> AsyncIterator[Stored]:
        """The stored messages between two events, the newest first; `page` are read at once."""
        end = None if before is None else before - 1
        more = True
        while more:
            wanted = EventRange(start=after + 1, end=end, reverse=True, limit=page, matching=EventFilter(kinds=SPOKEN))
            entries, more = await self.access.conversations.events(self.sid, wanted)
            for entry in entries:
                yield entry
            end = entries[-1].id - 1 if entries else end

    async def _earlier(self, first: int, head: int) -> AsyncIterator[FeedItem]:
        """The events from `first` to `head`: of a turn that began before it was followed."""
        more = True
        while more and first <= head:
            wanted = EventRange(start=first, end=head, limit=PAGE)
            entries, more = await self.access.conversations.events(self.sid, wanted)
            if entries:
                first = entries[-1].id + 1
                yield entries

    async def _pieces(self, item: FeedItem, reading: TurnReading, reply: StreamedReply) -> Sequence[StreamItem]:
        match item:
            case Delta():
                return reply.pieces(item)
            case SessionClosed():
                info = await self._gateway.describe(self.sid)
                problem = info.problem or CLOSED
                raise TurnFailed(problem, reason=item.reason, turn=reading.turn)
            case [*entries]:
                pieces: list[StreamItem] = []
                for event, text in ((decode(entry.text, entry.schema), entry.text) for entry in entries):
                    if event.turn == reading.turn:
                        pieces += [*reply.rest(event), StreamItem(kind="event", event=orjson.loads(text))]
                    if (result := reading.add(event)) is not None:
                        return [*pieces, StreamItem(kind="result", result=result)]
                return pieces
            case _:
                return ()

    @asynccontextmanager
    async def _room(self) -> AsyncIterator[None]:
        """Where turns do not wait for each other: raises SessionBusy while one runs or is to begin."""
        if self.opening.waits:
            yield
            return
        if self.sid in self._busy:
            raise SessionBusy("a turn runs in this session; try again when it has ended")
        self._busy.add(self.sid)
        try:
            info = await self.info()
            if info is not None and info.processing:
                raise SessionBusy("a turn runs in this session; try again when it has ended")
            yield
        finally:
            self._busy.discard(self.sid)

    async def _submitted(self, command: Command, key: str | None) -> AsyncGenerator[StreamItem, None]:
        """Submit what begins a turn, or goes on with it, and give what the whole turn says."""
        await self.open()
        head = (await self._gateway.describe(self.sid)).head
        async with (
            self._gateway.follow(self.sid, head) as items,
            self._begun(command, key) as turn,
            aclosing(self._read(turn, head, items)) as pieces,
        ):
            async for piece in pieces:
                yield piece

    @asynccontextmanager
    async def _begun(self, command: Command, key: str | None) -> AsyncIterator["_Turn"]:
        """Submit it; at the end of the block, the turn is stopped unless it is over."""
        given_up = asyncio.Event()
        submitting = asyncio.create_task(self.submit(command, key, given_up=given_up))
        try:
            accepted = await asyncio.shield(submitting)
        except asyncio.CancelledError:
            # A command that is under way may be stored: then there is a turn, which is stopped.
            given_up.set()
            await asyncio.wait([submitting])
            if submitting.exception() is None:
                await self._stop_turn(_Turn.of(submitting.result()))
            raise
        turn = _Turn.of(accepted)
        try:
            yield turn
        except TurnFailed:
            turn.over = True
            raise
        finally:
            if not turn.over:
                await self._stop_turn(turn)

    async def _read(self, turn: "_Turn", head: int, items: AsyncIterator[FeedItem]) -> AsyncGenerator[StreamItem, None]:
        """What the turn says, whose events up to `head` are stored, until its end."""
        reading, reply = TurnReading(turn.id, self.opening.agent.name), StreamedReply()
        try:
            async for item in _joined(self._earlier(turn.id, head), items):
                for piece in await self._pieces(item, reading, reply):
                    turn.over = piece.kind == "result"
                    yield piece
                    if turn.over:
                        return
                if reading.asks:
                    reading.asks = False
                    await self._answer(turn)
        except SessionEnded as end:
            raise TurnFailed(CLOSED, reason=end.reason, turn=turn.id) from end

    async def _answer(self, turn: "_Turn") -> None:
        """Have the program answer for the calls that await it. Raises ApprovalNeeded where it does not."""
        while (pending := await self.pending()) is not None:
            answers = await given_answers(self.opening.on_approval, pending, self.sid)
            if answers is None:
                raise ApprovalNeeded(pending, turn.id)
            with suppress(StaleDecision):  # somebody else has decided about some of them
                await self.submit(deciding(pending, answers), uuid4().hex)
                return

    async def _ask(self, agent: Agent, task: str, key: str) -> str:
        """Have an agent that is a tool carry out a task, in a session of its own; see `agent_tools.Ask`."""
        name = f"{self.opening.name}/{key}"
        opening = replace(self.opening, name=name, sid=stored_id(name), agent=agent, agents=checked_agents(agent, None))
        conversation = ProgramConversation(self.library, opening, self._busy)
        try:
            async with aclosing(conversation.turn(task, key)) as items:
                async for item in items:
                    if item.result is not None:
                        return item.result.text
        finally:
            await conversation.close()
        raise AssertionError("a turn ends with its result, or with an error")

    async def _stop_turn(self, turn: "_Turn") -> None:
        try:
            async with asyncio.timeout(STOP_GRACE):
                await self._gateway.submit(self.sid, Stop(turn=turn.id))
        except (SessionsError, TimeoutError):
            return  # it has ended by itself, or with its session


@dataclass(slots=True)
class _Turn:
    """A turn, by the first of its events, and whether it is over."""

    id: EventId
    over: bool = False

    @classmethod
    def of(cls, accepted: Accepted) -> "_Turn":
        return cls(accepted.id if accepted.turn is None else accepted.turn)


async def _joined(first: AsyncIterator[FeedItem], then: AsyncIterator[FeedItem]) -> AsyncIterator[FeedItem]:
    async for item in first:
        yield item
    async for item in then:
        yield item
