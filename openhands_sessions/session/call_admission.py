"""Lets a model call begin where the quotas of its user leave room for it, and holds that room while the call lasts."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

import structlog

from openhands_sessions.core.errors import LimitReached, ModelFailure, StorageError, StorageUnavailable
from openhands_sessions.core.history_form import size_of
from openhands_sessions.core.ids import ConversationId, OwnerId
from openhands_sessions.core.money import MicroDollars
from openhands_sessions.core.quotas import Quota, Share, covering
from openhands_sessions.ports.accounts import Accounts, ReservedShare
from openhands_sessions.ports.model import ChatModel, ModelRequest, Usage

log = structlog.get_logger(__name__)

QUOTA_REACHED = "STATUS$QUOTA_REACHED"
TOKENS_PER_CHARACTER = 0.3
REPLY_TOKENS = 1_000
"""What a reply is taken to have before it is there."""


@dataclass(frozen=True, slots=True)
class CallAdmission:
    """One conversation's. `user` is whose quotas count."""

    sid: ConversationId
    user: OwnerId
    accounts: Accounts
    quotas: Sequence[Quota]
    clock: Callable[[], datetime]

    def begin(self) -> None:
        """A session begins: what calls of an earlier one have reserved, and it did not live to give back, is free."""
        if self.quotas:
            self._release(None)

    @asynccontextmanager
    async def reserved(self, model: ChatModel, request: ModelRequest) -> AsyncIterator[None]:
        """Reserve what the call is estimated to take, for as long as the block lasts. Raises ModelFailure where a quota
        has no room for it, or cannot be counted, and StorageUnavailable."""
        quotas = covering(self.quotas, model.name)
        if not quotas:
            yield
            return
        estimates = any(quota.estimates for quota in quotas)
        share = _estimated(model, request, quotas) if estimates else Share()
        number = uuid4().int >> 65
        day = self.clock().date()
        wanted = ReservedShare(sid=self.sid, number=number, user=self.user, day=day, model=model.name, share=share)
        try:
            try:
                await self.accounts.reserve(wanted, quotas)
            except LimitReached as error:
                log.info("a quota is taken", owner=self.user, model=model.name, limit=error.limit, count=error.count)
                raise ModelFailure(QUOTA_REACHED, error.message) from None
            except StorageUnavailable:
                raise
            except StorageError as error:  # a damaged account: the conversation itself can go on
                raise ModelFailure(QUOTA_REACHED, error.message) from None
            yield
        finally:
            self._release(number)

    def _release(self, number: int | None) -> None:
        self.accounts.release(self.sid, number).add_done_callback(_released)


def _estimated(model: ChatModel, request: ModelRequest, quotas: Sequence[Quota]) -> Share:
    read = int((size_of(request.messages) + size_of(request.tools)) * TOKENS_PER_CHARACTER)
    priced = any(quota.micro_dollars is not None for quota in quotas)
    cost = _price(model, Usage(prompt_tokens=read, completion_tokens=REPLY_TOKENS)) if priced else 0
    return Share(tokens=read + REPLY_TOKENS, micro_dollars=cost)


def _price(model: ChatModel, usage: Usage) -> MicroDollars:
    cost = model.price(usage)
    if cost is None:
        problem = (
            f"A quota in dollars holds for the model {model.name}, whose price is not known: choose another model."
        )
        raise ModelFailure(QUOTA_REACHED, problem)
    return cost


def _released(done: "asyncio.Future[None]") -> None:
    """What is not given back stays reserved until the conversation is opened again, or the day ends."""
    if not done.cancelled() and (error := done.exception()) is not None:
        log.warning("what a model call has reserved was not given back", cause=type(error).__name__)
