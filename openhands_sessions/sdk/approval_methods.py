"""The methods of a session that answer for calls which await it, each with its async twin."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from openhands_sessions.sdk.approvals import Answers, PendingBatch
from openhands_sessions.sdk.lazy_conversation import LazyConversation
from openhands_sessions.sdk.private_loop import arrive, wait_for
from openhands_sessions.sdk.results import StreamItem, TurnResult


class ApprovalMethods(LazyConversation):
    """For a turn that has raised ApprovalNeeded, in this process or an earlier one."""

    def pending(self) -> PendingBatch | None:
        """The calls that await answers; None where none do."""
        return wait_for(self._on(lambda it: it.pending()), "pending")

    async def apending(self) -> PendingBatch | None:
        """As `pending`."""
        return await arrive(self._on(lambda it: it.pending()))

    def answer(self, answers: Answers) -> TurnResult:
        """Answer for the calls that await it: True, False, `Allow(arguments)` or `Deny(feedback)` for all of them, or a
        list with one for each. Goes on with the turn, and returns what it has given. Raises NotAccepting where no call
        awaits an answer, and as `run`."""
        return wait_for(self._result(self._answered(answers)), "answer")

    async def aanswer(self, answers: Answers) -> TurnResult:
        """As `answer`."""
        return await arrive(self._result(self._answered(answers)))

    async def _answered(self, answers: Answers) -> AsyncGenerator[StreamItem, None]:
        conversation = (await self._calls()).conversation
        async with aclosing(conversation.answered(answers)) as items:
            async for item in items:
                yield item
