"""The fold of operations on the keys of a state."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openhands_sessions.core.errors import BadInput, RevisionConflict, TooLarge, UnstorableValue
from openhands_sessions.core.state import (
    KeyedState,
    StateChange,
    StateEntry,
    StateOp,
    StateOperation,
    added_size,
    apply,
    checked,
    dump_change,
    fold,
    load_change,
    merge,
)
from openhands_sessions.core.state_values import LARGEST_STATE, LARGEST_VALUE, plain
from tests.unit.core.strategies import json_values

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)
KEYS = st.sampled_from(["a", "b", "c"])
SETS = st.builds(StateOperation, st.just(StateOp.SET), KEYS, json_values())
DELETES = st.builds(StateOperation, st.just(StateOp.DELETE), KEYS)
COUNTS = st.builds(StateOperation, st.just(StateOp.INCR), st.just("n"), st.integers(-1000, 1000))
ITEMS = st.builds(StateOperation, st.just(StateOp.APPEND), st.just("list"), json_values())
OPERATIONS = st.one_of(SETS, DELETES, COUNTS, ITEMS)


def change(*operations: StateOperation, id: str = "x", bases: Mapping[str, int] | None = None) -> StateChange:
    return checked(StateChange(id=id, operations=operations, actor="ada", timestamp=NOON, bases=bases or {}))


def numbered(groups: Sequence[Sequence[StateOperation]]) -> list[tuple[int, StateChange]]:
    return [(number, change(*group, id=str(number))) for number, group in enumerate(groups, 1)]


def setting(key: str, value: Any) -> StateOperation:
    return StateOperation(StateOp.SET, key, value)


def after(state: KeyedState, *operations: StateOperation, **bases: int) -> dict[str, StateEntry | None]:
    return apply(change(*operations, bases=bases), state.entries, state.revision + 1)


@given(st.lists(st.lists(OPERATIONS, min_size=1, max_size=4), max_size=8))
def test_a_state_is_what_a_dict_would_be(groups: list[list[StateOperation]]) -> None:
    plainly: dict[str, Any] = {}
    for operation in (each for group in groups for each in group):
        match operation.op:
            case StateOp.SET:
                plainly[operation.key] = operation.value
            case StateOp.DELETE:
                plainly.pop(operation.key, None)
            case StateOp.INCR:
                plainly["n"] = plainly.get("n", 0) + operation.value
            case StateOp.APPEND:
                plainly["list"] = [*plainly.get("list", []), operation.value]
    state = fold(numbered(groups))
    assert state.values() == plainly
    assert state.revision == len(groups)


@given(st.lists(st.lists(OPERATIONS, min_size=1, max_size=4), max_size=8), st.data())
def test_a_change_that_comes_twice_takes_effect_once(groups: list[list[StateOperation]], data: st.DataObject) -> None:
    changes = numbered(groups)
    again = data.draw(st.lists(st.sampled_from(changes), max_size=4)) if changes else []
    repeated = [*changes, *((len(changes) + place, one) for place, (_, one) in enumerate(again, 1))]
    assert fold(repeated).entries == fold(changes).entries


@given(st.lists(COUNTS, max_size=8), st.randoms())
def test_the_order_of_additions_does_not_count(operations: list[StateOperation], random: Any) -> None:
    shuffled = [*operations]
    random.shuffle(shuffled)
    one, other = (fold(numbered([[each] for each in some])) for some in (operations, shuffled))
    assert one.values() == other.values()


@given(st.lists(st.lists(OPERATIONS, min_size=1, max_size=4), max_size=8))
def test_a_state_that_is_kept_entry_by_entry_is_the_fold_of_its_log(groups: list[list[StateOperation]]) -> None:
    """As stores keep it: only the entries of a change are at hand, and the size is kept beside them."""
    entries: dict[str, StateEntry] = {}
    size = 0
    stored = []
    for revision, one in numbered(groups):
        touched = {key: entries[key] for key in one.keys if key in entries}
        made = apply(one, touched, revision)
        size = added_size(touched, made, size)
        merge(entries, made)
        stored.append((revision, load_change(dump_change(one))))
    assert fold(stored).entries == entries
    assert size == sum(entry.size for entry in entries.values())


@given(json_values())
def test_values_are_copies(value: Any) -> None:
    copy = plain(value, "k")
    assert copy == value
    if isinstance(copy, list | dict):
        copy.clear()
    assert plain(value, "k") == value


class Colour(StrEnum):
    """Text that is more than text."""

    RED = "red"


def test_values_of_derived_types_become_plain() -> None:
    found = plain({"list": (Colour.RED, True)}, "k")
    assert found == {"list": ["red", True]}
    assert type(found["list"][0]) is str  # type: ignore[index]


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (math.nan, "cart"),
        ({"items": [1, {"price": math.inf}]}, "cart.items[1].price"),
        ([b"bytes"], "cart[0]"),
        ({"at": NOON}, "cart.at"),
        ({"tags": {1, 2}}, "cart.tags"),
        ({1: "one"}, "cart"),
        (object(), "cart"),
        (2**63, "cart"),
        ("\ud800", "cart"),
        ({"\udfff": 1}, "cart"),
    ],
)
def test_what_json_has_not_is_refused_by_its_place(value: Any, path: str) -> None:
    with pytest.raises(UnstorableValue) as raised:
        change(setting("other", 1), setting("cart", value))
    assert raised.value.field == path
    assert isinstance(raised.value, TypeError)
    assert isinstance(raised.value, BadInput)


def test_a_value_that_holds_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(UnstorableValue, match="nested"):
        change(setting("loop", loop))


@pytest.mark.parametrize("key", ["", "x" * 201, "a\nb", "\ud800", 7, None])
def test_keys_are_short_printable_texts(key: Any) -> None:
    with pytest.raises(BadInput, match="key"):
        change(setting(key, 1))


@pytest.mark.parametrize("by", [True, None, "1", [1]])
def test_only_numbers_are_added(by: Any) -> None:
    with pytest.raises(BadInput, match="must be a number"):
        change(StateOperation(StateOp.INCR, "n", by))


@pytest.mark.parametrize(
    ("operation", "before"),
    [
        (StateOperation(StateOp.INCR, "k", 1), "text"),
        (StateOperation(StateOp.INCR, "k", 1), True),
        (StateOperation(StateOp.APPEND, "k", 1), {"no": "list"}),
        (StateOperation(StateOp.INCR, "k", 1), 2**63 - 1),
        (StateOperation(StateOp.INCR, "k", 1e308), 1.7e308),
    ],
)
def test_what_does_not_fit_the_value_changes_nothing(operation: StateOperation, before: Any) -> None:
    state = fold(numbered([[setting("k", before)]]))
    with pytest.raises(BadInput, match="k"):
        after(state, setting("other", 1), operation)
    assert state.values() == {"k": before}


def test_a_value_that_is_not_the_expected_one_is_told_with_both() -> None:
    state = fold(numbered([[setting("k", 1)]]))
    with pytest.raises(RevisionConflict) as raised:
        after(state, StateOperation(StateOp.COMPARE_AND_SET, "k", "new", expected=True))
    conflict = raised.value
    assert (conflict.key, conflict.base, conflict.ours, conflict.theirs) == ("k", True, "new", 1)
    made = after(state, StateOperation(StateOp.COMPARE_AND_SET, "k", "new", expected=1))
    assert made == {"k": StateEntry("new", 2, 6)}
    assert after(KeyedState(), StateOperation(StateOp.COMPARE_AND_SET, "k", "new", expected=None))


def test_a_change_that_depends_on_a_revision_is_refused_once_the_key_has_another() -> None:
    state = fold(numbered([[setting("k", 1)], [setting("k", 2)]]))
    with pytest.raises(RevisionConflict) as raised:
        after(state, setting("k", 3), k=1)
    assert (raised.value.ours, raised.value.theirs) == (3, 2)
    with pytest.raises(RevisionConflict):
        after(state, setting("other", 3), k=0)
    assert after(state, setting("k", 3), k=2, gone=0) == {"k": StateEntry(3, 3, 2)}


def test_a_key_that_was_deleted_counts_as_one_that_was_never_there() -> None:
    state = fold(numbered([[setting("k", 1)], [StateOperation(StateOp.DELETE, "k")]]))
    assert state == KeyedState(2, {})
    assert after(state, setting("k", 3), k=0) == {"k": StateEntry(3, 3, 2)}


def test_a_value_and_a_state_have_a_largest_size() -> None:
    with pytest.raises(TooLarge, match="65,536"):
        after(KeyedState(), setting("k", "x" * LARGEST_VALUE))
    large = {f"k{number}": StateEntry("x", 1, LARGEST_STATE // 4) for number in range(4)}
    with pytest.raises(TooLarge, match="262,144"):
        added_size(large, {"more": StateEntry("x", 2, 5)}, LARGEST_STATE)
    smaller: dict[str, StateEntry | None] = {"k0": None, "k1": StateEntry("", 2, 2)}
    assert added_size(large, smaller, LARGEST_STATE + 1) == LARGEST_STATE // 2 + 3


def test_a_change_has_an_id_and_a_bounded_number_of_operations() -> None:
    with pytest.raises(BadInput, match="operations"):
        change()
    with pytest.raises(BadInput, match="operations"):
        change(*[setting("k", 1)] * 1_001)
    with pytest.raises(BadInput, match="id"):
        change(setting("k", 1), id="")


def test_a_value_in_the_file_store_can_only_be_replaced_or_deleted() -> None:
    state = fold(numbered([[StateOperation(StateOp.SET, "k", file="state/one")]]))
    assert state.entries["k"].file == "state/one"
    assert state.values() == {}
    for operation in (StateOperation(StateOp.APPEND, "k", 1), StateOperation(StateOp.COMPARE_AND_SET, "k", 1)):
        with pytest.raises(TooLarge, match="file"):
            after(state, operation)
    assert after(state, StateOperation(StateOp.DELETE, "k")) == {"k": None}
    assert after(state, setting("k", 1)) == {"k": StateEntry(1, 2, 2)}
