"""The state of a program's session, its user and its program, in a real store."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from openhands_sessions import Agent, RevisionConflict, Session, SharedState
from openhands_sessions.core.errors import BadInput, BlockingCall, TooLarge, UnstorableValue
from openhands_sessions.sdk.private_loop import end_private_loop

LONG = 60
"""Seconds for a busy machine."""


@pytest.fixture(params=["sqlite", "memory"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    try:
        async with asyncio.timeout(LONG):
            yield "memory:" if request.param == "memory" else f"sqlite:///{tmp_path}/x.db"
    finally:
        await asyncio.to_thread(end_private_loop)


def opened(store: str, name: str = "my-id", **given: Any) -> Session:
    return Session(name, agent=Agent(llm="scripted"), store=store, **given)


async def test_each_scope_is_seen_by_those_that_it_is_for(store: str) -> None:
    one, other, strange = opened(store), opened(store, "other"), opened(store, "strange", user_id="ada")
    for key in ("k", "user:k", "app:k", "temp:k"):
        await one.aset_state(key, key)
    assert await one.aget_state() == {"k": "k"}
    again = opened(store)
    assert [await again.aget_state(key) for key in ("k", "user:k", "app:k", "temp:k")] == [
        "k",
        "user:k",
        "app:k",
        "temp:k",
    ]
    assert [await other.aget_state(key) for key in ("k", "user:k", "app:k", "temp:k")] == [
        None,
        "user:k",
        "app:k",
        None,
    ]
    assert [await strange.aget_state(key, "none") for key in ("user:k", "app:k")] == ["none", "app:k"]
    third = opened(store, "third", app_name="another")
    assert await third.aget_state("app:k") is None


def use_as_a_dict(session: Session) -> None:
    state = session.state
    state["k"] = {"list": [1, (2,)]}
    state["user:name"] = "Ada"
    assert state["k"] == {"list": [1, [2]]}
    state["k"]["list"].append("lost")
    assert state["k"] == {"list": [1, [2]]}
    assert sorted(state) == ["k", "user:name"]
    assert (len(state), "k" in state, "x" in state, state.get("x")) == (2, True, False, None)
    del state["k"]
    with pytest.raises(KeyError):
        del state["k"]
    with pytest.raises(KeyError):
        state["k"]
    assert dict(state) == {"user:name": "Ada"}


async def test_state_is_a_mapping_of_copies(store: str) -> None:
    await asyncio.to_thread(use_as_a_dict, opened(store))


async def test_numbers_lists_and_comparisons(store: str) -> None:
    session = opened(store)
    assert [await session.aincr("n"), await session.aincr("n", 2.5), await session.aincr("user:n", -1)] == [1, 3.5, -1]
    await session.aappend("list", "a")
    await session.aappend("list", {"b": None})
    assert await session.aget_state("list") == ["a", {"b": None}]
    assert await session.acompare_and_set("k", None, 1)
    assert not await session.acompare_and_set("k", None, 2)
    assert await session.aupdate_with("k", lambda found: found + 1) == 2
    await session.adelete_state("n")
    await session.adelete_state("n")
    assert await session.aget_state() == {"list": ["a", {"b": None}], "k": 2}


async def test_an_edit_writes_what_it_has_changed_together_and_nothing_after_an_exception(store: str) -> None:
    session = opened(store)
    await session.aset_state({"cart": [1], "old": 1, "kept": 1})
    async with session.aedit() as state:
        state["cart"].append(2)  # type: ignore[union-attr]
        del state["old"]
        state["new"] = {}
        await session.aincr("kept")
    assert await session.aget_state() == {"cart": [1, 2], "new": {}, "kept": 2}
    with pytest.raises(ZeroDivisionError):
        async with session.aedit() as state:
            state["new"] = 1 / 0
    assert await session.aget_state("new") == {}


async def test_a_key_that_two_have_changed_is_told_with_all_three_values(store: str) -> None:
    one, other = opened(store), opened(store)
    await one.aset_state("k", "base")

    async def edit() -> None:
        async with one.aedit() as state:
            state["k"], state["m"] = "ours", 1
            await other.aset_state("k", "theirs")

    with pytest.raises(RevisionConflict) as raised:
        await edit()
    conflict = raised.value
    assert (conflict.key, conflict.base, conflict.ours, conflict.theirs) == ("k", "base", "ours", "theirs")
    assert await one.aget_state() == {"k": "theirs"}


async def test_a_transaction_is_refused_where_what_it_has_read_was_changed(store: str) -> None:
    session = opened(store)
    await session.aset_state({"price": 1, "total": 0})

    async def take_over(meanwhile: int) -> None:
        async with session.atransaction() as state:
            state["total"] = state["price"]
            await session.aincr("price", meanwhile)

    with pytest.raises(RevisionConflict, match="price"):
        await take_over(1)
    async with session.atransaction() as state:
        state["total"] = state["price"]
    assert await session.aget_state("total") == 2


async def test_what_cannot_be_stored_is_named_and_nothing_is_written(store: str) -> None:
    session = opened(store)
    with pytest.raises(TypeError) as raised:
        await session.aset_state({"a": 1, "cart": {"at": [datetime.now(UTC)]}})
    assert isinstance(raised.value, UnstorableValue)
    assert raised.value.field == "cart.at[0]"
    assert await session.aget_state() == {}
    for key in ("user:", "", "x" * 300):
        with pytest.raises(BadInput, match="key"):
            await session.aset_state(key, 1)
    with pytest.raises(BadInput, match="state"):
        await session.aset_state(7)  # type: ignore[call-overload]


async def test_a_large_value_is_kept_as_a_file(store: str) -> None:
    session, large = opened(store), {"text": "x" * 1_000_000}
    await session.aset_state("report", large)
    await session.aset_state("small", 1)
    assert await opened(store).aget_state("report") == large
    assert await session.aget_state() == {"report": large, "small": 1}
    with pytest.raises(TooLarge, match="16,777,216"):
        await session.aset_state("report", "x" * 17_000_000)
    await session.adelete_state("report")
    assert await session.aget_state() == {"small": 1}


async def test_what_the_page_of_the_library_names(store: str) -> None:
    session = opened(store)

    def use() -> None:
        session.update_preference("language", "en-GB")
        session.update_profile("city", "Ulm")
        session.user_data["name"] = "Ada"
        session.metadata = {"source": "web"}
        session.add_result("plan", ["one"])
        session.add_result("plan", ["two"])
        saved = session.get_state()
        session.user_data = {**session.user_data, "age": 36}
        del session.metadata["source"]
        assert dict(session.user_data) == {"name": "Ada", "age": 36}
        session.set_state(saved)
        assert (dict(session.user_data), dict(session.metadata)) == ({"name": "Ada"}, {"source": "web"})
        assert [each["result"] for each in session.results] == [["one"], ["two"]]
        assert (session.preferences, dict(session.profile)) == ({"language": "en-GB"}, {"city": "Ulm"})

    await asyncio.to_thread(use)
    later = opened(store, "later")
    assert await asyncio.to_thread(lambda: later.preferences) == {"language": "en-GB"}


async def test_state_goes_back_with_the_history_and_preferences_stay(store: str) -> None:
    session = opened(store)
    await session.aset_state("first", True)
    await session.achat("one")
    await session.aset_state("k", "between")
    point = await session.acreate_checkpoint()
    await session.aset_state("k", "after the checkpoint")
    await session.achat("two")
    await session.aincr("n")
    await session.aupdate_preference("colour", "blue")
    await session.aundo()
    assert await session.aget_state() == {"first": True, "k": "after the checkpoint"}
    await session.arestore_checkpoint(point)
    assert await session.aget_state() == {"first": True, "k": "between"}
    await session.aset_state("k", "another way")
    await session.achat("three")
    await session.aswitch("1")
    assert await session.aget_state() == {"first": True, "k": "after the checkpoint", "n": 1}
    await session.aswitch("main")
    assert await session.aget_state("k") == "another way"
    assert await session.aget_state("user:preference.colour") == "blue"


async def test_whoever_watches_is_told_of_each_change_that_lasts(store: str) -> None:
    session, other = opened(store), opened(store)
    await session.aset_state("n", 0)
    seen: list[Any] = []
    watching = session.awatch_state("n")
    async for values in watching:
        seen.append(values["n"])
        if values["n"] == 3:
            break
        await other.aincr("unseen")
        await other.aincr("n")
    assert seen == [0, 1, 2, 3]
    await watching.aclose()  # type: ignore[attr-defined]


async def test_a_sync_call_on_a_running_loop_names_its_twin(store: str) -> None:
    with pytest.raises(BlockingCall, match="aincr"):
        opened(store).incr("n")


async def test_a_shared_state_becomes_the_state_of_its_session(store: str) -> None:
    shared = SharedState({"topic": "quanta", "n": 1})
    assert shared.incr("n") == 2
    session = opened(store, shared_state=shared)
    assert await session.aget_state() == {"topic": "quanta", "n": 2}
    await shared.aincr("n")
    await session.aappend("notes", "x")
    assert await shared.asnapshot() == {"topic": "quanta", "n": 3, "notes": ["x"]}
    again = SharedState({"topic": "cats", "new": 1})
    later = opened(store, shared_state=again)
    assert await later.aget_state() == {"topic": "quanta", "n": 3, "notes": ["x"], "new": 1}
    history = await again.ahistory()
    assert [[each["op"] for each in one["operations"]] for one in history] == [
        ["set", "set"],
        ["incr"],
        ["append"],
        ["set"],
    ]
    assert {one["actor"] for one in history} == {"local"}
    with pytest.raises(BadInput, match="another session"):
        opened(store, "other", shared_state=shared)


async def test_a_fork_begins_with_the_state_of_its_place_and_goes_on_apart(store: str) -> None:
    session, large = opened(store), "x" * 100_000
    await session.achat("one")
    await session.aset_state({"k": 1, "large": large})
    await session.acreate_checkpoint("here")
    await session.aset_state("k", 2)
    await session.achat("two")
    await session.aincr("k")
    now, early = await session.afork("now"), await session.afork("early", at="here")
    assert await now.aget_state() == {"k": 3, "large": large}
    assert await early.aget_state() == {"k": 1, "large": large}
    await now.aincr("k")
    await now.aundo()
    assert await now.aget_state("k") == 3
    assert await session.aget_state("k") == 3
