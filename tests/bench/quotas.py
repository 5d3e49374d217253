"""Rows of quotas: what checking and charging them costs a model call, and whether it is exact."""

import asyncio
import tempfile
import time
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from openhands_sessions.adapters.stores.sqlite import open_sqlite
from openhands_sessions.core.errors import LimitReached
from openhands_sessions.core.ids import LOCAL_OWNER, ConversationId
from openhands_sessions.core.quotas import Quota, Share
from openhands_sessions.ports.accounts import Accounts, ReservedShare
from tests.bench import measures
from tests.bench.bench import Bench
from tests.bench.table import Row

SESSIONS = 100
ROOM = 60
ROUNDS = 20
TOKENS = 1_000
QUOTAS = (Quota(tokens=ROOM * TOKENS), Quota(models="openai/*", micro_dollars=10**9, conversations=SESSIONS))


async def quotas(bench: Bench) -> list[Row]:
    """One user's sessions ask at once; there is room for some of them."""
    each: list[float] = []
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="ohs-bench-") as name:
        async with open_sqlite(Path(name) / "sessions.db") as store:
            for _ in range(ROUNDS):
                begun = time.perf_counter()
                let_in = sum(await asyncio.gather(*map(_let_in, _asking(store.accounts))))
                each.append((time.perf_counter() - begun) / SESSIONS)
                wrong += abs(let_in - ROOM)
                await asyncio.gather(*(store.accounts.release(_sid(number)) for number in range(SESSIONS)))
    return [
        Row("quota check and charge, 100 sessions at once, each", measures.median(each) * 1e3, "ms", 0.3),
        Row("the same, let in too many or too few", wrong, "", 0),
    ]


def _sid(number: int) -> ConversationId:
    return ConversationId(f"talk-{number}")


def _asking(accounts: Accounts) -> list[Coroutine[Any, Any, None]]:
    day, share = datetime.now(UTC).date(), Share(tokens=TOKENS, micro_dollars=100)
    wanted = [
        ReservedShare(sid=_sid(number), number=1, user=LOCAL_OWNER, day=day, model="openai/gpt-4o", share=share)
        for number in range(SESSIONS)
    ]
    return [accounts.reserve(each, QUOTAS) for each in wanted]


async def _let_in(asking: Coroutine[Any, Any, None]) -> bool:
    try:
        await asking
    except LimitReached:
        return False
    return True
