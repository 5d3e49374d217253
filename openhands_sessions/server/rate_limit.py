"""How often something may happen."""

from collections.abc import Callable

from openhands_sessions.core.errors import RateLimited


class TokenBucket:
    """`rate` tokens a second, `burst` at most; a rate of 0 is no limit. `clock` is monotonic, in seconds; `what` is
    what a token is used for, in the plural."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float], what: str = "messages") -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._what = what
        self._tokens = burst
        self._at = clock()

    def take(self) -> None:
        """Use a token. Raises RateLimited, which says when the next one is there."""
        self.check()
        self.spend()

    def check(self) -> None:
        """Raises RateLimited where there is no token to use."""
        if not self._rate:
            return
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            wait = (1 - self._tokens) / self._rate
            raise RateLimited(f"too many {self._what}; the next may come in {wait:.1f} s", retry_after=wait)

    def spend(self) -> None:
        """Use a token, if there is one: for what has happened already."""
        if self._rate:
            self._tokens = max(0.0, self._tokens - 1)
