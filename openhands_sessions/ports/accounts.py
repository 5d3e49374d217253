"""What each user's model calls have used, day by day: kept beside the logs, of which it is the sum, and longer."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from openhands_sessions.core.ids import ConversationId, OwnerId
from openhands_sessions.core.money import MicroDollars
from openhands_sessions.core.quotas import Quota, Share


@dataclass(frozen=True, slots=True)
class AccountEntry:
    """What calls of one model for one purpose have used on one day, UTC. `lost` of the `calls` had no reply; `unpriced`
    ones have no known price, so that `micro_dollars` says nothing of them. Prompt tokens include the cached ones."""

    day: date
    model: str
    purpose: str
    calls: int = 0
    lost: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    micro_dollars: MicroDollars = 0
    unpriced: int = 0


@dataclass(frozen=True, slots=True)
class Charge:
    """What one call adds to its user's account. `counts`: its conversation counts for quotas of conversations."""

    user: OwnerId
    entry: AccountEntry
    counts: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class ReservedShare:
    """What a call that is about to begin may take. `number` tells the calls of a conversation apart."""

    sid: ConversationId
    number: int
    user: OwnerId
    day: date
    model: str
    share: Share


class Accounts(Protocol):
    """The accounts of one store. They are charged by `EventLog.append`."""

    async def reserve(self, wanted: ReservedShare, quotas: Sequence[Quota]) -> None:
        """Check all quotas, which cover the model, and reserve, in one step: of calls at the same time, as many are
        let in as there is room for. What is charged and what is reserved counts. Durable when it returns. Raises
        LimitReached, and then nothing is reserved. A caller that is cancelled must `release`."""

    def release(self, sid: ConversationId, number: int | None = None) -> "asyncio.Future[None]":
        """Give back what a call has reserved, or with None all calls of the conversation; without effect where nothing
        is. Called on the event loop, and takes effect after what was called before it."""

    async def taken(self, user: OwnerId, day: date, quotas: Sequence[Quota]) -> Sequence[Share]:
        """What is charged and reserved of each quota."""

    async def entries(self, user: OwnerId, first: date, last: date) -> Sequence[AccountEntry]:
        """The user's account from `first` to `last`, both included, by day, model and purpose. Raises StorageError
        where it is not as it was written; so does `reserve`."""
