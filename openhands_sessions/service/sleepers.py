"""Those who stay with a conversation though its session has ended, until the next one or the conversation's own end."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from weakref import WeakValueDictionary

from openhands_sessions.core.ids import ConversationId
from openhands_sessions.ports.gateway import EndReason, SessionEnded, Status


class _Sleep:
    """What those who wait for one conversation share. `told` is the newest status, lost on whoever is slow; `grown`
    counts how often the log may have grown."""

    def __init__(self) -> None:
        self.told: Status | None = None
        self.grown = 0
        self.ended: EndReason | None = None
        self._news = asyncio.Event()

    @property
    def news(self) -> asyncio.Event:
        """Set at the next change; to be taken before looking."""
        return self._news

    def wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()


class Sleepers:
    """Knows a conversation only while somebody waits for it."""

    def __init__(self) -> None:
        self._sleeps: WeakValueDictionary[ConversationId, _Sleep] = WeakValueDictionary()

    async def wait(self, sid: ConversationId, over: Callable[[], bool]) -> AsyncGenerator[Status | None, None]:
        """What is told meanwhile, None where that is in the log, until `over` says that there is a session again.
        Raises SessionEnded."""
        sleep = self._sleeps.get(sid)
        if sleep is None:
            sleep = self._sleeps[sid] = _Sleep()
        heard, read = sleep.told, sleep.grown
        while True:
            news = sleep.news
            if sleep.ended is not None:
                raise SessionEnded(sleep.ended)
            if over():
                return
            if (told := sleep.told) is not None and told is not heard:
                heard = told
                yield told
            elif read < sleep.grown:
                read = sleep.grown
                yield None
            else:
                await news.wait()

    def wake(self, sid: ConversationId) -> None:
        """There is a session again, or something new in the log."""
        if (sleep := self._sleeps.get(sid)) is not None:
            sleep.grown += 1
            sleep.wake()

    def tell(self, sid: ConversationId, status: Status) -> None:
        if (sleep := self._sleeps.get(sid)) is not None:
            sleep.told = status
            sleep.wake()

    def dismiss(self, sid: ConversationId, reason: EndReason) -> None:
        """Whoever waits now is to wait no longer, and is told why."""
        if (sleep := self._sleeps.pop(sid, None)) is not None:
            sleep.ended = reason
            sleep.wake()
