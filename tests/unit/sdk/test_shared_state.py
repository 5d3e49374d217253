"""A shared state in the memory of a process."""

import asyncio
import math
import threading
from typing import Any

import pytest

from openhands_sessions import RevisionConflict, SharedState
from openhands_sessions.core.errors import BadInput, TooLarge
from openhands_sessions.sdk.private_loop import end_private_loop


def test_it_is_used_as_a_dict_of_copies() -> None:
    shared = SharedState({"k": [1]})
    shared["k"].append(2)
    assert shared["k"] == [1]
    shared["m"] = {"a": (1, 2)}
    assert shared.get("m") == {"a": [1, 2]}
    assert ("m" in shared, "x" in shared, shared.get("x", 7)) == (True, False, 7)
    del shared["m"]
    for missing in ("m", "x"):
        with pytest.raises(KeyError):
            shared[missing]
        with pytest.raises(KeyError):
            del shared[missing]
    shared.delete("x")
    shared.update({"a": 1, "b": None})
    assert shared.snapshot() == {"k": [1], "a": 1, "b": None}


def test_of_eight_threads_each_addition_counts() -> None:
    shared = SharedState()

    def add() -> None:
        for number in range(500):
            shared.incr("n")
            if number % 50 == 0:
                shared.append("list", number)
                shared.update_with("odd", lambda found: found + 2, 1)

    threads = [threading.Thread(target=add) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert (shared["n"], len(shared["list"]), shared["odd"]) == (4_000, 80, 161)


def test_a_transaction_is_refused_where_another_writer_was_faster_and_writes_nothing() -> None:
    shared = SharedState({"price": 1, "total": 0})

    def sell() -> None:
        with shared.transaction() as draft:
            draft["total"] = draft["price"]
            shared["price"] = 2

    with pytest.raises(RevisionConflict) as raised:
        sell()
    assert (raised.value.key, raised.value.base, raised.value.theirs) == ("price", 1, 2)
    assert shared.snapshot() == {"price": 2, "total": 0}
    with shared.transaction() as draft:
        draft["total"] = draft.pop("price")
    assert shared.snapshot() == {"total": 2}


def test_what_cannot_be_stored_changes_nothing() -> None:
    shared = SharedState({"k": 1})
    for refused in (math.nan, b"x", {1, 2}, {"a": [object()]}):
        with pytest.raises(TypeError, match="k"):
            shared.update({"other": 1, "k": refused})
    with pytest.raises(BadInput):
        shared.incr("k", True)
    with pytest.raises(TooLarge):
        shared["large"] = "x" * 70_000
    assert shared.snapshot() == {"k": 1}


def test_values_are_compared_and_set() -> None:
    shared = SharedState()
    assert shared.compare_and_set("k", None, 1)
    assert not shared.compare_and_set("k", None, 2)
    assert shared["k"] == 1


def test_its_history_says_what_was_done() -> None:
    shared = SharedState()
    shared["k"] = 1
    shared.incr("k", 2)
    first, second = shared.history()
    assert (first["revision"], first["operations"]) == (1, [{"op": "set", "key": "k", "value": 1}])
    assert second["operations"] == [{"op": "incr", "key": "k", "value": 2}]
    assert shared.history(after=1) == [second]


async def test_sync_and_async_calls_mix_on_a_running_loop() -> None:
    shared = SharedState()
    shared["n"] = 1
    assert await shared.aincr("n") == 2
    assert shared.incr("n") == 3
    async with shared.atransaction() as draft:
        draft["m"] = draft["n"]
    assert await shared.asnapshot() == {"n": 3, "m": 3}


async def test_whoever_watches_sees_what_has_changed_last() -> None:
    shared = SharedState({"n": 0})
    seen: list[Any] = []
    watching = shared.awatch("n")
    try:
        async with asyncio.timeout(60):
            async for values in watching:
                seen.append(values["n"])
                if len(seen) == 3:
                    break
                shared["unseen"] = len(seen)
                shared.incr("n")
    finally:
        await watching.aclose()  # type: ignore[attr-defined]
        await asyncio.to_thread(end_private_loop)
    assert seen == [0, 1, 2]
