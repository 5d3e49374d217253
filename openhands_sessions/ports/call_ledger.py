"""Where the model calls of one conversation are admitted and recorded."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from openhands_sessions.ports.model import ChatModel, LostCall, ModelReply, ModelRequest


class CallRecorder(Protocol):
    """Records one model call that the quotas have admitted. Cheap, no I/O: records are stored in order."""

    def answered(self, reply: ModelReply) -> None:
        """The call has its reply."""

    def lost(self, call: LostCall) -> None:
        """A try has ended without a reply."""


class CallLedger(Protocol):
    """One conversation's. Whoever asks a model does so inside `call`."""

    def call(self, model: ChatModel, request: ModelRequest) -> AbstractAsyncContextManager[CallRecorder]:
        """Entering admits the call: raises ModelFailure where a quota leaves no room for it. A block that raises
        without a word of `lost` is recorded as one lost call."""
