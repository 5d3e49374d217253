"""Accounts of users in memory."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from openhands_sessions.adapters.stores.account_charges import FIGURES
from openhands_sessions.core.ids import ConversationId, OwnerId
from openhands_sessions.core.quotas import Quota, Share, check
from openhands_sessions.ports.accounts import AccountEntry, Charge, ReservedShare


class MemoryAccounts:
    """Entries in a dict, reservations in a list."""

    def __init__(self) -> None:
        self._entries: dict[tuple[OwnerId, date, str, str], AccountEntry] = {}
        self._conversations: set[tuple[OwnerId, date, str, ConversationId]] = set()
        self._reserved: list[ReservedShare] = []

    def add(self, sid: ConversationId, charge: Charge) -> None:
        """What an append does with its charge."""
        entry = charge.entry
        before = self._entries.get((charge.user, entry.day, entry.model, entry.purpose))
        if before is not None:
            entry = replace(entry, **{name: getattr(entry, name) + getattr(before, name) for name in FIGURES})
        self._entries[charge.user, entry.day, entry.model, entry.purpose] = entry
        if charge.counts:
            self._conversations.add((charge.user, entry.day, entry.model, sid))

    async def reserve(self, wanted: ReservedShare, quotas: Sequence[Quota]) -> None:
        for quota in quotas:
            new = quota.conversations is not None and wanted.sid not in self._counted(wanted.user, wanted.day, quota)
            share = replace(wanted.share, conversations=int(new))
            check(quota, self._taken(wanted.user, wanted.day, quota), share, wanted.day)
        self._reserved.append(wanted)

    def release(self, sid: ConversationId, number: int | None = None) -> "asyncio.Future[None]":
        self._reserved = [one for one in self._reserved if one.sid != sid or number not in (None, one.number)]
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.set_result(None)
        return future

    async def taken(self, user: OwnerId, day: date, quotas: Sequence[Quota]) -> Sequence[Share]:
        return [self._taken(user, day, quota) for quota in quotas]

    async def entries(self, user: OwnerId, first: date, last: date) -> Sequence[AccountEntry]:
        found = [(key, entry) for key, entry in self._entries.items() if key[0] == user and first <= key[1] <= last]
        return [entry for _, entry in sorted(found, key=lambda pair: pair[0])]

    def _taken(self, user: OwnerId, day: date, quota: Quota) -> Share:
        shares = [
            Share(tokens=entry.prompt_tokens + entry.completion_tokens, micro_dollars=entry.micro_dollars)
            for (owner, of, model, _), entry in self._entries.items()
            if (owner, of) == (user, day) and quota.covers(model)
        ]
        shares += [
            one.share for one in self._reserved if (one.user, one.day) == (user, day) and quota.covers(one.model)
        ]
        counted = 0 if quota.conversations is None else len(self._counted(user, day, quota))
        return Share(
            tokens=sum(share.tokens for share in shares),
            micro_dollars=sum(share.micro_dollars for share in shares),
            conversations=counted,
        )

    def _counted(self, user: OwnerId, day: date, quota: Quota) -> set[ConversationId]:
        reserved = {(one.user, one.day, one.model, one.sid) for one in self._reserved}
        return {
            sid
            for owner, of, model, sid in self._conversations | reserved
            if (owner, of) == (user, day) and quota.covers(model)
        }
