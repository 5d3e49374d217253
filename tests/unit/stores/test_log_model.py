"""Any sequence of calls, against a model of a few lines: the log is a list, and refusals change nothing."""

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from openhands_sessions.adapters.stores.sqlite import open_sqlite
from openhands_sessions.core.errors import AlreadyExists, Conflict, Fenced, NotFound, SessionsError
from openhands_sessions.core.events.codec import Stored
from openhands_sessions.core.ids import ConversationId, EventId
from openhands_sessions.ports.store import Receipt, SessionStore
from tests.fakes.memory_store import open_memory
from tests.support.store_entries import ids, read, row

pytestmark = pytest.mark.slow
T = TypeVar("T")

SIDS = [ConversationId("one"), ConversationId("two")]
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


class Model:
    """A conversation as the contract has it."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.term = 0
        self.keys: set[str] = set()
        self.there = True

    def refusal(self, expected: int, term: int, key: str | None) -> type[SessionsError] | None:
        if not self.there:
            return NotFound
        if term < self.term:
            return Fenced
        if expected != len(self.texts) - 1:
            return Conflict
        return AlreadyExists if key in self.keys else None


class Logs(RuleBasedStateMachine):
    """Two conversations; calls are sent in bursts, so that they share commit groups."""

    def open(self) -> AbstractAsyncContextManager[SessionStore]:
        return open_memory()

    @initialize()
    def start(self) -> None:
        self.runner = asyncio.Runner()
        self.block = self.open()
        self.store = self.run(self.block.__aenter__())
        self.models = {sid: Model() for sid in SIDS}
        for sid in SIDS:
            self.run(self.store.conversations.create(row(sid)))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @rule(
        sids=st.lists(st.sampled_from(SIDS), min_size=1, max_size=6),
        texts=st.lists(TEXTS, max_size=3),
        off=st.sampled_from([0, 0, 0, 0, -1, 1]),
        behind=st.sampled_from([0, 0, 0, 0, 1, -1]),
        key=st.none() | st.sampled_from("abcdef"),
    )
    def append(self, sids: list[ConversationId], texts: list[str], off: int, behind: int, key: str | None) -> None:
        expectations: list[type[SessionsError] | None] = []

        async def burst() -> list[BaseException | None]:
            sent = []
            for sid in sids:
                model = self.models[sid]
                expected, term = max(len(model.texts) - 1 + off, -1), max(model.term - behind, 0)
                entries = [Stored(EventId(expected + 1 + n), "k", 1, text) for n, text in enumerate(texts)]
                receipt = Receipt(key=key, digest="d", event=EventId(expected + 1)) if key else None
                sent.append(self.store.log(sid).append(entries, expected=expected, term=term, receipt=receipt))
                expectations.append(model.refusal(expected, term, key))
                if expectations[-1] is None:
                    model.texts += texts
                    model.term = term
                    model.keys |= {key} if key else set()
            return await asyncio.gather(*sent, return_exceptions=True)

        outcomes = self.run(burst())
        assert [type(outcome) if outcome else None for outcome in outcomes] == expectations

    @rule(sid=st.sampled_from(SIDS))
    def take_over(self, sid: ConversationId) -> None:
        model = self.models[sid]
        if model.there:
            model.term += 1
            assert self.run(self.store.claim(sid)) == model.term

    @rule(
        sid=st.sampled_from(SIDS),
        after=st.integers(-2, 8),
        before=st.none() | st.integers(-1, 9),
        reverse=st.booleans(),
        limit=st.none() | st.integers(0, 5),
    )
    def read(self, sid: ConversationId, after: int, before: int | None, reverse: bool, limit: int | None) -> None:
        asked = {"after": after, "before": before, "reverse": reverse, "limit": limit}
        found = self.run(read(self.store.log(sid), **{key: value for key, value in asked.items() if value is not None}))
        there = [n for n in range(len(self.models[sid].texts)) if n > after and (before is None or n < before)]
        assert ids(found) == (there[::-1] if reverse else there)[:limit]

    @rule(sid=st.sampled_from(SIDS), chance=st.integers(0, 9))
    def delete(self, sid: ConversationId, chance: int) -> None:
        model = self.models[sid]
        if chance == 0:
            assert self.run(self.store.conversations.delete(sid)) is model.there
            model.there, model.texts, model.keys = False, [], set()

    @invariant()
    def all_is_there(self) -> None:
        for sid, model in getattr(self, "models", {}).items():
            assert [entry.text for entry in self.run(read(self.store.log(sid)))] == model.texts

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.run(self.block.__aexit__(None, None, None))
            self.runner.close()


class SqliteLogs(Logs):
    """The same over a file, with restarts."""

    def open(self) -> AbstractAsyncContextManager[SessionStore]:
        if not hasattr(self, "folder"):
            self.folder = Path(tempfile.mkdtemp())
        return open_sqlite(self.folder / "sessions.db")

    @rule(chance=st.integers(0, 5))
    def restart(self, chance: int) -> None:
        if chance == 0:
            self.run(self.block.__aexit__(None, None, None))
            self.block = self.open()
            self.store = self.run(self.block.__aenter__())

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)


QUICK = settings(max_examples=30, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])

TestMemoryLogs = Logs.TestCase
TestMemoryLogs.settings = QUICK
TestSqliteLogs = SqliteLogs.TestCase
TestSqliteLogs.settings = QUICK
