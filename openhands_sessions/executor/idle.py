"""When nobody has come for it any more, the executor ends by itself."""

from __future__ import annotations

import asyncio
from typing import Callable


class IdleTimer:
    """Calls `on_end` when there was nothing to do for so many seconds on end; never where they are 0. Whoever begins or
    ends something calls `look`."""

    def __init__(self, seconds: float, is_idle: Callable[[], bool], on_end: Callable[[], None]) -> None:
        self._seconds = seconds
        self._is_idle = is_idle
        self._on_end = on_end
        self._timer: asyncio.TimerHandle | None = None

    def look(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._seconds > 0 and self._is_idle():
            self._timer = asyncio.get_event_loop().call_later(self._seconds, self._on_end)
