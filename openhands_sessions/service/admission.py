"""How many sessions may be live at once: in all, of one user, and from one address."""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from openhands_sessions.core.errors import AtCapacity, LimitReached, SessionsError
from openhands_sessions.core.ids import ConversationId, OwnerId
from openhands_sessions.ports.operations import SessionLimits

RETRY_AFTER = 10.0
"""Seconds after which a caller that was refused is to try again: a session that is idle then makes room."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose sessions a limit counts: those of an owner, those from an address, or all."""

    owner: OwnerId | None = None
    address: str | None = None


ALL = Scope()


class Reservation:
    """One place among the live sessions, from before anything is built. A `with` block gives it back at its end, unless
    a session has taken it: that one releases it at its own end."""

    def __init__(self, scopes: tuple[Scope, ...], give_back: Callable[["Reservation"], None]) -> None:
        self.scopes = scopes
        self.taken = False
        self._give_back = give_back

    def __enter__(self) -> "Reservation":
        return self

    def __exit__(self, *error: object) -> None:
        if not self.taken:
            self.release()

    def release(self) -> None:
        """Give the place back. Call it once."""
        self._give_back(self)


class Admission:
    """Counts places, not sessions: one that is being built has its place already. `longest_idle` names the session of a
    scope that has been idle for the longest time, and `put_to_sleep` closes it."""

    def __init__(
        self,
        limits: SessionLimits,
        longest_idle: Callable[[Scope], ConversationId | None],
        put_to_sleep: Callable[[ConversationId], Awaitable[None]],
    ) -> None:
        self.limits = limits
        """May be changed: what is taken stays so, also where it is more than is now allowed."""
        self._longest_idle = longest_idle
        self._put_to_sleep = put_to_sleep
        self._taken: Counter[Scope] = Counter()

    @property
    def full(self) -> bool:
        """Whether a session of nobody in particular would be refused."""
        return self._taken[ALL] >= self.limits.total and self._longest_idle(ALL) is None

    async def reserve(self, owner: OwnerId, address: str | None) -> Reservation:
        """A place; an idle session of the scope that is full gives up its own first. Raises LimitReached,
        AtCapacity."""
        scopes = (ALL, *self._scopes(owner, address))
        while (full := next((scope for scope in reversed(scopes) if self._is_full(scope)), None)) is not None:
            idle = self._longest_idle(full)
            if idle is None:
                raise self._refusal(full)
            await self._put_to_sleep(idle)
        self._taken.update(scopes)
        return Reservation(scopes, self._given_back)

    def _given_back(self, reservation: Reservation) -> None:
        self._taken.subtract(reservation.scopes)
        for scope in reservation.scopes:
            if not self._taken[scope]:
                del self._taken[scope]

    def _scopes(self, owner: OwnerId, address: str | None) -> tuple[Scope, ...]:
        of_owner = () if self.limits.per_user is None else (Scope(owner=owner),)
        of_address = () if self.limits.per_address is None or not address else (Scope(address=address),)
        return (*of_address, *of_owner)

    def _is_full(self, scope: Scope) -> bool:
        return self._taken[scope] >= self._limit(scope)

    def _limit(self, scope: Scope) -> int:
        limits = self.limits
        limit = limits.per_user if scope.owner else limits.per_address if scope.address else limits.total
        return limits.total if limit is None else limit

    def _refusal(self, scope: Scope) -> SessionsError:
        count, limit = self._taken[scope], self._limit(scope)
        if scope == ALL:
            return AtCapacity(
                f"the server holds {count} live sessions, and may hold {limit}; try again in {RETRY_AFTER:.0f} s",
                retry_after=RETRY_AFTER,
            )
        whose = "you have" if scope.owner else "your address has"
        one = "user" if scope.owner else "address"
        return LimitReached(
            f"{whose} {count} live sessions, and one {one} may have {limit}: stop one, or try again in"
            f" {RETRY_AFTER:.0f} s",
            limit=limit,
            count=count,
            retry_after=RETRY_AFTER,
        )
