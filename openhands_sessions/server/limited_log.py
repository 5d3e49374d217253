"""Log lines that callers cause, at a limited rate, so that no caller can fill the log."""

import time
from collections.abc import Callable
from typing import Any

import structlog

from openhands_sessions.core.errors import RateLimited
from openhands_sessions.server.rate_limit import TokenBucket

log = structlog.get_logger(__name__)

LINES_PER_SECOND, LINES_AT_ONCE = 1.0, 20


class LimitedLog:
    """Warnings of one kind. Each says how many were left out before it."""

    def __init__(self, message: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._message = message
        self._bucket = TokenBucket(LINES_PER_SECOND, LINES_AT_ONCE, clock)
        self._left_out = 0

    def warn(self, **fields: Any) -> None:
        try:
            self._bucket.take()
        except RateLimited:
            self._left_out += 1
            return
        left_out, self._left_out = self._left_out, 0
        log.warning(self._message, left_out=left_out, **fields)
