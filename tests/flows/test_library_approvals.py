"""Calls of a program's session that await an answer: from a callback, or later."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from openhands_sessions import Allow, ApprovalNeeded, Deny, SessionBusy
from openhands_sessions.core.errors import BadInput, NotAccepting
from openhands_sessions.sdk.approvals import PendingBatch
from tests.support.model_replies import Call, Reply
from tests.support.program_sessions import ProgramSessions, program_sessions

LONG = 500
pytestmark = [pytest.mark.timeout(LONG), pytest.mark.slow]


@pytest.fixture
async def program(tmp_path: Path) -> AsyncIterator[ProgramSessions]:
    async with asyncio.timeout(LONG), program_sessions(tmp_path, []) as ready:
        yield ready


class Till:
    """Takes payments."""

    def __init__(self) -> None:
        self.paid: list[int] = []

    def pay(self, amount: int) -> str:
        """Pay."""
        self.paid.append(amount)
        return f"paid {amount}"


@pytest.fixture
def till() -> Till:
    return Till()


def paying(*amounts: int) -> list[Reply]:
    return [Reply(calls=[Call(name="pay", arguments={"amount": each}) for each in amounts]), Reply(text="Done.")]


def told(program: ProgramSessions) -> list[str]:
    return [message["content"] for message in program.model.requests[-1].messages if message["role"] == "tool"]


async def test_a_callback_decides_about_the_calls_of_a_reply_in_a_thread(program: ProgramSessions, till: Till) -> None:
    seen: list[tuple[str, Any]] = []

    def ask(batch: PendingBatch) -> list[Any]:
        seen.append((threading.current_thread().name, [(call.tool, dict(call.arguments)) for call in batch.calls]))
        with pytest.raises(SessionBusy):
            session.chat("Inside")
        return [True, Deny("too much"), Allow({"amount": 4})]

    program.model.play(paying(1, 2, 3))
    session = program.session("my-id", till.pay, confirm=["pay"], on_approval=ask)
    result = await session.arun("Pay")
    assert result.text == "Done."
    assert seen == [("openhands-tool", [("pay", {"amount": 1}), ("pay", {"amount": 2}), ("pay", {"amount": 3})])]
    assert till.paid == [1, 4]
    assert told(program)[0] == "paid 1"
    assert "too much" in told(program)[1]
    assert told(program)[2].endswith("paid 4")


async def test_without_a_callback_the_turn_waits_and_goes_on_with_the_answer(
    program: ProgramSessions, till: Till
) -> None:
    program.model.play(paying(7))
    session = program.session("my-id", till.pay, confirm=True)
    with pytest.raises(ApprovalNeeded, match=r"\(pay\)") as needed:
        await session.achat("Pay", idempotency_key="k")
    [call] = needed.value.pending.calls
    assert (call.tool, call.arguments) == ("pay", {"amount": 7})
    assert till.paid == []
    with pytest.raises(ApprovalNeeded):
        await session.achat("Pay", idempotency_key="k")
    await session.aclose()
    again = program.session("my-id", till.pay, confirm=True)
    assert await again.apending() == needed.value.pending
    result = await asyncio.to_thread(again.answer, True)
    assert (result.text, result.turn, till.paid) == ("Done.", needed.value.turn, [7])
    assert [message["content"] for message in result.messages] == ["Pay", "Done."]
    assert await again.apending() is None
    with pytest.raises(NotAccepting, match="no call awaits"):
        await again.aanswer(True)


async def test_an_async_callback_may_leave_calls_open_and_a_denied_turn_ends_without_words(
    program: ProgramSessions, till: Till
) -> None:
    async def later(batch: PendingBatch) -> None:
        return None

    program.model.play([*paying(7)[:1], Reply(text="As you like.")])
    session = program.session("my-id", till.pay, confirm=["pa*"], on_approval=later)
    with pytest.raises(ApprovalNeeded):
        await session.achat("Pay")
    with pytest.raises(BadInput, match="1: so many"):
        await session.aanswer([True, True])
    result = await session.aanswer(Deny("not today"))
    assert (result.text, till.paid) == ("", [])
    assert await session.achat("Well?") == "As you like."
    assert "not today" in told(program)[0]


async def test_a_callback_that_fails_or_answers_nonsense_stops_the_turn(program: ProgramSessions, till: Till) -> None:
    def fails(batch: PendingBatch) -> bool:
        raise LookupError("nobody is there")

    def nonsense(batch: PendingBatch) -> Any:
        return "yes"

    program.model.play([*paying(1)[:1], *paying(1)[:1], Reply(text="Next.")])
    with pytest.raises(LookupError):
        await program.session("my-id", till.pay, confirm=["pay"], on_approval=fails).achat("Pay")
    with pytest.raises(BadInput, match="True, False"):
        await program.session("my-id", till.pay, confirm=["pay"], on_approval=nonsense).achat("Pay")
    session = program.session("my-id", till.pay)
    assert await session.apending() is None
    assert await session.achat("Next") == "Next."
    assert till.paid == []
