"""A CallLedger that admits every call and remembers how each ended."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from openhands_sessions.core.events.own import CallPurpose
from openhands_sessions.ports.model import ChatModel, LostCall, ModelReply, ModelRequest


class NotingLedger:
    """`purposes` of the calls, and what was told of them, in order."""

    def __init__(self) -> None:
        self.purposes: list[CallPurpose] = []
        self.replies: list[ModelReply] = []
        self.losses: list[LostCall] = []

    @asynccontextmanager
    async def call(self, model: ChatModel, request: ModelRequest) -> AsyncIterator["NotingLedger"]:
        self.purposes.append(request.purpose)
        yield self

    def answered(self, reply: ModelReply) -> None:
        self.replies.append(reply)

    def lost(self, call: LostCall) -> None:
        self.losses.append(call)
