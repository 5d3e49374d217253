"""What each group of a session's methods stands on: the conversation, opened with the first call."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from copy import copy
from dataclasses import replace
from importlib import import_module
from typing import Self, TypeVar

from openhands_sessions.core.errors import TurnTimeout
from openhands_sessions.sdk.opening import ConversationCalls, HistoryCalls, Opening, SessionCalls
from openhands_sessions.sdk.private_loop import PrivateLoop, private_loop
from openhands_sessions.sdk.results import StreamItem, TurnResult
from openhands_sessions.sdk.session_ids import stored_id
from openhands_sessions.sdk.shared_state import SharedState

T = TypeVar("T")


class LazyConversation:
    """A conversation of a program, opened with the first call and again after a fork of the process."""

    session_id: str

    def __init__(self, opening: Opening, shared_state: SharedState | None = None) -> None:
        """`shared_state` becomes the session's state. Raises BadInput where it is another session's."""
        self._opening = opening
        self._shared_state = shared_state
        if shared_state is not None:
            shared_state.bind(opening, self._calls)
        self._opened: tuple[PrivateLoop, SessionCalls] | None = None

    @property
    def opening(self) -> Opening:
        """How it is opened."""
        return self._opening

    def _sibling(self, name: str) -> Self:
        """A session of this id beside this one: of the same class, with the same agent, store and user."""
        made = copy(self)
        made.session_id = name
        made._opening = replace(self._opening, name=name, sid=stored_id(name))
        made._opened = made._shared_state = None
        return made

    async def _calls(self) -> SessionCalls:
        """On the private loop of this process. Raises BadInput, StorageError."""
        private = private_loop()
        if self._opened is None or self._opened[0] is not private:
            # Loaded with the first call: it takes most of a second.
            loaded = await asyncio.to_thread(import_module, "openhands_sessions.sdk.engines")
            opened: SessionCalls = await loaded.engines().session(self._opening)
            if self._shared_state is not None:
                await self._shared_state.fill(opened.states["session"])
            self._opened = private, opened
        return self._opened[1]

    async def _moves(self, work: Callable[[HistoryCalls], Awaitable[T]]) -> T:
        return await work((await self._calls()).moves)

    async def _on(self, work: Callable[[ConversationCalls], Awaitable[T]]) -> T:
        return await work((await self._calls()).conversation)

    async def _result(self, items: AsyncGenerator[StreamItem, None]) -> TurnResult:
        seconds = self._opening.timeout
        try:
            async with asyncio.timeout(seconds) as limit, aclosing(items):
                async for item in items:
                    if item.result is not None:
                        return item.result
        except TimeoutError as error:
            if not limit.expired():
                raise
            text = f"the turn took longer than {seconds:g} s and was stopped"
            raise TurnTimeout(text, reason="timeout", turn=-1) from error
        raise AssertionError("a turn ends with its result, or with an error")
