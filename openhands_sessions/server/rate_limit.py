"""How often one client may ask."""

from collections.abc import Callable

from openhands_sessions.core.errors import RateLimited


class TokenBucket:
    """`rate` tokens a second, `burst` at most. `clock` is monotonic, in seconds."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._tokens = burst
        self._at = clock()

    def take(self) -> None:
        """Use a token. Raises RateLimited, which says when the next one is there."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            wait = (1 - self._tokens) / self._rate
            raise RateLimited(f"too many messages; the next may come in {wait:.1f} s", retry_after=wait)
        self._tokens -= 1
